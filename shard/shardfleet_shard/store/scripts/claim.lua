-- include _base
-- include _actor
-- [5] layout version, [6] on the cells' paths.
if #ARGV >= 6 then
  local version = call('HGET', prefix .. 'layout', 'version')
  if version ~= ARGV[5] then
    return refused('layout', version or '')
  end
end
local wanted = {}
for i = 6, #ARGV do
  local owner, its_epoch = string.match(call('HGET', prefix .. 'claims', ARGV[i]) or '', '^(%S+) (%d+)$')
  if owner and owner ~= shard and call('HGET', prefix .. 'epoch', owner) == its_epoch then
    return refused('held', owner, lease_left_ms(owner))
  end
  wanted[ARGV[i]] = true
end
local claims = call('HGETALL', prefix .. 'claims')
for i = 1, #claims, 2 do
  if not wanted[claims[i]] and string.match(claims[i + 1], '^(%S+)') == shard then
    call('HDEL', prefix .. 'claims', claims[i])
  end
end
for i = 6, #ARGV do
  call('HSET', prefix .. 'claims', ARGV[i], shard .. ' ' .. epoch)
end
return 'ok'
