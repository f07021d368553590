-- include _base
-- include _actor
-- include _transfer
-- [5] transfer id, [6] source, [7] its epoch, [8] sequence, [9] reason.
local state = call('HGET', record_key(ARGV[5]), 'state')
if state == 'accepted' then
  return 'accepted'
end
if state then
  forget(ARGV[5], 'rejected')
else
  decide(ARGV[6], ARGV[7], ARGV[8])
end
return {'done', 'rejected', ARGV[9]}
