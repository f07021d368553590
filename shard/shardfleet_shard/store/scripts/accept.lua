-- include _base
-- include _actor
-- include _transfer
-- include _journal
-- [5] transfer id, [6] source, [7] its epoch, [8] sequence, [9] cell, [10] switch tick, [11] offer tick, [12] count,
-- [13] rows, [14] their checksum.
local id, source, source_epoch = ARGV[5], ARGV[6], ARGV[7]
local record = call('HMGET', record_key(id), 'state', 'target', 'target_epoch')
local state, target, target_epoch = record[1], record[2], record[3]
local source_is_current = call('HGET', prefix .. 'epoch', source) == source_epoch

if state == 'accepted' then
  -- Never undone, so somebody else's question changes nothing: for that one the matter is decided.
  return target == shard and target_epoch == epoch and 'accepted' or 'decided'
end
if not source_is_current then
  return 'decided'
end
if not state then
  return is_decided(source, source_epoch, ARGV[8]) and 'decided' or 'not yet'
end

local why = nil
if target ~= shard or target_epoch ~= epoch then
  why = 'offered to ' .. target .. ' ' .. target_epoch
elseif call('HGET', prefix .. 'claims', ARGV[9]) ~= shard .. ' ' .. epoch then
  why = 'cell ' .. ARGV[9] .. ' is not claimed'
end
if why then
  forget(id, 'rejected')
  return {'done', 'rejected', why}
end

call('HSET', record_key(id), 'state', 'accepted')
local moved = call('HMGET', record_key(id), 'ids', 'versions', 'count')
append(shard, 'in ' .. id .. ' ' .. source .. ' ' .. ARGV[12] .. ' ' .. ARGV[10] .. ' ' .. ARGV[11], '', '', ARGV[13],
  ARGV[14])
append(source, 'out ' .. id .. ' ' .. shard .. ' ' .. moved[3] .. ' ' .. ARGV[10] .. ' ' .. ARGV[11],
  moved[1], moved[2])
return 'accepted'
