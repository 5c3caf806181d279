-- Append a message to queues when its time has come.
--
-- KEYS: those of the checks (see checks.lua); the sorted set of expiring queues; the delayed messages of each target.
-- ARGV: number of checks, of targets, when it is due, sep; the checks; for each target: queue, step, when the
--   message expires (""), payload.
--
-- Promises: with a check that does not hold nothing is done; otherwise each target has the message, even one that is
-- equal to another byte by byte: a member is "<step><sep><payload>", and zeros before the step make it unique.
--
-- Returns: 1, or minus the number of the check that failed.

local checks, targets, due, sep = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local failed = failed_check(checks, 5)
if failed then return -failed end
local at = 5 + 3 * checks
for target = 1, targets do
  local member = ARGV[at + 1] .. sep .. ARGV[at + 3]
  while redis.call('ZADD', KEYS[checks + 1 + target], 'NX', due, member) == 0 do member = '0' .. member end
  if ARGV[at + 2] ~= '' then redis.call('ZADD', KEYS[checks + 1], 'LT', ARGV[at + 2], ARGV[at]) end
  at = at + 4
end
return 1
