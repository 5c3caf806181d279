-- Wait for messages of a queue.
--
-- KEYS: wake-up key, the queue's levels. ARGV: channel of the connection.
--
-- Promises: whoever finds the queue empty is woken for what comes later. When there are messages the connection is told
-- so at once. Who did not come again for 10 s is not waiting any more.

local time = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', time - 10))
if redis.call('EXISTS', unpack(KEYS, 2)) > 0 then
  tell(ARGV[1], KEYS[1])
  return 0
end
redis.call('ZADD', KEYS[1], string.format('%.6f', time), ARGV[1])
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
