-- include _base
-- include _actor
-- include _transfer
-- include _journal
-- By the operator, for a shard that lives. [5] whom it takes over, [6] that one's epoch as the caller saw it,
-- [7] Unix microseconds.
local gone, former = ARGV[5], ARGV[6]
if not is_living(shard, epoch) then
  return refused('held', shard)
end
local stored = call('HGET', prefix .. 'epoch', gone) or '0'
if stored ~= former then
  return refused('older', stored)
end
local left = lease_left_ms(gone)
if left > 0 then
  return refused('held', gone, left)
end
local own, its = call('HGET', prefix .. 'schema_of', shard), call('HGET', prefix .. 'schema_of', gone)
if its and its ~= own and own ~= call('HGET', prefix .. 'meta', 'schema') then
  return refused('unclaimed', gone)
end

local new = integer(math.max(tonumber(former) + 1, tonumber(ARGV[7])))
call('HSET', prefix .. 'epoch', gone, new)
call('DEL', prefix .. 'decided:' .. gone .. ':' .. former)
local claims = call('HGETALL', prefix .. 'claims')
for i = 1, #claims, 2 do
  if string.match(claims[i + 1], '^(%S+)') == gone then
    call('HDEL', prefix .. 'claims', claims[i])
  end
end
call('HDEL', prefix .. 'members', gone)
call('HDEL', prefix .. 'schema_of', gone)

for _, id in ipairs(call('ZRANGE', prefix .. 'active', 0, -1)) do
  local record = call('HMGET', record_key(id), 'state', 'source', 'target')
  local state, source, target = record[1], record[2], record[3]
  if state == 'started' and (source == gone or target == gone) then
    forget(id, 'canceled')
  elseif state == 'accepted' and target == gone then
    -- It may have said ADOPTED. Not cleared here, even where the taker is the source: it has still to let go.
    call('SREM', holders_key(id), gone)
    call('HSET', record_key(id), 'target', shard, 'target_epoch', epoch)
  elseif state == 'accepted' and source == gone then
    call('SREM', holders_key(id), gone)
    clear_if_target_alone(id, target)
  end
end

local manifest = call('HMGET', prefix .. 'manifest:' .. gone, 'epoch', 'tick', 'chunks')
local has_journal = #call('XRANGE', prefix .. 'journal:' .. gone, '-', '+', 'COUNT', 1) > 0
if not manifest[1] and not has_journal then
  return 'ok'
end
local alias = gone .. '@' .. new
call('HSET', prefix .. 'epoch', alias, new)
local function rename(kind, rest)
  local name = prefix .. kind .. ':' .. gone .. rest
  if call('EXISTS', name) == 1 then -- a chunk may be lost; whoever reads the manifest says so
    call('RENAME', name, prefix .. kind .. ':' .. alias .. rest)
  end
end
for number = 1, tonumber(manifest[3] or 0) or 0 do
  rename('chunk', ':' .. manifest[1] .. ':' .. manifest[2] .. ':' .. number)
end
if manifest[1] then
  rename('manifest', '')
end
if has_journal then
  rename('journal', '')
end
rename('rows', '')
append(shard, 'takeover - ' .. alias .. ' 0 0 0', '', '')
return 'ok'
