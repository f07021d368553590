-- include _base
-- include _actor
-- include _journal
-- include _living
-- [5] ids, [6] versions.
local now_ms = integer(expire_gone())
local ids, versions = ARGV[5], ARGV[6]
local buckets, gone_ids, gone_versions = {}, {}, {}
for i = 0, #ids / 8 - 1 do
  local low, field = string.byte(ids, i * 8 + 1), string.sub(ids, i * 8 + 2, i * 8 + 8)
  local bytes = buckets[field]
  if bytes == nil then
    local stored = call('HGET', prefix .. 'ids', field)
    bytes = stored and {string.byte(stored, 1, 32)} or false
    buckets[field] = bytes
  end
  local at, mask = math.floor(low / 8) + 1, bit.lshift(1, low % 8)
  if bytes and bit.band(bytes[at], mask) ~= 0 then
    bytes[at] = bytes[at] - mask
    bytes.changed = true
    gone_ids[#gone_ids + 1] = string.sub(ids, i * 8 + 1, i * 8 + 8)
    gone_versions[#gone_versions + 1] = string.sub(versions, i * 4 + 1, i * 4 + 4)
  end
end
if #gone_ids == 0 then
  return 'ok'
end
local none = string.rep('\0', 32)
for field, bytes in pairs(buckets) do
  if bytes and bytes.changed then
    local bitmap = string.char(unpack(bytes, 1, 32))
    if bitmap == none then
      call('HDEL', prefix .. 'ids', field)
    else
      call('HSET', prefix .. 'ids', field, bitmap)
    end
  end
end
in_batches(gone_ids, function(from, to)
  local scored = {}
  for i = from, to do
    scored[#scored + 1] = now_ms
    scored[#scored + 1] = gone_ids[i]
  end
  call('ZADD', prefix .. 'gone', unpack(scored))
end)
append(shard, 'despawn - - ' .. #gone_ids .. ' 0 0', table.concat(gone_ids), table.concat(gone_versions))
call('HINCRBY', prefix .. 'counters', 'despawned', #gone_ids)
return 'ok'
