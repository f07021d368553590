-- include _base
-- include _generation
-- include _journal
-- include _holding
-- [5] owner, [6] id, [7] version, [8] tick, [9] offer tick, [10] row, [11] its checksum.
local owner, id, version = ARGV[5], ARGV[6], tonumber(ARGV[7])
if not is_alive(id) then
  return 'decided'
end
local names = call('HKEYS', prefix .. 'epoch')
table.sort(names)
for _, name in ipairs(names) do
  local found = evidence(name, id)
  local is_alias = string.find(name, '@', 1, true) -- whose rows are its taker's, as far as that one still has them
  if found.holds and not is_alias then
    return refused('held', name)
  end
  if found.given > version then
    return refused('older', name)
  end
end
append(owner, 'restore - - 1 ' .. ARGV[8] .. ' ' .. ARGV[9], '', '', ARGV[10], ARGV[11])
call('HINCRBY', prefix .. 'counters', 'repaired_entities', 1)
return 'ok'
