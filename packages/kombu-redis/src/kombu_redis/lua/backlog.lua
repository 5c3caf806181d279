-- How many broadcasts a queue has not read yet; with "1" it will not.
--
-- KEYS: the queue's cursors, its streams.
-- ARGV: queue, seconds that broadcasts are kept, seconds that messages live (""), "1" to skip them; for each stream what
--   stream.lua says.
-- Returns: how many.

local present, age, ttl = now(), tonumber(ARGV[2]), tonumber(ARGV[3])
local count, at = 0, 5
for stream = 2, #KEYS do
  local it
  it, at = reading(KEYS[1], KEYS[stream], ARGV[1], math.floor((present - age) * 1000), at)
  repeat
    local entries = read(it, 1000, present, ttl)
    for _, entry in ipairs(entries) do
      if entry.wanted and (not entry.expires or entry.expires > present) then count = count + 1 end
    end
  until #entries == 0
  if ARGV[4] == '1' then keep(it, age) end
end
return count
