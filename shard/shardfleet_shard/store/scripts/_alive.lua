-- include _living
-- Ids come to life and go in packed form: buckets (7 bytes each) with bitmaps (32 bytes each), or ids (8 bytes each).
local function or_bytes(old, new)
  local olds, news, added = {string.byte(old, 1, 32)}, {string.byte(new, 1, 32)}, 0
  for i = 1, 32 do
    local more = bit.band(news[i], bit.bnot(olds[i]))
    while more ~= 0 do
      more, added = bit.band(more, more - 1), added + 1
    end
    news[i] = bit.bor(olds[i], news[i])
  end
  return string.char(unpack(news)), added
end

local NONE = string.rep('\0', 32)

-- Returns how many were not alive. `counts`: ids of each bucket, two bytes each.
local function add_alive(buckets, bitmaps, counts)
  local fields, added = {}, 0
  for i = 1, #buckets / 7 do
    fields[i] = string.sub(buckets, i * 7 - 6, i * 7)
  end
  in_batches(fields, function(from, to)
    local stored, changed = call('HMGET', prefix .. 'ids', unpack(fields, from, to)), {}
    for i = from, to do
      local old, new, more = stored[i - from + 1], string.sub(bitmaps, i * 32 - 31, i * 32), 0
      if not old then
        local low, high = string.byte(counts, i * 2 - 1, i * 2)
        more = low + high * 256
      elseif old ~= new then
        new, more = or_bytes(old, new)
      end
      if more > 0 then
        changed[#changed + 1], changed[#changed + 2], added = fields[i], new, added + more
      end
    end
    if #changed > 0 then
      call('HSET', prefix .. 'ids', unpack(changed))
    end
  end)
  return added
end

-- Returns those of `ids` that were alive, as positions from 0.
local function remove_alive(ids)
  local buckets, removed = {}, {}
  for i = 0, #ids / 8 - 1 do
    local low, field = string.byte(ids, i * 8 + 1), string.sub(ids, i * 8 + 2, i * 8 + 8)
    local bytes = buckets[field]
    if bytes == nil then
      local stored = call('HGET', prefix .. 'ids', field)
      bytes = stored and {string.byte(stored, 1, 32)} or false
      buckets[field] = bytes
    end
    local at, mask = math.floor(low / 8) + 1, bit.lshift(1, low % 8)
    if bytes and bit.band(bytes[at], mask) ~= 0 then
      bytes[at] = bytes[at] - mask
      bytes.changed = true
      removed[#removed + 1] = i
    end
  end
  for field, bytes in pairs(buckets) do
    if bytes and bytes.changed then
      local bitmap = string.char(unpack(bytes, 1, 32))
      if bitmap == NONE then
        call('HDEL', prefix .. 'ids', field)
      else
        call('HSET', prefix .. 'ids', field, bitmap)
      end
    end
  end
  return removed
end

-- Keeps `ids`, a table, from coming to life again for a while.
local function note_gone(ids, now)
  in_batches(ids, function(from, to)
    local scored = {}
    for i = from, to do
      scored[#scored + 1] = now
      scored[#scored + 1] = ids[i]
    end
    call('ZADD', prefix .. 'gone', unpack(scored))
  end)
end
