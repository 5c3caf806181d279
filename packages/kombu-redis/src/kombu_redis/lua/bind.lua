-- Add a binding.
--
-- KEYS: hash of exchanges, hash of queues, deadlines of bindings; of the source exchange: set of bindings, of permanent
--   bindings, of bindings kombu 5 has no rows for; of the destination: set of its bindings; of a queue: its cursors; of the
--   source exchange: its stream, the counter of that.
-- ARGV: source exchange, its JSON to enter it with (""), queue that has to be declared still (""), "row", "bound" or "stream",
--   the row, milliseconds until it may be forgotten (0: never), the same for the destination's set, "1" if the version
--   counts this binding, milliseconds that a cursor lives; for each form that this binding replaces: kind, row, the same for
--   the destination's set.
-- Returns: the exchange's value before and now, the size of its set of bindings; or "gone", the queue is.

local exchange, kind = ARGV[1], ARGV[4]
if ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[3]) == 0 then return 'gone' end
even_if_full(KEYS[1])
for at = 10, #ARGV, 3 do
  local removed = remove_row(KEYS[1], KEYS[3], KEYS[4], KEYS[5], KEYS[6], exchange, ARGV[at], ARGV[at + 1])
  redis.call('SREM', KEYS[7], ARGV[at + 2])
  if removed == 1 and ARGV[at] == 'stream' then leave_stream(KEYS[2], KEYS[7], KEYS[8], ARGV[3], exchange) end
end
local before = redis.call('SCARD', KEYS[4])
local added
if kind == 'row' then
  added = redis.call('SADD', KEYS[4], ARGV[5])
  if ARGV[6] == '0' then
    redis.call('SADD', KEYS[5], ARGV[5])
  else
    redis.call('ZADD', KEYS[3], 'GT', string.format('%.0f', now() * 1000 + ARGV[6]), exchange)
  end
else
  added = redis.call('SADD', KEYS[6], ARGV[5])
end
redis.call('SADD', KEYS[7], ARGV[7])
if kind == 'stream' and added == 1 then
  note_streams(KEYS[2], ARGV[3])
  local last = redis.call('XREVRANGE', KEYS[9], '+', '-', 'COUNT', 1)[1]
  local number = redis.call('GET', KEYS[10]) or '0'
  redis.call('HSETNX', KEYS[8], exchange, (last and last[1] or '0-0') .. ' ' .. number)
  redis.call('PEXPIRE', KEYS[8], ARGV[9])
end
local value = redis.call('HGET', KEYS[1], exchange) or ''
if (added == 1 and ARGV[8] == '1') or (value == '' and ARGV[2] ~= '') then
  local was, is = bump(KEYS[1], exchange, ARGV[2], KEYS[4], before)
  return {was, is, redis.call('SCARD', KEYS[4])}
end
return {value, value, redis.call('SCARD', KEYS[4])}
