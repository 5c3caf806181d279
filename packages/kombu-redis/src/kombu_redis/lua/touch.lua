-- Temporary queues are in use: they stay for some time more.
--
-- KEYS: sorted set of temporary queues.   ARGV: queue, seconds, queue, seconds, ..
-- Returns: nothing. Queues that are not temporary, or deleted, are left alone.

local time = now()
even_if_full(KEYS[1])
for at = 1, #ARGV, 2 do
  redis.call('ZADD', KEYS[1], 'XX', 'GT', string.format('%.6f', time + ARGV[at + 1]), ARGV[at])
end
