-- include _base
-- include _generation
-- include _transfer
-- By the watchdog. [5] transfer id. Compare-and-set on what is there now, whatever the caller saw: a slow or a second
-- watchdog changes nothing.
local id = ARGV[5]
local record = call('HMGET', record_key(id), 'state', 'target', 'count')
if not record[1] then
  return 'decided'
end
if record[1] == 'started' then
  forget(id, 'canceled')
  count_transfer('repaired', record[3])
  return 'canceled'
end
if clear_if_target_alone(id, record[2]) then
  count_transfer('repaired', record[3])
  return 'cleared'
end
return 'accepted'
