-- journal:<shard> is a stream of small entries: h (kind transfer peer count tick offer_tick), i (ids), v (versions).
-- Their rows lie in the hash rows:<shard> by entry id, so that tailing never copies them.
local function append(owner, header, ids, versions, rows)
  local id = call('XADD', prefix .. 'journal:' .. owner, '*', 'h', header, 'i', ids, 'v', versions)
  if rows then
    call('HSET', prefix .. 'rows:' .. owner, id, rows)
  end
  return id
end

-- Four values an entry: id, header, ids, versions.
local function entries_after(owner, after)
  local found = {}
  for _, entry in ipairs(call('XRANGE', prefix .. 'journal:' .. owner, '(' .. after, '+', 'COUNT', 512)) do
    local fields, n = entry[2], #found
    found[n + 1], found[n + 2], found[n + 3], found[n + 4] = entry[1], fields[2], fields[4], fields[6]
  end
  return found
end
