-- The roll-call: meta.roll is "phase end call_ms", the end of calling in Redis' ms; roll is shard -> "epoch state", said
-- with a lease or lapsed without one, then ready; told are the transfers' entries that were said.
local READY_LIMIT_MS = 30000

-- Where another generation is stored. Whatever roll-call there was belongs to that one.
local function begin_roll(running, format, call_ms)
  if call('HGET', prefix .. 'meta', 'generation') == running then
    return
  end
  call('DEL', prefix .. 'roll', prefix .. 'told', prefix .. 'election')
  call('HSETNX', prefix .. 'meta', 'format', format)
  call('HSET', prefix .. 'meta', 'generation', running, 'roll',
    'calling ' .. integer(now_ms() + tonumber(call_ms)) .. ' ' .. call_ms)
end

-- The shards that have said something and are not ready: whether any is to be waited for, and those that are not.
local function not_ready(past_ms, call_ms)
  local late, entries = {}, call('HGETALL', prefix .. 'roll')
  for i = 1, #entries, 2 do
    local its_epoch, state = string.match(entries[i + 1], '^(%d+) (%a+)$')
    if state == 'lapsed' and past_ms < call_ms
      or state == 'said' and past_ms < READY_LIMIT_MS and is_living(entries[i], its_epoch) then
      return true, {}
    end
    if state ~= 'ready' then
      late[#late + 1] = {entries[i], its_epoch}
    end
  end
  return false, late
end

-- Returns the phase, and how long calling goes on.
local function advance_roll()
  local stored = call('HGET', prefix .. 'meta', 'roll')
  if not stored then
    return 'open', 0
  end
  local phase, end_ms, call_ms = string.match(stored, '^(%a+) (%d+) (%d+)$')
  local past_ms = now_ms() - tonumber(end_ms)
  if past_ms < 0 then
    return 'calling', -past_ms
  end
  if phase == 'calling' then
    call('HSET', prefix .. 'meta', 'roll', 'closed ' .. end_ms .. ' ' .. call_ms)
  end
  local waits, late = not_ready(past_ms, tonumber(call_ms))
  if waits then
    return 'closed', 0
  end
  for _, one in ipairs(late) do
    if call('HGET', prefix .. 'epoch', one[1]) == one[2] then
      call('HSET', prefix .. 'epoch', one[1], integer(tonumber(one[2]) + 1))
    end
  end
  call('HDEL', prefix .. 'meta', 'roll')
  call('DEL', prefix .. 'roll', prefix .. 'told')
  return 'open', 0
end
