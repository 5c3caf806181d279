-- Bytes of the bodies that are ready, counted from now on.
--
-- KEYS: bytes, the queue's levels.

return count_bytes(KEYS[1], {unpack(KEYS, 2)})
