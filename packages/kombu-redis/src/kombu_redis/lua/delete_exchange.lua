-- Remove an exchange, what is bound to it and what it is bound to.
--
-- KEYS: hash of exchanges, deadlines of bindings; of the exchange: set of bindings, of permanent bindings, of bindings
--   kombu 5 has no rows for, set of what it is bound to, its stream, the counter of that; hash of queues; for each of those it
--   is bound to: its set of bindings, its `bound`.
-- ARGV: exchange, "1" if only when nothing is bound to it, size of the set of what it is bound to; for each of those:
--   source exchange, the row.
-- Returns: "ok", "used" (nothing done), "stale" (it is bound to something else by now, nothing done).

if redis.call('SCARD', KEYS[6]) ~= tonumber(ARGV[3]) then return 'stale' end
if ARGV[2] == '1' and redis.call('EXISTS', KEYS[3], KEYS[5]) > 0 then return 'used' end
even_if_full(KEYS[1])
for _, row in ipairs(redis.call('SMEMBERS', KEYS[5])) do
  local binding = cjson.decode(row)
  if binding[5] == 'stream' then note_streams(KEYS[9], binding[2]) end
end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8])
local argument = 4
for key = 10, #KEYS, 2 do
  if redis.call('SREM', KEYS[key + 1], ARGV[argument + 1]) == 1 then
    bump(KEYS[1], ARGV[argument], '', KEYS[key], redis.call('SCARD', KEYS[key]))
  end
  argument = argument + 2
end
return 'ok'
