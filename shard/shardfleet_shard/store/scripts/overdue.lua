-- include _base
-- include _actor
-- [5] highest transfer time. Four values a transfer that names the actor: id, target, state, whether it holds.
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', prefix .. 'active', '-inf', ARGV[5], 'LIMIT', 0, 4096)) do
  local record = call('HMGET', prefix .. 'record:' .. id, 'source', 'target', 'state')
  if record[1] == shard or record[2] == shard then
    local n = #found
    found[n + 1], found[n + 2], found[n + 3] = id, record[2], record[3]
    found[n + 4] = call('SISMEMBER', prefix .. 'holders:' .. id, shard)
    if n + 4 == 4 * 256 then
      break
    end
  end
end
return found
