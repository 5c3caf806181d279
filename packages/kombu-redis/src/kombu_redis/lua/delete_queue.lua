-- Remove a queue with its messages, its bindings and everything that is kept about it.
--
-- KEYS: hash of queues, sorted set of temporary queues, hash of exchanges, deadlines of bindings, sorted set of queues
--   with messages that expire; of the queue: set of its bindings, consumers, its lists, delayed messages, other keys; for
--   each binding, of the exchange: set of bindings, of permanent bindings, of bindings kombu 5 has no rows for.
-- ARGV: queue, "1" if only when it has no consumers, "1" if only when it is empty, "1" if only when its time is over, size
--   of the set of its bindings, number of lists, of other keys; for each binding: exchange, "row" or "bound", the row.
-- Returns: "used", "full", "kept" (its time is not over), "stale" (it has other bindings by now), all with nothing done; or
--   the number of messages, then for each binding the exchange, its value before and now, the size of its set.

local queue = ARGV[1]
local time = now()
if ARGV[4] == '1' then
  local deadline = redis.call('ZSCORE', KEYS[2], queue)
  if not deadline or tonumber(deadline) > time then return 'kept' end
end
if redis.call('SCARD', KEYS[6]) ~= tonumber(ARGV[5]) then return 'stale' end
local lists, others = tonumber(ARGV[6]), tonumber(ARGV[7])
if ARGV[2] == '1' and redis.call('ZCOUNT', KEYS[7], string.format('(%.6f', time), '+inf') > 0 then return 'used' end
local size = 0
for key = 8, 7 + lists do size = size + redis.call('LLEN', KEYS[key]) end
if ARGV[3] == '1' and (size > 0 or redis.call('EXISTS', KEYS[8 + lists]) == 1) then return 'full' end

redis.call('HDEL', KEYS[1], queue)
redis.call('ZREM', KEYS[2], queue)
redis.call('ZREM', KEYS[5], queue)
for key = 6, 7 + lists + others do redis.call('DEL', KEYS[key]) end
local result, argument = {size}, 8
for key = 8 + lists + others, #KEYS, 3 do
  local exchange = ARGV[argument]
  local _, was, is = remove_row(KEYS[3], KEYS[4], KEYS[key], KEYS[key + 1], KEYS[key + 2], exchange,
    ARGV[argument + 1], ARGV[argument + 2])
  local at = #result
  result[at + 1], result[at + 2], result[at + 3], result[at + 4] =
    exchange, was, is, redis.call('SCARD', KEYS[key])
  argument = argument + 3
end
return result
