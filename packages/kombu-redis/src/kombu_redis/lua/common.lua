-- What several scripts share; put before each of them. It touches the keys it is handed and nothing else.
--
-- A script runs alone and to its end, and the server's disk gets all it wrote or nothing, so a client that dies
-- leaves a state from before or after. A command that fails ends a script half way, though: what is added is
-- therefore written before what it replaces is removed, which at worst leaves a message twice.

local function now()
  local time = redis.call('TIME')
  return time[1] + time[2] / 1000000
end

-- To begin with, by scripts that hold, settle or take messages, or declare: a server that has reached `maxmemory` lets a script go on
-- whose first write needs no memory (https://redis.io/docs/latest/commands/eval). The key must have no time to live.
local function even_if_full(key)
  redis.call('PERSIST', key)
end

-- A payload as an element of a JSON array: itself if it looks like an object, else a string with its bytes.
local function element(payload)
  if string.byte(payload, 1) == 123 and string.byte(payload, -1) == 125 then
    return payload
  end
  return cjson.encode(payload)
end

-- The end of what `unacked` says of a queue's message. Restorers of kombu 5 push to the list named by the key ("" is
-- the default exchange), that is to the queue it came from.
local function origin(queue)
  return ', "", ' .. cjson.encode(queue) .. ']'
end

-- The payload's own bytes, out of a value of `unacked` that was written here.
local function payload_of(value, queue)
  local tail = origin(queue)
  if string.byte(value, 1) ~= 91 or string.sub(value, -#tail) ~= tail then
    return value
  end
  local text = string.sub(value, 2, -#tail - 1)
  if string.byte(text, 1) == 34 then
    return cjson.decode('[' .. text .. ']')[1]
  end
  return text
end

-- Enter payloads (oldest first) into `unacked` and its index under the tags prefix .. first and following ones.
-- The payloads are appended to `out`, for the reply. Those that were popped off `list` go back there if that fails.
local function lease(unacked, index, score, queue, prefix, first, payloads, out, list)
  local values, scores = {}, {}
  local tail = origin(queue)
  for at, payload in ipairs(payloads) do
    local tag = prefix .. string.format('%09d', first + at - 1)
    values[2 * at - 1], values[2 * at] = tag, '[' .. element(payload) .. tail
    scores[2 * at - 1], scores[2 * at] = score, tag
    out[#out + 1] = payload
  end
  local done = redis.pcall('HSET', unacked, unpack(values))
  if type(done) == 'number' then done = redis.pcall('ZADD', index, unpack(scores)) end
  if type(done) ~= 'number' then
    for at = list and #payloads or 0, 1, -1 do redis.call('RPUSH', list, payloads[at]) end
    error(done.err)
  end
end

-- Bytes of a message's body as it was published; of what cannot be read all its bytes.
local function body_size(payload)
  local ok, message = pcall(cjson.decode, payload)
  if not ok or type(message) ~= 'table' then return #payload end
  local body, properties = message.body, message.properties
  if type(body) ~= 'string' then return 0 end
  if type(properties) == 'table' and properties.body_encoding == 'base64' then
    return math.floor(#body * 3 / 4) - #string.match(string.sub(body, -2), '=*$')
  end
  return #body
end

local function body_sizes(payloads)
  local sum = 0
  for _, payload in ipairs(payloads) do sum = sum + body_size(payload) end
  return sum
end

local function length(levels)
  local sum = 0
  for _, level in ipairs(levels) do sum = sum + redis.call('LLEN', level) end
  return sum
end

-- The hash `bytes` counts the messages and body bytes of a queue that is limited by bytes. Clients that do not know
-- it (kombu 5) are noticed by the number of messages, and then all is counted anew.
local function count_bytes(bytes, levels)
  local known = redis.call('HMGET', bytes, 'messages', 'bytes')
  local messages = length(levels)
  if known[1] and tonumber(known[1]) == messages then return tonumber(known[2]) end
  local sum = 0
  for _, level in ipairs(levels) do
    for start = 0, redis.call('LLEN', level) - 1, 1000 do
      sum = sum + body_sizes(redis.call('LRANGE', level, start, start + 999))
    end
  end
  redis.call('HSET', bytes, 'messages', messages, 'bytes', sum)
  return sum
end

local function add_bytes(bytes, messages, size)
  if redis.call('EXISTS', bytes) == 1 then
    redis.call('HINCRBY', bytes, 'messages', messages)
    redis.call('HINCRBY', bytes, 'bytes', size)
  end
end
