-- Forget the bindings of an exchange whose deadline is over; permanent ones keep them all, as in kombu 5.
--
-- KEYS: deadlines of bindings, hash of exchanges, the exchange's set of bindings and of permanent bindings.
-- ARGV: exchange.
-- Returns: 1 if they were forgotten.

local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not deadline or tonumber(deadline) > now() * 1000 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
local before = redis.call('SCARD', KEYS[3])
if before == 0 or redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
redis.call('DEL', KEYS[3])
bump(KEYS[2], ARGV[1], '', KEYS[3], before)
return 1
