-- How many messages of a queue are ready.
--
-- KEYS: the queue's levels.

return length(KEYS)
