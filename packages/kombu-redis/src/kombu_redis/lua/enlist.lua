-- Wait for messages of some queues.
--
-- KEYS: for each queue: wake-up key, levels. ARGV: channel of the connection; for each queue: number of levels.
--
-- Promises: whoever finds a queue empty is woken for what comes later. When there are messages the connection is told
-- so at once. Who did not come again for 10 s is not waiting any more.

local time, at = now(), 1
for queue = 2, #ARGV do
  local key, last = KEYS[at], at + ARGV[queue]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.6f', time - 10))
  if redis.call('EXISTS', unpack(KEYS, at + 1, last)) > 0 then
    tell(ARGV[1], key)
  else
    redis.call('ZADD', key, string.format('%.6f', time), ARGV[1])
    redis.call('PEXPIRE', key, 60000)
  end
  at = last + 1
end
return 1
