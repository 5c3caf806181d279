-- Whether the topology is still what the client routed by. `checks` triples of arguments from ARGV[at] on belong to
-- KEYS[1] .. KEYS[checks]: ("h", field, value) is a hash field ("" when missing), ("s", "", count) a set's size.
-- The number of the first that does not hold, or nil.
local function failed_check(checks, at)
  for number = 1, checks do
    local kind, expected, found = ARGV[at], ARGV[at + 2]
    if kind == 'h' then
      found = redis.call('HGET', KEYS[number], ARGV[at + 1]) or ''
    else
      found = tostring(redis.call('SCARD', KEYS[number]))
    end
    if found ~= expected then return number end
    at = at + 3
  end
end
