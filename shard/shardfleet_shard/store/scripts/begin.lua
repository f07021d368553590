-- include _base
-- include _actor
-- include _transfer
-- [5] transfer id, [6] its epoch, [7] sequence, [8] target, [9] its epoch, [10] cell, [11] transfer time,
-- [12] switch tick, [13] count, [14] ids, [15] versions.
local id = ARGV[5]
if ARGV[6] ~= epoch then
  return refused('epoch', epoch)
end
local state = call('HGET', record_key(id), 'state')
if state then
  return state
end
if is_decided(shard, epoch, ARGV[7]) then
  return 'decided'
end
call('HSET', record_key(id), 'state', 'started', 'source', shard, 'source_epoch', epoch, 'sequence', ARGV[7],
  'target', ARGV[8], 'target_epoch', ARGV[9], 'cell', ARGV[10], 'transfer_time_us', ARGV[11],
  'switch_tick', ARGV[12], 'count', ARGV[13], 'ids', ARGV[14], 'versions', ARGV[15])
call('SADD', holders_key(id), shard)
call('ZADD', prefix .. 'active', ARGV[11], id)
count_transfer('started', ARGV[13])
return 'started'
