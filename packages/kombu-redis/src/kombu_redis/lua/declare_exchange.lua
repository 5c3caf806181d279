-- Enter an exchange unless it is there.
--
-- KEYS: hash of exchanges, the exchange's set of bindings.   ARGV: exchange, its JSON.
-- Returns: its value before ("" when it is new), its value now.

local value = redis.call('HGET', KEYS[1], ARGV[1])
if value then return {value, value} end
even_if_full(KEYS[1])
return {bump(KEYS[1], ARGV[1], ARGV[2], KEYS[2], redis.call('SCARD', KEYS[2]))}
