-- Leave a mark that goes by itself; also when the server is full, see common.lua.
--
-- KEYS: the mark. ARGV: its value, milliseconds that it stays, "1" if only when there is none.
-- Returns: 1, or 0 if there is one.

if ARGV[3] == '1' and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
