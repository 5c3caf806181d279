-- A consumer is gone.
--
-- KEYS: consumers of the queue, sorted set of temporary queues, hash of queues.
-- ARGV: queue, consumer, seconds that a temporary queue outlives its last consumer ("").
-- Returns: how many consumers there are.

local time = now()
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', time))
local count = redis.call('ZCARD', KEYS[1])
if count == 0 and ARGV[3] ~= '' and redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then
  redis.call('ZADD', KEYS[2], string.format('%.6f', time + ARGV[3]), ARGV[1])
end
return count
