-- Streams of broadcasts, as push.lua appends to them; put before it.
--
-- An entry has the fields n (its number), k (routing key), p (payload), and where there is something to say s (step of its
-- priority), x (when it expires, in seconds since the epoch), o (JSON: queues that have it by another way).

-- The streams of a call, and where what follows them begins. Their keys are stream and counter; the arguments are how
-- many streams, entries to keep, milliseconds to keep them, routing key, step; for each the channel of its bell, and o.
local function streams_at(key, at)
  local count = tonumber(ARGV[at])
  local found = {length = ARGV[at + 1], age = tonumber(ARGV[at + 2]), key = ARGV[at + 3], step = ARGV[at + 4]}
  at = at + 5
  for number = 1, count do
    found[number] = {stream = KEYS[key], counter = KEYS[key + 1], bell = ARGV[at], others = ARGV[at + 1]}
    key, at = key + 2, at + 2
  end
  return found, key, at
end

-- Both limits are approximate, since Redis drops whole nodes of about a hundred entries: readers look at the age
-- again. What nobody publishes to is gone when the time of its last entry is over.
local function broadcast(streams, payload, expires)
  for _, it in ipairs(streams) do
    local number = redis.call('INCR', it.counter)
    local fields = {'n', number, 'k', streams.key, 'p', payload}
    local function add(name, value, none)
      if value ~= none then fields[#fields + 1], fields[#fields + 2] = name, value end
    end
    add('s', streams.step, '0')
    add('x', expires, '')
    add('o', it.others, '')
    redis.call('XADD', it.stream, 'MAXLEN', '~', streams.length, '*', unpack(fields))
    if number % 16 == 0 then
      local time = redis.call('TIME')
      redis.call('XTRIM', it.stream, 'MINID', '~', string.format('%.0f', time[1] * 1000 - streams.age))
    end
    redis.call('PEXPIRE', it.stream, streams.age)
    redis.call('PEXPIRE', it.counter, streams.age)
    redis.call('PUBLISH', it.bell, '')
  end
end
