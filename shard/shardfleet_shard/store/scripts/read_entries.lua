-- include _base
-- include _actor
-- [5] on: entry ids. Six values an entry; those that were trimmed are left out.
local found = {}
for i = 5, #ARGV do
  local entry = call('XRANGE', prefix .. 'journal:' .. shard, ARGV[i], ARGV[i])[1]
  if entry then
    local fields, n = entry[2], #found
    found[n + 1], found[n + 2], found[n + 3], found[n + 4] = entry[1], fields[2], fields[4], fields[6]
    found[n + 5], found[n + 6] = fields[8] or '-', call('HGET', prefix .. 'rows:' .. shard, entry[1]) or ''
  end
end
return found
