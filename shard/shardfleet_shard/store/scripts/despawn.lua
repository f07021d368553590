-- include _base
-- include _actor
-- include _journal
-- include _alive
-- [5] ids, [6] versions.
local now = integer(expire_gone())
local gone_ids, gone_versions = {}, {}
for n, i in ipairs(remove_alive(ARGV[5])) do
  gone_ids[n] = string.sub(ARGV[5], i * 8 + 1, i * 8 + 8)
  gone_versions[n] = string.sub(ARGV[6], i * 4 + 1, i * 4 + 4)
end
if #gone_ids == 0 then
  return 'ok'
end
note_gone(gone_ids, now)
append(shard, 'despawn - - ' .. #gone_ids .. ' 0 0', table.concat(gone_ids), table.concat(gone_versions))
call('HINCRBY', prefix .. 'counters', 'despawned', #gone_ids)
return 'ok'
