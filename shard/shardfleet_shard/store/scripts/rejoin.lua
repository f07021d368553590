-- include _base
-- include _roll
-- include _transfer
-- include _journal
-- include _alive
-- [5] the data's format, [6] call ms, [7] lease ms, [8] tick, [9] ordinal, [10] address, [11] schema, [12] its columns,
-- [13] schemas that it takes, [14] layout version, [15] layout, [16] phase, [17] seeded, [18] origin tick, [19] rests,
-- [20] arrivals through, [21] on: ids (sorted), their buckets and bitmaps, as in _spawn, and how many ids each bucket
-- has; [25] how the statements' rows come: 'inline', or 'staged' under stage:<shard>:<epoch>:<tick>:rejoin<n>; then six
-- values a statement: owner, id or '', header, ids or rows, versions, the rows' checksum or '-'.
local running = run_id()
if joined ~= running then
  return refused('generation', running)
end
begin_roll(running, ARGV[5], ARGV[6])
local phase = advance_roll()
local stored = call('HGET', prefix .. 'epoch', shard) or '0'
if tonumber(stored) > tonumber(epoch) then
  return refused('epoch', stored)
end
if string.match(call('HGET', prefix .. 'roll', shard) or '', '^%d+') == epoch then
  return 'ok'
end
if phase ~= 'calling' then
  return refused('closed', phase)
end

-- Who it is.
if stored ~= epoch then
  call('DEL', prefix .. 'decided:' .. shard .. ':' .. stored)
  call('HSET', prefix .. 'epoch', shard, epoch)
end
call('HSET', prefix .. 'members', shard, ARGV[9] .. ' ' .. epoch .. ' ' .. ARGV[10])
call('HDEL', prefix .. 'meta', 'resigned:' .. shard)
if ARGV[7] ~= '0' then
  call('SET', prefix .. 'lease:' .. shard, epoch, 'PX', ARGV[7])
elseif is_living(shard, epoch) then
  call('DEL', prefix .. 'lease:' .. shard)
end
call('HSET', prefix .. 'schema_of', shard, ARGV[11])
call('HSETNX', prefix .. 'schemas', ARGV[11], ARGV[12])
local newest = call('HGET', prefix .. 'meta', 'schema')
if not newest or string.find(' ' .. ARGV[13] .. ' ', ' ' .. newest .. ' ', 1, true) then
  call('HSET', prefix .. 'meta', 'schema', ARGV[11])
end

-- The world as such.
if tonumber(ARGV[14]) > tonumber(call('HGET', prefix .. 'layout', 'version') or 0) then
  call('HSET', prefix .. 'layout', 'version', ARGV[14], 'json', ARGV[15])
end
if ARGV[16] ~= 'run' then
  call('HSET', prefix .. 'meta', 'phase', ARGV[16])
end
if ARGV[17] == '1' and call('HSETNX', prefix .. 'meta', 'seeded', '1') == 1 then
  call('HSET', prefix .. 'meta', 'origin_tick', ARGV[18])
  if ARGV[19] ~= '' then
    call('HSET', prefix .. 'meta', 'rests', ARGV[19])
  end
end
if tonumber(ARGV[20]) > tonumber(call('HGET', prefix .. 'meta', 'arrivals_through') or -1) then
  call('HSET', prefix .. 'meta', 'arrivals_through', ARGV[20])
end

-- What is alive.
local now = integer(expire_gone())
local alive = add_alive(ARGV[22], ARGV[23], ARGV[24])
if call('ZCARD', prefix .. 'gone') > 0 then
  local ids = {}
  for at = 1, #ARGV[21], 8 do
    ids[#ids + 1] = string.sub(ARGV[21], at, at + 7)
  end
  local gone = {}
  in_batches(ids, function(from, to)
    for i, score in ipairs(call('ZMSCORE', prefix .. 'gone', unpack(ids, from, to))) do
      if score then
        gone[#gone + 1] = ids[from + i - 1]
      end
    end
  end)
  alive = alive - #remove_alive(table.concat(gone))
end
if alive > 0 then
  call('HINCRBY', prefix .. 'counters', 'spawned', alive)
end

-- What it holds, and what became of what it gave away. A former statement of this shard knew less.
for _, entry in ipairs(call('XRANGE', prefix .. 'journal:' .. shard, '-', '+')) do
  if string.find(entry[2][2], 'held ', 1, true) == 1 then
    call('XDEL', prefix .. 'journal:' .. shard, entry[1])
    call('HDEL', prefix .. 'rows:' .. shard, entry[1])
  end
end

local function is_known(owner, entry_id, kind, transfer)
  if transfer == '-' then
    local there = entry_id ~= '' and call('XRANGE', prefix .. 'journal:' .. owner, entry_id, entry_id)[1]
    return there and string.find(there[2][2], kind .. ' ', 1, true) == 1
  end
  local source, source_epoch, sequence = string.match(transfer, '^(.*)/(%d+)/(%d+)$')
  return call('HGET', record_key(transfer), 'state') == 'accepted'
    or (call('HGET', prefix .. 'epoch', source) == source_epoch and is_decided(source, source_epoch, sequence))
    or call('SADD', prefix .. 'told', kind .. ' ' .. transfer) == 0
end

for i = 26, #ARGV, 6 do
  local owner, header = ARGV[i], ARGV[i + 2]
  local kind, transfer = string.match(header, '^(%a+) (%S+)')
  local staged = prefix .. 'stage:' .. shard .. ':' .. epoch .. ':' .. ARGV[8] .. ':rejoin' .. integer((i - 20) / 6)
  if not is_known(owner, ARGV[i + 1], kind, transfer) then
    call('HSETNX', prefix .. 'epoch', owner, '0')
    if kind == 'out' or kind == 'despawn' then
      append(owner, header, ARGV[i + 3], ARGV[i + 4])
    else
      append(owner, header, '', '', ARGV[25] == 'staged' and call('GET', staged) or ARGV[i + 3],
        ARGV[i + 5])
    end
    if kind == 'despawn' then
      local ids, removed = {}, remove_alive(ARGV[i + 3])
      for at = 1, #ARGV[i + 3], 8 do
        ids[#ids + 1] = string.sub(ARGV[i + 3], at, at + 7)
      end
      note_gone(ids, now)
      if #removed > 0 then
        call('HINCRBY', prefix .. 'counters', 'despawned', #removed)
      end
    end
  end
  if ARGV[25] == 'staged' then
    call('UNLINK', staged)
  end
end
call('HSET', prefix .. 'roll', shard, epoch .. (ARGV[7] == '0' and ' lapsed' or ' said'))
return 'ok'
