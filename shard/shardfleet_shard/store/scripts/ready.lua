-- include _base
-- include _run
-- include _epoch
-- include _transfer
-- [5] the last sequence that the shard began, [6] on: transfers that are open at it.
local said = call('HGET', prefix .. 'roll', shard)
if not roll or said == epoch .. ' ready' then
  return 'ok'
end
if string.match(roll, '^%a+') ~= 'closed' or string.match(said or '', '^%d+') ~= epoch then
  return refused('closed', string.match(roll, '^%a+'))
end
local open = {}
for i = 6, #ARGV do
  open[ARGV[i]] = true
end

local lowest, recorded = tonumber(ARGV[5]) + 1, {}
for _, id in ipairs(call('ZRANGE', prefix .. 'active', 0, -1)) do
  local record = call('HMGET', record_key(id), 'state', 'source', 'target', 'source_epoch', 'sequence')
  local names_it = record[2] == shard or record[3] == shard
  if record[1] == 'started' and names_it then
    forget(id, 'canceled')
  elseif record[1] == 'accepted' and names_it then
    if not open[id] and record[2] == shard then
      call('SREM', holders_key(id), shard)
    elseif not open[id] then
      call('SADD', holders_key(id), shard)
    end
    if not clear_if_target_alone(id, record[3]) and record[2] == shard and record[4] == epoch then
      lowest = math.min(lowest, tonumber(record[5]))
      recorded[record[5]] = true
    end
  end
end
-- What has no record was accepted and is settled, or never will be: its BEGIN is of a former generation.
decide_through(shard, epoch, lowest - 1)
for sequence = lowest, tonumber(ARGV[5]) do
  if not recorded[integer(sequence)] then
    decide(shard, epoch, integer(sequence))
  end
end
call('HSET', prefix .. 'roll', shard, epoch .. ' ready')
return 'ok'
