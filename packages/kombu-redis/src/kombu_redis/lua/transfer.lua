-- Append a message that comes from another slot, once.
--
-- KEYS: marker of the transfer, hash of queues, marker `alive`, sorted set of expiring queues, the list, wake, bytes.
-- ARGV: queue, "1" if it was declared, when it expires (""), payload, seconds to remember the transfer.
--
-- Promises: a transfer that was carried out already does nothing, so that it may be tried again. Nothing goes to a queue that
-- was deleted; when this slot has lost its data (the marker is gone) nothing counts as deleted.
-- Returns: 1 if it was appended now.

even_if_full(KEYS[2])
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[5]) then return 0 end
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[3]) == 1 and redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('LPUSH', KEYS[5], ARGV[4])
if redis.call('EXISTS', KEYS[7]) == 1 then add_bytes(KEYS[7], 1, body_size(ARGV[4])) end
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[4], 'LT', ARGV[3], ARGV[1]) end
wake(KEYS[6])
return 1
