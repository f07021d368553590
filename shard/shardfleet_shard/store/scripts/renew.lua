-- include _base
-- include _run
-- include _epoch
-- [5] milliseconds.
local name = prefix .. 'lease:' .. shard
-- A shard whose lease has run out acts again only once the world is open.
if roll and not is_living(shard, epoch) then
  return refused('closed', string.match(roll, '^%a+'))
end
-- A renewal that was under way when its shard resigned would make the successor wait.
if call('HGET', prefix .. 'meta', 'resigned:' .. shard) == epoch then
  return refused('held', shard .. ' resigned', ARGV[5])
end
local holder = call('GET', name)
if holder and holder ~= epoch then
  return refused('held', shard .. ' ' .. holder, lease_left_ms(shard))
end
call('SET', name, epoch, 'PX', ARGV[5])
return 'ok'
