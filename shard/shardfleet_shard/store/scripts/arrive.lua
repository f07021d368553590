-- include _base
-- include _actor
-- include _spawn
-- [5] after, [6] through.
if call('GET', prefix .. 'election') ~= shard .. ' ' .. epoch then
  return refused('not owner', call('GET', prefix .. 'election') or '')
end
local through = call('HGET', prefix .. 'meta', 'arrivals_through') or '-1'
if through ~= ARGV[5] then
  return refused('older', through)
end
local refusal = spawn(7)
if refusal then
  return refusal
end
call('HSET', prefix .. 'meta', 'arrivals_through', ARGV[6])
return 'ok'
