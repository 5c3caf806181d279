-- Bytes of the bodies that are ready, counted from now on.
--
-- KEYS: bytes, the queue's levels.

even_if_full(KEYS[1])
return count_bytes(KEYS[1], {unpack(KEYS, 2)})
