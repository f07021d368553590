-- include _base
-- include _schemas
-- [5] the data's format, [6] the caller's schema or 0, [7] its columns, [8] whether it founds a world where there is
-- none, [9] on: further schemas that it takes.
local running = run_id()
if ARGV[8] == '1' and call('HSETNX', prefix .. 'meta', 'generation', running) == 1 then
  call('HSETNX', prefix .. 'meta', 'format', ARGV[5])
end
local stored, own = call('HGET', prefix .. 'meta', 'generation') or '', ARGV[6]
if own == '0' or stored ~= running or call('HEXISTS', prefix .. 'meta', 'roll') == 1 then
  return {running, stored, ''}
end
local known = call('HKEYS', prefix .. 'schemas')
if #known ~= 1 or known[1] ~= own then
  local takes = {[own] = true}
  for i = 9, #ARGV do
    takes[ARGV[i]] = true
  end
  for _, hash in ipairs(schemas_in_use()) do
    if not takes[hash] then
      return {running, stored, call('HGET', prefix .. 'schemas', hash)}
    end
  end
  call('HSET', prefix .. 'schemas', own, ARGV[7])
  call('HSET', prefix .. 'meta', 'schema', own)
end
return {running, stored, ''}
