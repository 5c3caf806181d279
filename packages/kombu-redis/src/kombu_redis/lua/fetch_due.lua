-- What is leased to nobody living: entries whose lease is over, of ours and of kombu 5's consumers.
--
-- KEYS: unacked, unacked_index. ARGV: visibility_timeout, how many, seconds to keep others from trying.
--
-- Promises: nothing moves; the entries are not due for the given seconds, so that one caller deals with them. Their
-- holder may still acknowledge or renew: who moves an entry names its score and takes it only if that is unchanged.
-- An index entry without a message (acknowledged half way by a client that died) is removed.
--
-- Returns: the score they have now, then tag and value of each, the one to be delivered last first (each is put
-- in front of the one before).

local present = now()
local due = redis.call('ZREVRANGEBYSCORE', KEYS[2], present - ARGV[1], '-inf', 'LIMIT', 0, tonumber(ARGV[2]))
if #due == 0 then return {} end
local score = string.format('%.6f', present - ARGV[1] + ARGV[3])
local out, moved = {}, {}
even_if_full(KEYS[1])
for at, value in ipairs(redis.call('HMGET', KEYS[1], unpack(due))) do
  if value then
    out[#out + 1], out[#out + 2] = due[at], value
    moved[#moved + 1], moved[#moved + 2] = score, due[at]
  else
    redis.call('ZREM', KEYS[2], due[at])
  end
end
if #moved == 0 then return {} end
redis.call('ZADD', KEYS[2], unpack(moved))
return {redis.call('ZSCORE', KEYS[2], out[1]), unpack(out)}
