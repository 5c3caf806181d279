-- Go on holding messages.
--
-- KEYS: unacked_index. ARGV: score against the present (lease - visibility_timeout), tags.
--
-- Promises: what is still leased is so for the whole lease from now on; what is not stays with whoever has it.
--
-- Returns: indexes from 0 of the tags that are lost.

local score = string.format('%.6f', now() + ARGV[1])
local lost = {}
even_if_full(KEYS[1])
for start = 2, #ARGV, 1000 do
  local tags = {unpack(ARGV, start, math.min(start + 999, #ARGV))}
  local held = {}
  for at, found in ipairs(redis.call('ZMSCORE', KEYS[1], unpack(tags))) do
    if found then
      held[#held + 1], held[#held + 2] = score, tags[at]
    else
      lost[#lost + 1] = start + at - 3
    end
  end
  if #held > 0 then redis.call('ZADD', KEYS[1], unpack(held)) end
end
return lost
