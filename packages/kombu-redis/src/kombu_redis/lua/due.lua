-- The members of a sorted set of times whose time has come, for one caller to deal with.
--
-- KEYS: the sorted set. ARGV: how many, seconds to keep others from trying.
--
-- Promises: they stay members; who deals with one sets its new time or removes it, and if he dies somebody else does.

local present = now()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', present, 'LIMIT', 0, tonumber(ARGV[1]))
if #due > 0 then even_if_full(KEYS[1]) end
for _, member in ipairs(due) do redis.call('ZADD', KEYS[1], present + ARGV[2], member) end
return due
