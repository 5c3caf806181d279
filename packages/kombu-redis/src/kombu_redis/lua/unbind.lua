-- Take a binding away.
--
-- KEYS: hash of exchanges, deadlines of bindings; of the source exchange: set of bindings, of permanent bindings, of
--   bindings kombu 5 has no rows for; of the destination: set of its bindings.
-- ARGV: source exchange, "row" or "bound", the row, the same for the destination's set.
-- Returns: 1 if it was there, the exchange's value before and now, the size of its set of bindings, what is left.

local removed, was, is = remove_row(KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[1], ARGV[2], ARGV[3])
redis.call('SREM', KEYS[6], ARGV[4])
local size = redis.call('SCARD', KEYS[3])
return {removed, was, is, size, size + redis.call('SCARD', KEYS[5])}
