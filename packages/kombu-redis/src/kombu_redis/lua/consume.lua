-- Enter consumers of a queue, or renew their leases.
--
-- KEYS: consumers of the queue, hash of queues, sorted set of temporary queues.
-- ARGV: queue, seconds of the lease, how: "new", "exclusive" or "renew"; "1" if the queue has to be declared; seconds that a
--   temporary queue outlives its consumers (""); the consumers, those that are exclusive start with "x".
-- Returns: 1, 0 if the queue is gone, -1 if somebody consumes exclusively, or would have to stop for that.

if ARGV[4] == '1' and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
local time = now()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', time))
if ARGV[3] ~= 'renew' then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
  if first and (ARGV[3] == 'exclusive' or string.sub(first, 1, 1) == 'x') then return -1 end
end
local stop = string.format('%.6f', time + ARGV[2])
for at = 6, #ARGV do redis.call('ZADD', KEYS[1], stop, ARGV[at]) end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] * 2000 + 1000))
if ARGV[5] ~= '' then
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  redis.call('ZADD', KEYS[3], string.format('%.6f', last + ARGV[5]), ARGV[1])
end
return 1
