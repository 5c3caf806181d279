-- The beginning of claim.lua: the only message of a queue whose consumers do not acknowledge. The server forgets it as it
-- hands it out (AMQP 0-9-1 basic.consume, no-ack), in half the time that a lease and its end would take. Where there are
-- more, which the client keeps for a while, or anything else is unusual, claim.lua goes on.
--
-- Returns: the payload, if it was in the first level; else {level, payload}, the level as an index from 0.

if ARGV[1] == '1' and ARGV[7] == 'n' and ARGV[10] ~= '0' and ARGV[11] ~= '0'
  and (redis.call('HGET', KEYS[1], ARGV[5]) or '') == ARGV[6] then
  local lists = redis.call('EXISTS', KEYS[5], unpack(KEYS, 8))
  if lists == 0 then return nil end
  for key = 8, lists == 1 and #KEYS or 0 do
    local length = redis.call('LLEN', KEYS[key])
    if length == 1 then
      local payload = redis.call('RPOP', KEYS[key])
      if key == 8 then return payload end
      return {key - 8, payload}
    end
    if length > 1 then break end
  end
end
