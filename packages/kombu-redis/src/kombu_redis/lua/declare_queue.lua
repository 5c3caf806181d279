-- Enter a queue unless it is there.
--
-- KEYS: hash of queues, sorted set of temporary queues.
-- ARGV: queue, its JSON, seconds until it goes when nobody uses it ("" for a lasting queue).
-- Returns: its JSON before, "" when it is new, "expired" when its time was over and it has to be deleted first.

local value = redis.call('HGET', KEYS[1], ARGV[1])
local time = now()
even_if_full(KEYS[1])
if value then
  local deadline = redis.call('ZSCORE', KEYS[2], ARGV[1])
  if deadline and tonumber(deadline) <= time then return 'expired' end
  if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], 'GT', string.format('%.6f', time + ARGV[3]), ARGV[1]) end
  return value
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], string.format('%.6f', time + ARGV[3]), ARGV[1]) end
return ''
