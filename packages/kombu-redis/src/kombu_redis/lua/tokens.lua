-- How one of those who wait for a queue is woken; put behind common.lua in all scripts that wake. (On a cluster that is
-- waiters.lua.)
--
-- A connection that waits for few queues pops their wake-up lists. One of many queues is entered in a list for each of them,
-- by the name of a key that exists while it sleeps; that is also the channel on which it is told of a message.

-- The first who sleeps is told, and leaves a token to nobody. Whoever is told is not entered any more, also those who
-- had something else to do. When nobody sleeps there is a token in the wake-up list: it stays until somebody takes it,
-- and then waking nobody costs one EXISTS.
local function wake(key, entered)
  entered = entered or string.gsub(key, '_kombu%.wake%.', '_kombu.enlisted.', 1)
  local there = redis.call('EXISTS', key, key, entered)
  if there > 1 then return end
  while there == 1 do
    local first = redis.call('LPOP', entered)
    if not first then break end
    if redis.call('PUBLISH', first, key) > 0 and redis.call('DEL', first) == 1 then return end
  end
  redis.call('LPUSH', key, '1')
  redis.call('PEXPIRE', key, 60000)
end
