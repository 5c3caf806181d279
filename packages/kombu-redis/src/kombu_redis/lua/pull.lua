-- Take broadcasts out of streams into the lists of queues, as many as their consumers have room for.
--
-- KEYS: the hash of queues, the sorted set of expiring queues; for each queue: its cursors, its streams, its levels.
-- ARGV: number of queues, seconds that broadcasts are kept; for each queue: name, known declaration, how many, seconds that
--   messages live (""), "1" if they become dead letters then, number of streams, of levels; the step of each level; for each
--   stream what stream.lua says.
--
-- Promises: a broadcast comes into the list in the step in which the cursor moves behind it: once, in the order of the
-- stream. A queue that is declared differently from what the client knows is left alone.
--
-- Returns: nil when nothing is left; else for each queue that may have more its index from 0, -1, and 1 if that is so because
-- the look was ended; and for each stream that a queue has missed something of: index of the queue, of the stream, how many.

local queues, age = tonumber(ARGV[1]), tonumber(ARGV[2])
local present = now()
local floor, out = math.floor((present - age) * 1000), {}
local SCANNED = 5000

local function stamped(payload, expires)
  if not expires or string.sub(payload, -2) ~= '}}' then return payload end
  return string.sub(payload, 1, -3) .. string.format(', "expires_at": %.6f}}', expires)
end

local function report(queue, stream, number)
  local at = #out
  out[at + 1], out[at + 2], out[at + 3] = queue - 1, stream - 1, number
end

-- Whether there may be more.
local function fill(it, levels, want, ttl, buries)
  local scanned = 0
  while want > 0 and scanned < SCANNED do
    local entries = read(it, want, present, ttl)
    if #entries > 0 then even_if_full(KEYS[1]) end
    for _, entry in ipairs(entries) do
      if entry.wanted and (buries or not entry.expires or entry.expires > present) then
        redis.call('LPUSH', levels[entry.s or '0'] or levels['0'], stamped(entry.p, entry.expires))
        if entry.expires then redis.call('ZADD', KEYS[2], 'LT', string.format('%.6f', entry.expires), it.queue) end
        want = want - 1
      end
    end
    scanned = scanned + #entries
    if #entries == 0 then return false, want end
  end
  return true, want
end

local key, at = 3, 3
for queue = 1, queues do
  local name, want, ttl, buries = ARGV[at], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4] == '1'
  local streams, count = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6])
  local is_known = (redis.call('HGET', KEYS[1], name) or '') == ARGV[at + 1]
  local cursors, first_level, levels = KEYS[key], key + streams + 1, {}
  for level = 0, count - 1 do levels[ARGV[at + 7 + level]] = KEYS[first_level + level] end
  levels['0'] = levels['0'] or KEYS[first_level]
  want = want - length({unpack(KEYS, first_level, first_level + count - 1)})
  at = at + 7 + count
  for stream = 1, streams do
    local it
    it, at = reading(cursors, KEYS[key + stream], name, floor, at)
    if is_known then
      local more = true
      if want > 0 then more, want = fill(it, levels, want, ttl, buries) end
      if more then report(queue, 0, want > 0 and 1 or 0) end
      if it.lost then report(queue, stream, it.lost) end
      keep(it, age)
    end
  end
  key = first_level + count
end
if #out == 0 then return nil end
return out
