-- journal:<shard> is a stream of small entries: h (kind transfer peer count tick offer_tick), i (ids), v (versions), c
-- (checksum: of the rows, by who sent them, and the seal). Rows lie in the hash rows:<shard> by entry id, so that tailing
-- never copies them.
local function seal(header, ids, versions, rows_checksum)
  return string.sub(redis.sha1hex(header .. '\n' .. rows_checksum .. '\n' .. ids .. versions), 1, 16)
end

local function append(owner, header, ids, versions, rows, rows_checksum)
  local checksum = rows_checksum or '-'
  local id = call('XADD', prefix .. 'journal:' .. owner, '*', 'h', header, 'i', ids, 'v', versions,
    'c', checksum .. ' ' .. seal(header, ids, versions, checksum))
  if rows then
    call('HSET', prefix .. 'rows:' .. owner, id, rows)
  end
  return id
end

-- Whether an entry is as it was written; one without a checksum is of a version before.
local function is_whole(fields)
  local checksum, its_seal = string.match(fields[8] or '', '^(%S+) (%x+)$')
  return not fields[8] or its_seal == seal(fields[2], fields[4], fields[6], checksum or '')
end

-- The alias that an entry says was taken over, or nil.
local function taken_by(fields)
  return is_whole(fields) and string.match(fields[2], '^takeover %S+ (%S+)') or nil
end

-- Five values an entry: id, header, ids, versions, checksum or '-'.
local function entries_after(owner, after)
  local found = {}
  for _, entry in ipairs(call('XRANGE', prefix .. 'journal:' .. owner, '(' .. after, '+', 'COUNT', 512)) do
    local fields, n = entry[2], #found
    found[n + 1], found[n + 2], found[n + 3], found[n + 4] = entry[1], fields[2], fields[4], fields[6]
    found[n + 5] = fields[8] or '-'
  end
  return found
end
