-- Leave a token for whoever waits, unless there is one.
--
-- KEYS: a wake-up list.

wake(KEYS[1])
return 1
