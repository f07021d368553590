-- include _base
-- [5] the shard to be read. Its header, its chunks, and six values a journal entry.
local name = ARGV[5]
local manifest = call('HMGET', prefix .. 'manifest:' .. name, 'epoch', 'tick', 'chunks', 'header')
local chunks, entries = {}, {}
for number = 1, tonumber(manifest[3] or 0) or 0 do
  chunks[number] = call('GET', prefix .. 'chunk:' .. name .. ':' .. manifest[1] .. ':' .. manifest[2] .. ':' .. number) or ''
end
for _, entry in ipairs(call('XRANGE', prefix .. 'journal:' .. name, '-', '+')) do
  local fields, n = entry[2], #entries
  entries[n + 1], entries[n + 2], entries[n + 3], entries[n + 4] = entry[1], fields[2], fields[4], fields[6]
  entries[n + 5], entries[n + 6] = fields[8] or '-', call('HGET', prefix .. 'rows:' .. name, entry[1]) or ''
end
-- '' is for a shard that never published; a header that was lost is none.
local header = manifest[4] or ''
return {manifest[1] and header == '' and ' ' or header, chunks, entries}
