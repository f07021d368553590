-- include _base
-- include _actor
-- [5] milliseconds.
local name = prefix .. 'lease:' .. shard
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
