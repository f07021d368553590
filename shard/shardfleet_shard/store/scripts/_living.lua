-- ids is a hash of bitmaps: the upper 56 bits of an entity's id -> 32 bytes, one bit for each of the 256 ids there.
-- Ids are 8 bytes, little-endian, so the field is bytes 2 to 8 and the bit is byte 1.
local GONE_MS = 60000
local BATCH = 1000 -- unpack() fails somewhere above 7,000 values

local function expire_gone()
  local now = now_ms()
  -- A despawn that still stands in a journal (its shard may be down) would beat a spawn of the same id after it.
  local through_ms = now - GONE_MS
  for _, name in ipairs(call('HKEYS', prefix .. 'epoch')) do
    local oldest = call('XRANGE', prefix .. 'journal:' .. name, '-', '+', 'COUNT', 1)[1]
    if oldest then
      through_ms = math.min(through_ms, tonumber(string.match(oldest[1], '^%d+')) - 1)
    end
  end
  call('ZREMRANGEBYSCORE', prefix .. 'gone', '-inf', integer(through_ms))
  return now
end

-- Calls `each` with the first and last index of every BATCH of `values`.
local function in_batches(values, each)
  for first = 1, #values, BATCH do
    each(first, math.min(first + BATCH - 1, #values))
  end
end
