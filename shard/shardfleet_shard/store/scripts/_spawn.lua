-- include _journal
-- include _living
-- From ARGV[first] on: ids (sorted), their buckets (7 bytes each) and bitmaps (32 bytes each), an id that the request
-- itself names twice ('' where none), then cell, count, tick, offer tick, rows and their checksum for each group.
local function merged(old, new)
  local olds, news = {string.byte(old, 1, 32)}, {string.byte(new, 1, 32)}
  for i = 1, 32 do
    news[i] = bit.bor(olds[i], news[i])
  end
  return string.char(unpack(news))
end

local function first_in_both(bucket, old, new)
  for i = 1, 32 do
    local both = bit.band(string.byte(old, i), string.byte(new, i))
    if both ~= 0 then
      local low = (i - 1) * 8
      while both % 2 == 0 do
        both, low = both / 2, low + 1
      end
      return string.char(low) .. bucket
    end
  end
  return nil
end

-- The claimants of the groups' cells, or nil and the cell that has none.
local function claimants(first)
  local owners = {}
  local own, newest = call('HGET', prefix .. 'schema_of', shard), call('HGET', prefix .. 'meta', 'schema')
  for i = first + 4, #ARGV, 6 do
    local claim = call('HGET', prefix .. 'claims', ARGV[i])
    local owner, its_epoch = string.match(claim or '', '^(%S+) (%d+)$')
    if not owner or call('HGET', prefix .. 'epoch', owner) ~= its_epoch or not is_living(owner, its_epoch) then
      return nil, ARGV[i]
    end
    -- A shard of a former schema could not read the rows; its cell is to have another one soon.
    local its_schema = call('HGET', prefix .. 'schema_of', owner)
    if its_schema ~= own and its_schema ~= newest then
      return nil, ARGV[i]
    end
    owners[#owners + 1] = owner
  end
  return owners
end

local function duplicate_of(first, fields, bitmaps)
  if ARGV[first + 3] ~= '' then
    return ARGV[first + 3]
  end
  local found = nil
  in_batches(fields, function(from, to)
    local stored = call('HMGET', prefix .. 'ids', unpack(fields, from, to))
    for i = from, to do
      local old = stored[i - from + 1]
      if old and not found then
        found = first_in_both(fields[i], old, bitmaps[i])
      end
      if old then
        bitmaps[i] = merged(old, bitmaps[i])
      end
    end
  end)
  expire_gone()
  if not found and call('ZCARD', prefix .. 'gone') > 0 then
    local ids = {}
    for at = 1, #ARGV[first], 8 do
      ids[#ids + 1] = string.sub(ARGV[first], at, at + 7)
    end
    in_batches(ids, function(from, to)
      for i, score in ipairs(call('ZMSCORE', prefix .. 'gone', unpack(ids, from, to))) do
        if score and not found then
          found = ids[from + i - 1]
        end
      end
    end)
  end
  return found
end

-- All groups or none; returns nil or what the script has to answer.
local function spawn(first)
  local owners, unclaimed = claimants(first)
  if not owners then
    return refused('unclaimed', unclaimed)
  end
  local fields, bitmaps = {}, {}
  for i = 1, #ARGV[first + 1] / 7 do
    fields[i] = string.sub(ARGV[first + 1], i * 7 - 6, i * 7)
    bitmaps[i] = string.sub(ARGV[first + 2], i * 32 - 31, i * 32)
  end
  local duplicate = duplicate_of(first, fields, bitmaps)
  if duplicate then
    return refused('duplicate', duplicate)
  end
  in_batches(fields, function(from, to)
    local pairs_ = {}
    for i = from, to do
      pairs_[#pairs_ + 1] = fields[i]
      pairs_[#pairs_ + 1] = bitmaps[i]
    end
    call('HSET', prefix .. 'ids', unpack(pairs_))
  end)
  local total = 0
  for group, owner in ipairs(owners) do
    local at = first + 4 + (group - 1) * 6
    local count = tonumber(ARGV[at + 1])
    if count > 0 then
      append(owner, 'spawn - - ' .. count .. ' ' .. ARGV[at + 2] .. ' ' .. ARGV[at + 3], '', '', ARGV[at + 4],
        ARGV[at + 5])
      total = total + count
    end
  end
  if total > 0 then
    call('HINCRBY', prefix .. 'counters', 'spawned', total)
  end
  return nil
end
