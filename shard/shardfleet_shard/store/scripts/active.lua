-- include _base
-- [5] highest transfer time or +inf, [6] how many at most. Two values a transfer: its fields and its holders.
local found = {}
for _, id in ipairs(call('ZRANGEBYSCORE', prefix .. 'active', '-inf', ARGV[5], 'LIMIT', 0, ARGV[6])) do
  found[#found + 1] = call('HMGET', prefix .. 'record:' .. id, 'source', 'source_epoch', 'sequence', 'target',
    'target_epoch', 'cell', 'state', 'transfer_time_us', 'switch_tick', 'count', 'ids', 'versions')
  found[#found + 1] = call('SMEMBERS', prefix .. 'holders:' .. id)
end
return found
