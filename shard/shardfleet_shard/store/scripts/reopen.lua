-- include _base
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
return 'ok'
