-- include _base
-- include _actor
-- include _transfer
-- [5] transfer id.
local id = ARGV[5]
local record = call('HMGET', record_key(id), 'state', 'target', 'source')
if not record[1] then
  return 'cleared'
end
if record[2] ~= shard then
  return refused('held', record[2])
end
if record[1] ~= 'accepted' then
  return record[1]
end
if record[3] == shard then
  forget(id, 'completed')
  return 'cleared'
end
call('SADD', holders_key(id), shard)
return clear_if_target_alone(id, shard) and 'cleared' or 'adopted'
