-- include _base
-- [5] the data's format.
local running = run_id()
if call('HGET', prefix .. 'meta', 'generation') == running then
  return 'ok'
end
local longest, holder = 0, ''
for _, name in ipairs(call('HKEYS', prefix .. 'epoch')) do
  local left = lease_left_ms(name)
  if left > longest then
    longest, holder = left, name
  end
end
if longest > 0 then
  return refused('held', holder, longest)
end
call('HSET', prefix .. 'meta', 'generation', running)
call('HSETNX', prefix .. 'meta', 'format', ARGV[5])
call('HDEL', prefix .. 'meta', 'roll')
call('DEL', prefix .. 'roll', prefix .. 'told')
return 'ok'
