-- include _base
-- include _actor
-- include _transfer
-- [5] transfer id, [6] its epoch, [7] sequence.
local state = call('HGET', record_key(ARGV[5]), 'state')
if state == 'accepted' then
  return 'accepted'
end
if state then
  forget(ARGV[5], 'canceled')
else
  decide(shard, ARGV[6], ARGV[7])
end
return 'canceled'
