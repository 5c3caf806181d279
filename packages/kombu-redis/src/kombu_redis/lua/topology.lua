-- What the scripts that change the topology share; put before each of them, behind common.lua.
--
-- An exchange's value in the hash of exchanges is "<version>.<rows>[f]|<JSON>". The version grows with each change made
-- here, so a publisher that knows the value knows the bindings. `rows` is the size of the set of bindings after that
-- change: kombu 5 changes the set without a version, and "f" stays once that has been noticed.

-- Note a change of an exchange whose set of bindings had `before` rows; (value before, value now), "" if undeclared.
-- With a `spec` (JSON) an exchange that nobody declared here is entered.
local function bump(exchanges, exchange, spec, binding, before)
  local value = redis.call('HGET', exchanges, exchange) or ''
  local version, foreign = '', ''
  if value == '' then
    if spec == '' then return '', '' end
    version = now() * 1000000
    if before > 0 then foreign = 'f' end
  else
    local rows
    version, rows, foreign, spec = string.match(value, '^(%d+)%.(%d+)(f?)|(.*)$')
    if tonumber(rows) ~= before then foreign = 'f' end
    version = version + 1
  end
  local new = string.format('%.0f.%d%s|%s', version, redis.call('SCARD', binding), foreign, spec)
  redis.call('HSET', exchanges, exchange, new)
  return value, new
end

-- Take one row out of the sets of an exchange; whether it was there, and the values as `bump` returns them.
local function remove_row(exchanges, deadlines, binding, permanent, bound, exchange, kind, row)
  local before = redis.call('SCARD', binding)
  local removed
  if kind == 'row' then
    removed = redis.call('SREM', binding, row)
    redis.call('SREM', permanent, row)
    if removed == 1 and before == 1 then redis.call('ZREM', deadlines, exchange) end
  else
    removed = redis.call('SREM', bound, row)
  end
  if removed == 0 then
    local value = redis.call('HGET', exchanges, exchange) or ''
    return 0, value, value
  end
  return removed, bump(exchanges, exchange, '', binding, before)
end

-- A queue's bindings to streams have changed: its declaration tells, so that whoever consumes from it reads them again.
local function note_streams(queues, queue)
  local value = redis.call('HGET', queues, queue)
  if not value then return end
  local head, number = string.match(value, '^(.*), "streams": (%d+)}$')
  local mark = string.format(', "streams": %d}', (number or 0) + 1)
  redis.call('HSET', queues, queue, (head or string.sub(value, 1, -2)) .. mark)
end

-- A queue has lost a binding to a stream; with the last one to that exchange it forgets how far it has read.
local function leave_stream(queues, sources, cursors, queue, exchange)
  note_streams(queues, queue)
  for _, source in ipairs(redis.call('SMEMBERS', sources)) do
    local about = cjson.decode(source)
    if about[1] == exchange and about[2] == 'stream' then return end
  end
  redis.call('HDEL', cursors, exchange)
end
