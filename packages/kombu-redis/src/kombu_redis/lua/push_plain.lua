-- As push.lua, with its keys and arguments, for one target without limits, no expiry and no channel, as most messages
-- have it. It takes the server three quarters of the time.
--
-- Returns: 1; or minus the number of the check that failed.

local checks = tonumber(ARGV[1])
local failed = failed_check(checks, 6)
if failed then return -failed end
for start = 8 + 3 * checks, #ARGV, 1000 do
  redis.call('LPUSH', KEYS[checks + 2], unpack(ARGV, start, math.min(start + 999, #ARGV)))
end
local token = KEYS[checks + 3]
if redis.call('EXISTS', token) == 0 then
  redis.call('LPUSH', token, '1')
  redis.call('PEXPIRE', token, 60000)
end
return 1
