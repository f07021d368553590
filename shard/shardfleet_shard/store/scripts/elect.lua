-- include _base
-- include _actor
-- [5] milliseconds.
local name = prefix .. 'election'
local mine = shard .. ' ' .. epoch
local owner, its_epoch = string.match(call('GET', name) or '', '^(%S+) (%d+)$')
if owner and is_living(owner, its_epoch) and call('HGET', prefix .. 'epoch', owner) == its_epoch then
  if owner == shard then
    call('PEXPIRE', name, ARGV[5])
  end
  return {owner, its_epoch}
end
call('DEL', name)
local members = call('HGETALL', prefix .. 'members')
local newest = call('HGET', prefix .. 'meta', 'schema')
local first, first_ordinal = nil, nil
for i = 1, #members, 2 do
  local ordinal, member_epoch = string.match(members[i + 1], '^(%d+) (%d+) ')
  ordinal = tonumber(ordinal)
  -- What a shard of a former schema spawns, everybody can read.
  if (call('HGET', prefix .. 'schema_of', members[i]) or newest) == newest then
    ordinal = ordinal + 2 ^ 32
  end
  if is_living(members[i], member_epoch) then
    if not first or ordinal < first_ordinal or (ordinal == first_ordinal and members[i] < first) then
      first, first_ordinal = members[i], ordinal
    end
  end
end
if first ~= shard or not is_living(shard, epoch) then
  return {'', '0'}
end
call('SET', name, mine, 'PX', ARGV[5])
return {shard, epoch}
