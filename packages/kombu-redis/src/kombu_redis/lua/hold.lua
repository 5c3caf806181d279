-- Go on holding messages that are about to be moved to another slot.
--
-- KEYS: unacked, unacked_index. ARGV: score against the present (lease - visibility_timeout); for each message its tag
--   and the score it must have ("").
--
-- Returns: the score of those that are the caller's from now on; indexes from 0 of the others.

local score, left = string.format('%.6f', now() + ARGV[1]), {}
local held = 0
even_if_full(KEYS[1])
for at = 2, #ARGV, 2 do
  local tag, expected = ARGV[at], ARGV[at + 1]
  local found = redis.call('ZSCORE', KEYS[2], tag)
  if found and (expected == '' or found == expected) and redis.call('HEXISTS', KEYS[1], tag) == 1 then
    redis.call('ZADD', KEYS[2], score, tag)
    held = tag
  else
    left[#left + 1] = (at - 2) / 2
  end
end
return {held ~= 0 and redis.call('ZSCORE', KEYS[2], held) or '', unpack(left)}
