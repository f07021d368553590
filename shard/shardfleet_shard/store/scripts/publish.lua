-- include _base
-- include _actor
-- include _journal
-- include _taken
-- [5] tick, [6] position, [7] header, [8] read after, [9] number of chunks, [10] on: the chunks,
-- or nothing: then they lie under stage:<shard>:<epoch>:<tick>:<n>, with an expiry, set just before by the same pipeline.
local tick, position, count = ARGV[5], ARGV[6], tonumber(ARGV[9])
local manifest = prefix .. 'manifest:' .. shard
local inline = ARGV[10] ~= nil

local function chunk_key(kind, its_epoch, its_tick, number)
  return prefix .. kind .. ':' .. shard .. ':' .. its_epoch .. ':' .. its_tick .. ':' .. number
end

local stored = call('HMGET', manifest, 'epoch', 'tick', 'chunks')
local stored_epoch, stored_tick = tonumber(stored[1] or ''), tonumber(stored[2] or '')
if stored_epoch and stored_tick then -- else there is none, or what there is is damaged, and this one replaces it
  local by_epoch = tonumber(epoch) - stored_epoch
  if by_epoch < 0 or (by_epoch == 0 and tonumber(tick) <= stored_tick) then
    for number = 1, inline and 0 or count do
      call('UNLINK', chunk_key('stage', epoch, tick, number))
    end
    return refused('older', stored[1] .. ' ' .. stored[2])
  end
end

if inline then
  for number = 1, count do
    call('SET', chunk_key('chunk', epoch, tick, number), ARGV[9 + number])
  end
else
  for number = 1, count do
    if call('EXISTS', chunk_key('stage', epoch, tick, number)) == 0 then
      return redis.error_reply('STAGE chunk ' .. number .. ' of ' .. count .. ' expired before the manifest was closed')
    end
  end
  for number = 1, count do
    local name = chunk_key('chunk', epoch, tick, number)
    call('RENAME', chunk_key('stage', epoch, tick, number), name)
    call('PERSIST', name)
  end
end
for number = 1, tonumber(stored[3] or 0) or 0 do
  call('UNLINK', chunk_key('chunk', stored[1], stored[2], number))
end
call('HSET', manifest, 'epoch', epoch, 'tick', tick, 'position', position, 'header', ARGV[7], 'chunks', count)

-- Everything up to and with the position is contained in the manifest. Rows first: the stream says which.
local journal, after = prefix .. 'journal:' .. shard, nil
repeat
  local covered = call('XRANGE', journal, after and '(' .. after or '-', position, 'COUNT', 512)
  local ids = {}
  for i, entry in ipairs(covered) do
    ids[i] = entry[1]
    local alias = taken_by(entry[2])
    if alias then
      forget_taken(alias)
    end
  end
  if #ids > 0 then
    call('HDEL', prefix .. 'rows:' .. shard, unpack(ids))
    after = ids[#ids]
  end
until #ids < 512
if after then
  local ms, sequence = string.match(after, '^(%d+)-(%d+)$')
  call('XTRIM', journal, 'MINID', '=', ms .. '-' .. integer(tonumber(sequence) + 1))
end
return entries_after(shard, ARGV[8])
