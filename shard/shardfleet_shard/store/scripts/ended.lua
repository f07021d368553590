-- include _base
-- The caller has seen the process end, so no generation matters: a lease of a dead process is never right. An older
-- process may live on unseen: its lease is not this one's.
local name = prefix .. 'lease:' .. shard
local holder = call('GET', name)
if holder and (epoch == '0' or holder == epoch) then
  call('DEL', name)
end
return 'ok'
