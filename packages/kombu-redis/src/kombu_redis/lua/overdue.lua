-- Temporary queues whose time is over.
--
-- KEYS: sorted set of temporary queues.   ARGV: how many at most.
-- Returns: their names, the longest overdue first.

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now()), 'LIMIT', 0, ARGV[1])
