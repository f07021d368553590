-- include _base
-- include _generation
-- include _transfer
-- [5] ordinal, [6] address, [7] the caller's Unix microseconds, [8] its schema.
local former = call('HGET', prefix .. 'epoch', shard) or '0'
local new = integer(math.max(tonumber(former) + 1, tonumber(ARGV[7])))
local left = lease_left_ms(shard)
call('HSET', prefix .. 'epoch', shard, new)
call('DEL', prefix .. 'decided:' .. shard .. ':' .. former)

local claims = call('HGETALL', prefix .. 'claims')
for i = 1, #claims, 2 do
  if string.match(claims[i + 1], '^(%S+)') == shard then
    call('HDEL', prefix .. 'claims', claims[i])
  end
end

local accepted_incoming = {}
for _, id in ipairs(call('ZRANGE', prefix .. 'active', 0, -1)) do
  local record = call('HMGET', record_key(id), 'state', 'source', 'target')
  local state, source, target = record[1], record[2], record[3]
  if state == 'started' and (source == shard or target == shard) then
    forget(id, 'canceled')
  elseif state == 'accepted' and target == shard then
    call('HSET', record_key(id), 'target_epoch', new)
    accepted_incoming[#accepted_incoming + 1] = id
  elseif state == 'accepted' and source == shard then
    call('SREM', holders_key(id), shard)
    clear_if_target_alone(id, target)
  end
end

call('HSET', prefix .. 'members', shard, ARGV[5] .. ' ' .. new .. ' ' .. ARGV[6])
call('HSET', prefix .. 'schema_of', shard, ARGV[8])
-- Its epoch is refused as an old one from here on.
call('HDEL', prefix .. 'meta', 'resigned:' .. shard)
return {new, left, accepted_incoming}
