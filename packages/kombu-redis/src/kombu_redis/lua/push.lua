-- Append messages to queues, provided that the topology is what the client routed them by.
--
-- KEYS: those of the checks (see checks.lua); the sorted set of expiring queues; with flag "b" those of streams (see
--   broadcast.lua); then for each target its level and wake, and if it is limited: unacked, unacked_index, bytes, all its levels in the order of delivery.
-- ARGV: number of checks, of targets, flags, channel to publish on (""), score of the index against the present
--   (lease - visibility_timeout); the checks; with flag "b" what broadcast.lua says of streams; for each target: queue, number of levels (0: not limited), and if it
--   is limited: greatest length (""), most bytes (""), "1" if it refuses what is too much, "1" if what is dropped is
--   to become a dead letter; then with flag "l" (some target is limited) the prefix of tags for what is dropped; then
--   for each message as many payloads as there are targets, and one more for streams, with flag "o" just one for all of
--   them; with flag "s" each payload has the time before it when it expires ("" for never).
--
-- Promises: with a check that does not hold nothing is done. Otherwise each message is in all its queues, but for those
-- that refused it, and published. What had to give way is leased to the caller, who makes dead letters of it; when he
-- dies it comes back. Without messages the limits are applied all the same.
--
-- Returns: 1; or minus the number of the check that failed; or as JSON
--   [[[message, target], .. refused], [[target, level, count], .. dropped], number dropped for good]
-- with indexes from 0, and after it the payloads of what was dropped and leased.

local checks, targets, flags = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local failed = failed_check(checks, 6)
if failed then return -failed end

local key, at, streams = checks + 2, 6 + 3 * checks, nil
if string.find(flags, 'b', 1, true) then streams, key, at = streams_at(key, at) end
local about, limited = {}, false
for target = 1, targets do
  local count = tonumber(ARGV[at + 1])
  local it = {queue = ARGV[at], level = KEYS[key], wake = KEYS[key + 1], pushed = 0}
  key, at = key + 2, at + 2
  if count > 0 then
    limited = true
    it.levels = {unpack(KEYS, key + 3, key + 2 + count)}
    it.unacked, it.index, it.bytes = KEYS[key], KEYS[key + 1], KEYS[key + 2]
    it.max_length, it.max_bytes = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    it.refuses, it.buries = ARGV[at + 2] == '1', ARGV[at + 3] == '1'
    it.length, it.size = length(it.levels), it.max_bytes and count_bytes(it.bytes, it.levels) or 0
    key, at = key + 3 + count, at + 4
  end
  about[target] = it
end

local refused, dropped, leased, out, lost = {}, {}, 0, {''}, 0
local prefix = ''
if limited then
  prefix = ARGV[at]
  at = at + 1
end

local function is_over(it, more, size)
  return it.max_length and it.length + more > it.max_length or it.max_bytes and it.size + size > it.max_bytes
end

-- False when the queue refuses it.
local function put(it, payload, expires)
  if it.levels then
    local size = it.max_bytes and body_size(payload) or 0
    if it.refuses and is_over(it, 1, size) then return false end
    redis.call('LPUSH', it.level, payload)
    it.length, it.size = it.length + 1, it.size + size
    if it.max_bytes then add_bytes(it.bytes, 1, size) end
  else
    redis.call('LPUSH', it.level, payload)
  end
  if expires ~= '' then redis.call('ZADD', KEYS[checks + 1], 'LT', expires, it.queue) end
  it.pushed = it.pushed + 1
  return true
end

local function drop_head(target, it, score)
  for level, list in ipairs(it.levels) do
    local count = 0
    while is_over(it, 0, 0) do
      local payload = redis.call('LINDEX', list, -1)
      if not payload then break end
      if it.buries then
        leased, count = leased + 1, count + 1
        lease(it.unacked, it.index, score, it.queue, prefix, leased, {payload}, out)
      else
        lost = lost + 1
      end
      redis.call('LTRIM', list, 0, -2)
      it.length = it.length - 1
      if it.max_bytes then
        local size = body_size(payload)
        it.size = it.size - size
        add_bytes(it.bytes, -1, -size)
      end
    end
    if count > 0 then dropped[#dropped + 1] = '[' .. target - 1 .. ',' .. level - 1 .. ',' .. count .. ']' end
  end
end

local stamped, each = string.find(flags, 's', 1, true), not string.find(flags, 'o', 1, true)
local width = stamped and 2 or 1
local per_message = (each and targets + (streams and 1 or 0) or 1) * width
local messages = per_message == 0 and 0 or (#ARGV + 1 - at) / per_message

if messages > 1 and not stamped and not limited and targets == 1 and not streams then
  for start = at, #ARGV, 1000 do
    redis.call('LPUSH', about[1].level, unpack(ARGV, start, math.min(start + 999, #ARGV)))
  end
  about[1].pushed = messages
else
  for message = 1, messages do
    local start = at + (message - 1) * per_message
    for target, it in ipairs(about) do
      local place = start + (each and (target - 1) * width or 0)
      local payload, expires = ARGV[place], ''
      if stamped then payload, expires = ARGV[place + 1], ARGV[place] end
      if not put(it, payload, expires) then
        refused[#refused + 1] = '[' .. message - 1 .. ',' .. target - 1 .. ']'
      end
    end
  end
end
local score = limited and string.format('%.6f', now() + ARGV[5])
for target, it in ipairs(about) do
  if it.levels and not it.refuses then drop_head(target, it, score) end
  if it.pushed > 0 then wake(it.wake) end
end
if ARGV[4] ~= '' then
  for message = 1, messages do
    redis.call('PUBLISH', ARGV[4], ARGV[at + (message - 1) * per_message + width - 1])
  end
end
if streams then
  for message = 1, messages do
    local last = at + message * per_message - 1
    broadcast(streams, ARGV[last], stamped and ARGV[last - 1] or '')
  end
end

if #refused == 0 and #dropped == 0 and lost == 0 then return 1 end
out[1] = '[[' .. table.concat(refused, ',') .. '],[' .. table.concat(dropped, ',') .. '],' .. lost .. ']'
return out
