-- Leave a token for whoever waits, unless there is one.
--
-- KEYS: a wake-up list.

if redis.call('EXISTS', KEYS[1]) == 0 then even_if_full(KEYS[1]) end
wake(KEYS[1])
return 1
