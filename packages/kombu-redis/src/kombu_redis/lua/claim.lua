-- Take messages of several queues into the lease, oldest first and by the order of their levels.
--
-- KEYS: the hash of queues; then for each queue: unacked, unacked_index, wake, delayed, bytes, consumers, its levels.
-- ARGV: number of queues, prefix of the tags, score of the index against the present (lease - visibility_timeout),
--   sep; for each queue: name, known declaration ("" for none), "b" when its bytes are counted or "n" when nobody
--   acknowledges, number of levels;
--   then number of the first tag, limit for all, limit of each queue.
--
-- Promises: each message is either in its list or in `unacked` with a score, never in none. Delayed messages
-- that are due are ready first. A queue that is declared differently from what the client knows is left alone.
-- Whoever waits for a queue that has messages left is woken.
--
-- Returns: what claim_only.lua does; nil when there is nothing, else as JSON
--   [[[queue, level, count], ..], [stale queue, ..], [queue something was promoted in, ..]]
-- with queues and levels as indexes from 0, and after it the payloads.

local queues, prefix, sep = tonumber(ARGV[1]), ARGV[2], ARGV[4]
local tail = 4 + 4 * queues
local number, room = tonumber(ARGV[tail + 1]), tonumber(ARGV[tail + 2])
local present = now()
local score = string.format('%.6f', present + ARGV[3])
local runs, stale, promoted, out = {}, {}, {}, {''}

-- What was delayed becomes ready, at the end of its level. Its member is "<step><sep><payload>".
local function promote(delayed, name, levels, counts, bytes)
  local due = redis.call('ZRANGEBYSCORE', delayed, '-inf', present, 'LIMIT', 0, 100)
  if #due == 0 then return false end
  even_if_full(delayed)
  local base = levels[1]
  for _, level in ipairs(levels) do
    if #level < #base then base = level end
  end
  local function level_of(step)
    local suffix = sep .. step
    for _, level in ipairs(levels) do
      if string.sub(level, -#suffix) == suffix then return level end
    end
    return base
  end
  local size = 0
  for _, member in ipairs(due) do
    local from, to = string.find(member, sep, 1, true)
    local step, payload = from and tonumber(string.sub(member, 1, from - 1)), member
    if step then payload = string.sub(member, to + 1) end
    redis.call('LPUSH', level_of(step or 0), payload)
    if counts then size = size + body_size(payload) end
  end
  redis.call('ZREM', delayed, unpack(due))
  if counts then add_bytes(bytes, #due, size) end
  return true
end

-- What one of several consumers may take at once: nobody gets all while others are idle.
local function share(consumers, levels)
  local many = redis.call('ZCARD', consumers)
  if many < 2 then return math.huge end
  return math.max(1, math.ceil(length(levels) / many))
end

local first_key, places = 2, {}
for queue = 1, queues do
  places[queue] = first_key
  first_key = first_key + 6 + tonumber(ARGV[4 * queue + 4])
end

-- Whether there is nothing in these queues, and all are as the client knows them: two commands for all, since those who
-- wait ask again and again.
local function is_idle(first, last)
  local names, keys = {}, {}
  for queue = first, last do
    local at = places[queue]
    names[#names + 1] = ARGV[4 * queue + 1]
    for key = at + 6, at + 5 + tonumber(ARGV[4 * queue + 4]) do keys[#keys + 1] = KEYS[key] end
    keys[#keys + 1] = KEYS[at + 3]
  end
  for at, value in ipairs(redis.call('HMGET', KEYS[1], unpack(names))) do
    if (value or '') ~= ARGV[4 * (first + at - 1) + 2] then return false end
  end
  for from = 1, #keys, 5000 do
    if redis.call('EXISTS', unpack(keys, from, math.min(from + 4999, #keys))) > 0 then return false end
  end
  return true
end

-- The same for the tens of queues around one, asked once.
local TENS, idle = 20, {}
local function is_among_idle(queue)
  local ten = math.ceil(queue / TENS)
  if idle[ten] == nil then idle[ten] = is_idle(TENS * (ten - 1) + 1, math.min(TENS * ten, queues)) end
  return idle[ten]
end

if queues > 1 and queues <= 1000 and is_idle(1, queues) then return nil end

local function take(queue)
  local at, about = places[queue], 4 * queue
  local name, counts, count = ARGV[about + 1], ARGV[about + 3] == 'b', tonumber(ARGV[about + 4])
  if (redis.call('HGET', KEYS[1], name) or '') ~= ARGV[about + 2] then
    stale[#stale + 1] = queue - 1
  else
    local levels = {unpack(KEYS, at + 6, at + 5 + count)}
    if redis.call('EXISTS', KEYS[at + 3]) == 1 and promote(KEYS[at + 3], name, levels, counts, KEYS[at + 4]) then
      promoted[#promoted + 1] = queue - 1
    end
    local left = redis.call('EXISTS', unpack(levels)) -- levels that have messages
    local limit = math.min(room, tonumber(ARGV[tail + 2 + queue]))
    if limit > 1 and left > 0 then limit = math.min(limit, share(KEYS[at + 5], levels)) end
    for level, list in ipairs(levels) do
      if limit <= 0 or left == 0 then break end
      local found = redis.call('RPOP', list, limit)
      if found then
        if #found < limit then left = left - 1 end
        lease(KEYS[at], KEYS[at + 1], score, name, prefix, number, found, out, list)
        if counts then add_bytes(KEYS[at + 4], -#found, -body_sizes(found)) end
        runs[#runs + 1] = '[' .. queue - 1 .. ',' .. level - 1 .. ',' .. #found .. ']'
        number, limit, room = number + #found, limit - #found, room - #found
      end
    end
    if left > 0 and redis.call('EXISTS', unpack(levels)) > 0 then wake(KEYS[at + 2]) end
  end
end

for queue = 1, queues do
  if queues <= TENS or not is_among_idle(queue) then take(queue) end
end

if #out == 1 and #stale == 0 and #promoted == 0 then return nil end
out[1] = '[[' .. table.concat(runs, ',') .. '],[' .. table.concat(stale, ',') .. '],['
  .. table.concat(promoted, ',') .. ']]'
return out
