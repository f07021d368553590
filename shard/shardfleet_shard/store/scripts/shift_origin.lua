-- include _base
-- By the operator alone, before a resting world goes on. [5] the origin as the caller read it, [6] the new one.
local origin = call('HGET', prefix .. 'meta', 'origin_tick') or '0'
if origin == ARGV[6] then
  return 'ok'
end
if origin ~= ARGV[5] then
  return refused('older', origin)
end
call('HSET', prefix .. 'meta', 'origin_tick', ARGV[6])
return 'ok'
