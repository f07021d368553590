-- include _base
-- include _run
-- include _epoch
-- [5] the two shards' names, sorted, [6] milliseconds, 0 to give it up.
local name = prefix .. 'link:' .. ARGV[5]
local holder = string.match(call('GET', name) or '', '^(%S+) ')
if ARGV[6] == '0' then
  if holder == shard then
    call('DEL', name)
  end
  return 'ok'
end
if holder and holder ~= shard then
  return refused('held', holder, math.max(call('PTTL', name), 0))
end
call('SET', name, shard .. ' ' .. epoch, 'PX', ARGV[6])
return 'ok'
