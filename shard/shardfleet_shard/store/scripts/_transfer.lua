-- Records of open transfers, and which sequence numbers are decided.
local function record_key(id)
  return prefix .. 'record:' .. id
end

local function holders_key(id)
  return prefix .. 'holders:' .. id
end

-- decided:<source>:<epoch> holds `floor` (this sequence and all below are decided) and a field a decided one above.
local function is_decided(source, source_epoch, sequence)
  local known = call('HMGET', prefix .. 'decided:' .. source .. ':' .. source_epoch, 'floor', sequence)
  return known[2] ~= false or tonumber(sequence) <= tonumber(known[1] or 0)
end

local function decide(source, source_epoch, sequence)
  -- A BEGIN under any other epoch is refused for its epoch: nothing to remember, and nothing that would be left over.
  if call('HGET', prefix .. 'epoch', source) ~= source_epoch then
    return
  end
  local name = prefix .. 'decided:' .. source .. ':' .. source_epoch
  local floor = tonumber(call('HGET', name, 'floor') or 0)
  if tonumber(sequence) <= floor then
    return
  end
  call('HSET', name, sequence, '1')
  local before = floor
  while call('HDEL', name, integer(floor + 1)) == 1 do
    floor = floor + 1
  end
  if floor > before then
    call('HSET', name, 'floor', integer(floor))
  end
end

-- All through `sequence`.
local function decide_through(source, source_epoch, sequence)
  local name = prefix .. 'decided:' .. source .. ':' .. source_epoch
  local floor = tonumber(call('HGET', name, 'floor') or 0)
  if sequence <= floor then
    return
  end
  for _, field in ipairs(call('HKEYS', name)) do
    if field ~= 'floor' and tonumber(field) <= sequence then
      call('HDEL', name, field)
    end
  end
  floor = sequence
  while call('HDEL', name, integer(floor + 1)) == 1 do
    floor = floor + 1
  end
  call('HSET', name, 'floor', integer(floor))
end

local function count_transfer(what, entities)
  call('HINCRBY', prefix .. 'counters', what .. '_transfers', 1)
  call('HINCRBY', prefix .. 'counters', what .. '_entities', entities)
end

-- The record's end, however it came; `what` is the counter.
local function forget(id, what)
  local record = call('HMGET', record_key(id), 'source', 'source_epoch', 'sequence', 'count')
  call('DEL', record_key(id), holders_key(id))
  call('ZREM', prefix .. 'active', id)
  decide(record[1], record[2], record[3])
  count_transfer(what, record[4])
end

-- Where a source has taken its dead target over, it holds them as either, and only its ADOPTED says that it is done.
local function clear_if_target_alone(id, target)
  local holders = holders_key(id)
  if call('HGET', record_key(id), 'source') == target then
    return false
  end
  if call('SCARD', holders) == 1 and call('SISMEMBER', holders, target) == 1 then
    forget(id, 'completed')
    return true
  end
  return false
end
