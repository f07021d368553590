-- include _base
-- include _actor
-- include _transfer
-- include _journal
-- include _schemas
-- Again, after an answer that was lost: whatever came since, this epoch has ended and must not go on.
if call('HGET', prefix .. 'meta', 'resigned:' .. shard) == epoch then
  return 'ok'
end
for _, id in ipairs(call('ZRANGE', prefix .. 'active', 0, -1)) do
  local record = call('HMGET', record_key(id), 'source', 'target')
  if record[1] == shard or record[2] == shard then
    return refused('busy', id)
  end
end
local after = call('HGET', prefix .. 'manifest:' .. shard, 'position') or '0-0'
repeat
  local entries = entries_after(shard, after)
  for i = 1, #entries, 5 do
    local kind = string.match(entries[i + 1], '^%S+')
    if kind ~= 'out' and kind ~= 'despawn' then
      return refused('busy', (kind or '?') .. ' ' .. entries[i])
    end
    after = entries[i]
  end
until #entries == 0
local claims = call('HGETALL', prefix .. 'claims')
for i = 1, #claims, 2 do
  if string.match(claims[i + 1], '^(%S+)') == shard then
    call('HDEL', prefix .. 'claims', claims[i])
  end
end
call('DEL', prefix .. 'lease:' .. shard)
call('HDEL', prefix .. 'members', shard)
call('HDEL', prefix .. 'schema_of', shard)
if call('HLEN', prefix .. 'schemas') > 1 then
  local left = schemas_in_use()
  if #left == 1 then
    call('HSET', prefix .. 'meta', 'schema', left[1])
  end
end
call('HSET', prefix .. 'meta', 'resigned:' .. shard, epoch)
return 'ok'
