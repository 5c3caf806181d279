-- Whether the topology is what a message was routed by; on a cluster it is in another slot than the queues.
--
-- KEYS: those of the checks (see checks.lua). ARGV: number of checks; the checks.
-- Returns: 0, or the number of the first check that does not hold.

return failed_check(tonumber(ARGV[1]), 2) or 0
