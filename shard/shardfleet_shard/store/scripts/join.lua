-- include _base
-- include _schemas
-- [5] the data's format, [6] the caller's schema or 0, [7] its columns, [8] on: further schemas that it takes. A Redis without a generation has no world yet: it becomes this one's.
local running = run_id()
if call('HSETNX', prefix .. 'meta', 'generation', running) == 1 then
  call('HSETNX', prefix .. 'meta', 'format', ARGV[5])
end
local stored, own = call('HGET', prefix .. 'meta', 'generation'), ARGV[6]
if own == '0' or stored ~= running then
  return {running, stored, ''}
end
local known = call('HKEYS', prefix .. 'schemas')
if #known ~= 1 or known[1] ~= own then
  local takes = {[own] = true}
  for i = 8, #ARGV do
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
