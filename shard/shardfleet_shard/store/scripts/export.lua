-- include _base
-- All that outlives the shards' processes, at one moment: key without prefix, and its DUMP, for each key. Leases, claims,
-- members with their schemas, the election and links belong to processes, and stay behind.
local found = {}
local function take(name)
  local data = call('DUMP', prefix .. name)
  if data then
    found[#found + 1], found[#found + 2] = name, data
  end
end

for _, name in ipairs({'meta', 'layout', 'epoch', 'schemas', 'ids', 'gone', 'counters', 'active'}) do
  take(name)
end
local epochs = call('HGETALL', prefix .. 'epoch')
for i = 1, #epochs, 2 do
  local name = epochs[i]
  take('manifest:' .. name)
  take('journal:' .. name)
  take('rows:' .. name)
  take('decided:' .. name .. ':' .. epochs[i + 1])
  local manifest = call('HMGET', prefix .. 'manifest:' .. name, 'epoch', 'tick', 'chunks')
  for number = 1, tonumber(manifest[3] or 0) or 0 do
    take('chunk:' .. name .. ':' .. manifest[1] .. ':' .. manifest[2] .. ':' .. number)
  end
end
for _, id in ipairs(call('ZRANGE', prefix .. 'active', 0, -1)) do
  take('record:' .. id)
  take('holders:' .. id)
end
return found
