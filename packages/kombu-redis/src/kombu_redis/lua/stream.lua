-- Reading streams of broadcasts; put before the scripts that do. broadcast.lua says what an entry has.
--
-- A queue's cursors are a hash: exchange -> "<id> <number>" of the last entry that it has read. It goes when nobody has read
-- for as long as broadcasts are kept; what is younger than that was published since, so nothing is read twice then.

-- What one queue reads of one stream, described by arguments from `at`: exchange, number of selectors (Lua patterns of
-- routing keys; none select everything), those. Also where what follows begins.
local function reading(cursors, stream, queue, floor, at)
  local it = {cursors = cursors, stream = stream, queue = queue, exchange = ARGV[at], selectors = {}}
  for selector = 1, tonumber(ARGV[at + 1]) do it.selectors[selector] = ARGV[at + 1 + selector] end
  local cursor = redis.call('HGET', cursors, it.exchange)
  if cursor then
    it.id, it.number = string.match(cursor, '^(%S+) (%d+)$')
    it.number = tonumber(it.number)
  end
  if not it.id or tonumber(string.match(it.id, '^%d+')) < floor then it.id = string.format('%.0f-0', floor) end
  return it, at + 2 + #it.selectors
end

local function is_for(it, entry)
  if entry.o then
    for _, queue in ipairs(cjson.decode(entry.o)) do
      if queue == it.queue then return false end
    end
  end
  if #it.selectors == 0 then return true end
  for _, selector in ipairs(it.selectors) do
    if entry.k ~= '' and string.find(entry.k, selector) then return true end
  end
  return false
end

-- The following `count` entries, as tables of their fields; those that are for the queue and not too old by its own
-- time to live are `wanted`. How many it has missed is added to `it.lost`.
local function read(it, count, present, ttl)
  local found = redis.call('XRANGE', it.stream, '(' .. it.id, '+', 'COUNT', count)
  for at, raw in ipairs(found) do
    local entry = {}
    for field = 1, #raw[2], 2 do entry[raw[2][field]] = raw[2][field + 1] end
    local number = tonumber(entry.n)
    if it.number and number > it.number + 1 then it.lost = (it.lost or 0) + number - it.number - 1 end
    it.id, it.number, it.moved = raw[1], number, true
    local limit = ttl and string.match(raw[1], '^%d+') / 1000 + ttl
    entry.expires = tonumber(entry.x)
    if limit and (not entry.expires or entry.expires > limit) then entry.expires = limit end
    entry.wanted = is_for(it, entry)
    found[at] = entry
  end
  return found
end

-- (Nothing is written when nothing was read: idle queues cost nothing.)
local function keep(it, age)
  if not it.moved then return end
  even_if_full(it.cursors)
  redis.call('HSET', it.cursors, it.exchange, it.id .. ' ' .. string.format('%.0f', it.number))
  redis.call('PEXPIRE', it.cursors, string.format('%.0f', age * 1000 + 60000))
end
