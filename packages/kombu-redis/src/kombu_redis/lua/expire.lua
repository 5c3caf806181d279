-- Take expired messages from the front of a queue into the lease, to be made dead letters of.
--
-- KEYS: unacked, unacked_index, the sorted set of expiring queues, bytes, delayed, the queue's levels.
-- ARGV: queue, prefix of the tags, score of the index against the present (lease - visibility_timeout), how many,
--   seconds after which to look again at a queue whose front does not say when it expires.
--
-- Promises: as claim.lua. As with RabbitMQ only the front of a queue (here: of each level) expires. The queue is
-- registered for the time when its front expires, as long as it has messages.
--
-- Returns: nil, or as JSON [[level, count], ..], and after it the payloads.

local queue, limit, present = ARGV[1], tonumber(ARGV[4]), now()
local score = string.format('%.6f', present + ARGV[3])
local runs, out, number, next_look, any = {}, {''}, 1, nil, false

local function expires(payload)
  local ok, message = pcall(cjson.decode, payload)
  local properties = ok and type(message) == 'table' and message.properties
  return type(properties) == 'table' and tonumber(properties.expires_at) or nil
end

even_if_full(KEYS[1])
for at = 6, #KEYS do
  local found, when = {}, nil
  while true do
    local payload = redis.call('LINDEX', KEYS[at], -1 - #found)
    if not payload then
      when = nil
      break
    end
    any, when = true, expires(payload)
    if not when or when > present or number + #found > limit then break end
    found[#found + 1] = payload
  end
  if #found > 0 then
    lease(KEYS[1], KEYS[2], score, queue, ARGV[2], number, found, out)
    redis.call('LTRIM', KEYS[at], 0, -#found - 1)
    if redis.call('EXISTS', KEYS[4]) == 1 then add_bytes(KEYS[4], -#found, -body_sizes(found)) end
    runs[#runs + 1] = '[' .. at - 6 .. ',' .. #found .. ']'
    number = number + #found
  end
  if when and (not next_look or when < next_look) then next_look = when end
end

if next_look or any or redis.call('EXISTS', KEYS[5]) == 1 then
  local latest = present + ARGV[5]
  redis.call('ZADD', KEYS[3], string.format('%.6f', math.min(next_look or latest, latest)), queue)
else
  redis.call('ZREM', KEYS[3], queue)
end
if #out == 1 then return nil end
out[1] = '[' .. table.concat(runs, ',') .. ']'
return out
