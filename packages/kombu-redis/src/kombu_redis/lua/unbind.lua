-- Take a binding away, in whichever form it is there.
--
-- KEYS: hash of exchanges, deadlines of bindings; of the source exchange: set of bindings, of permanent bindings, of
--   bindings kombu 5 has no rows for; of the destination: set of its bindings; hash of queues; of a queue: its cursors.
-- ARGV: source exchange, destination; for each form: "row", "bound" or "stream", the row, the same for the destination's set.
-- Returns: 1 if it was there, the exchange's value before and now, the size of its set of bindings, what is left.

local any, was, is = 0, nil, nil
for at = 3, #ARGV, 3 do
  local removed, before, now = remove_row(KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[1], ARGV[at], ARGV[at + 1])
  redis.call('SREM', KEYS[6], ARGV[at + 2])
  if removed == 1 and ARGV[at] == 'stream' then leave_stream(KEYS[7], KEYS[6], KEYS[8], ARGV[2], ARGV[1]) end
  any, was, is = math.max(any, removed), was or before, now
end
local size = redis.call('SCARD', KEYS[3])
return {any, was, is, size, size + redis.call('SCARD', KEYS[5])}
