-- include _living
-- include _journal
-- What one shard's manifest and journal say of one id (8 bytes). Packed rows begin with the ids (8 bytes each), then
-- the versions (4 bytes each).
local function u32(text, at)
  local a, b, c, d = string.byte(text, at, at + 3)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- Position of `id` among `count` packed ids, from 0, or nil.
local function place_of(ids, id, count)
  local at = string.find(ids, id, 1, true)
  while at and at <= count * 8 do
    if (at - 1) % 8 == 0 then
      return (at - 1) / 8
    end
    at = string.find(ids, id, at + 1, true)
  end
  return nil
end

local function version_in(rows, id, count)
  local place = place_of(string.sub(rows, 1, count * 8), id, count)
  return place and u32(rows, count * 8 + place * 4 + 1) or -1
end

local function gained_by_manifest(name, manifest, id)
  local about, gained = cjson.decode(manifest[4]), -1
  local left = tonumber(about.count or 0)
  for number = 1, left > 0 and tonumber(manifest[3]) or 0 do
    local count = math.min(left, tonumber(about.rows_per_chunk))
    local key = prefix .. 'chunk:' .. name .. ':' .. manifest[1] .. ':' .. manifest[2] .. ':' .. number
    gained = math.max(gained, version_in(call('GETRANGE', key, 0, count * 12 - 1), id, count))
    left = left - count
  end
  return gained
end

-- unread: something of it is not as it was written, so nobody knows whether it holds the id, and it counts as if it did.
-- tick: the manifest's, -1 without one; gained, lost, given: the highest version that it got, that it lost in whatever
-- way, that it gave to another shard; -1 for none.
local function evidence(name, id)
  local found = {tick = -1, gained = -1, lost = -1, given = -1}
  local manifest = call('HMGET', prefix .. 'manifest:' .. name, 'epoch', 'tick', 'chunks', 'header')
  if manifest[1] then
    local ok, gained = pcall(gained_by_manifest, name, manifest, id)
    found.tick, found.gained, found.unread = tonumber(manifest[2]) or -1, ok and gained or -1, not ok
  end
  for _, entry in ipairs(call('XRANGE', prefix .. 'journal:' .. name, '-', '+')) do
    local kind, peer, count = string.match(entry[2][2], '^(%S+) %S+ (%S+) (%d+)')
    count = tonumber(count)
    if not count or not is_whole(entry[2]) then
      found.unread = true
    elseif kind == 'out' or kind == 'despawn' then
      local place = place_of(entry[2][4], id, count)
      local version = place and u32(entry[2][6], place * 4 + 1) or -1
      found.lost = math.max(found.lost, version)
      found.given = math.max(found.given, kind == 'out' and version or -1)
    elseif kind == 'takeover' then
      -- Of what a dead shard held, this one is to have each row at the next version.
      local taken = evidence(peer, id)
      found.gained = math.max(found.gained, taken.holds and taken.gained + 1 or -1)
    else
      found.gained = math.max(found.gained, version_in(call('HGET', prefix .. 'rows:' .. name, entry[1]) or '', id, count))
    end
  end
  found.holds = found.unread or found.gained > found.lost
  return found
end

local function is_alive(id)
  local bitmap = call('HGET', prefix .. 'ids', string.sub(id, 2, 8))
  local low = string.byte(id, 1)
  return bitmap and bit.band(string.byte(bitmap, math.floor(low / 8) + 1), bit.lshift(1, low % 8)) ~= 0
end
