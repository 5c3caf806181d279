-- Remove the messages of a queue that are ready; what is leased or delayed stays.
--
-- KEYS: bytes, the queue's levels. Returns: how many there were.

local levels = {unpack(KEYS, 2)}
local count = length(levels)
redis.call('UNLINK', unpack(KEYS))
return count
