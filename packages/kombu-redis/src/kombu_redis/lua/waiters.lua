-- How sleepers are woken on a cluster; put behind common.lua, whose `wake` it replaces, in all scripts that wake.
--
-- A wake-up key is a sorted set of channels there: of the connections that wait, by the time they began to. Whoever has
-- waited longest gets the name of the key on its channel, which is in the same slot; one that is gone is passed over.

local function tell(channel, key)
  -- (before Redis 7 there are no channels of a slot: those are broadcast to all nodes)
  return redis.call(redis.REDIS_VERSION_NUM and 'SPUBLISH' or 'PUBLISH', channel, key)
end

local function wake(key)
  while true do
    local longest = redis.call('ZPOPMIN', key)
    if #longest == 0 or tell(longest[1], key) > 0 then return end
  end
end
