-- include _base
-- include _generation
-- include _journal
-- include _holding
-- [5] shard, [6] owner, [7] id, [8] tick.
local copy, owner = evidence(ARGV[5], ARGV[7]), evidence(ARGV[6], ARGV[7])
if ARGV[5] == ARGV[6] or copy.unread or owner.unread or not copy.holds or not owner.holds or copy.gained > owner.gained then
  return refused('held')
end
if math.min(copy.tick, owner.tick) < tonumber(ARGV[8]) then
  return refused('older')
end
local version, bytes = owner.gained, {}
for at = 1, 4 do
  bytes[at] = string.char(version % 256)
  version = math.floor(version / 256)
end
append(ARGV[5], 'out - ' .. ARGV[6] .. ' 1 ' .. ARGV[8] .. ' ' .. ARGV[8], ARGV[7], table.concat(bytes))
call('HINCRBY', prefix .. 'counters', 'repaired_entities', 1)
return 'ok'
