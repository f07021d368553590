-- include _base
-- include _actor
-- include _spawn
-- [5] origin tick.
if call('GET', prefix .. 'election') ~= shard .. ' ' .. epoch then
  return refused('not owner', call('GET', prefix .. 'election') or '')
end
if call('HEXISTS', prefix .. 'meta', 'seeded') == 1 or call('HLEN', prefix .. 'ids') > 0 then
  return refused('seeded')
end
local refusal = spawn(6)
if refusal then
  return refusal
end
call('HSET', prefix .. 'meta', 'seeded', '1', 'origin_tick', ARGV[5])
return 'ok'
