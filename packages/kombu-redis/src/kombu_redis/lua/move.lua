-- Move leased messages out of `unacked`: back to their queue, on to others as dead letters, or aside.
--
-- KEYS: unacked, unacked_index, the hash of queues, the marker `alive`, the sorted set of expiring queues; then for each
--   list that is a destination: the list, wake, bytes ("bytes" of queues that do not count them do not exist).
-- ARGV: name of the queue the messages came from, number of lists; for each list its queue and "1" if that was
--   declared; then for each message its tag, the score it must have (""), the number of its destinations, and for each
--   of them: index of the list from 0, "back" or "front" (followed by the SHA-1s of payloads it goes behind), when it
--   expires (""), the payload ("" for what was taken).
--
-- Promises: a message whose lease is not the caller's any more (its tag or score is gone) is left alone. Any other is in
-- all its destinations and not leased, in one step. Messages go to the front one before the other, so that the last
-- one is delivered first. Nothing goes to a queue that was deleted; when the server has lost its data (the marker
-- is gone) nothing counts as deleted.
--
-- Returns: indexes from 0 of the messages that were left alone.

local unacked, index, queues = KEYS[1], KEYS[2], KEYS[3]
local came_from, count = ARGV[1], tonumber(ARGV[2])
local alive = redis.call('EXISTS', KEYS[4]) == 1
local lists = {}
for number = 1, count do
  local key, at = 3 + 3 * number, 1 + 2 * number
  local queue = ARGV[at]
  lists[number - 1] = {
    key = KEYS[key], wake = KEYS[key + 1], bytes = KEYS[key + 2], queue = queue, moved = 0,
    gone = alive and ARGV[at + 1] == '1' and redis.call('HEXISTS', queues, queue) == 0,
  }
end

-- In front, but behind those of `older` (SHA-1s of payloads, in a row) that are there already.
local function put_in_front(key, older, payload)
  local before = {}
  while older ~= '' do
    local first = redis.call('LINDEX', key, -1)
    if not first or not string.find(older, redis.sha1hex(first), 1, true) then break end
    before[#before + 1] = redis.call('RPOP', key)
  end
  redis.call('RPUSH', key, payload)
  for at = #before, 1, -1 do redis.call('RPUSH', key, before[at]) end
end

local function put(list, side, expires, payload)
  if list.gone then return end
  if side == 'back' then
    redis.call('LPUSH', list.key, payload)
  else
    put_in_front(list.key, string.sub(side, 6), payload)
  end
  if redis.call('EXISTS', list.bytes) == 1 then add_bytes(list.bytes, 1, body_size(payload)) end
  if expires ~= '' then redis.call('ZADD', KEYS[5], 'LT', expires, list.queue) end
  list.moved = list.moved + 1
end

local left, at, message = {}, 3 + 2 * count, 0
even_if_full(unacked)
while at <= #ARGV do
  local tag, score, targets = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local value = redis.call('HGET', unacked, tag)
  local ours = value and (score == '' or redis.call('ZSCORE', index, tag) == score)
  at = at + 3
  if ours then
    for place = at, at + 4 * targets - 1, 4 do
      local payload = ARGV[place + 3]
      if payload == '' then payload = payload_of(value, came_from) end
      put(lists[tonumber(ARGV[place])], ARGV[place + 1], ARGV[place + 2], payload)
    end
    redis.call('HDEL', unacked, tag)
    redis.call('ZREM', index, tag)
  else
    left[#left + 1] = message
  end
  at, message = at + 4 * targets, message + 1
end
for number = 0, count - 1 do
  if lists[number].moved > 0 and lists[number].wake ~= '' then wake(lists[number].wake) end
end
return left
