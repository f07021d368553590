-- include _base
-- include _generation
-- By the operator alone. [5] version, [6] JSON. Its version rises; the same layout again changes nothing.
local stored = call('HMGET', prefix .. 'layout', 'version', 'json')
if stored[1] == ARGV[5] and stored[2] == ARGV[6] then
  return 'ok'
end
if stored[1] and tonumber(ARGV[5]) <= tonumber(stored[1]) then
  return refused('layout', stored[1])
end
call('HSET', prefix .. 'layout', 'version', ARGV[5], 'json', ARGV[6])
return 'ok'
