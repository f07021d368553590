-- include _base
-- include _generation
-- By the operator alone, before a resting world goes on. [5] the origin as the caller read it, [6] the new one, [7] the
-- grid tick from which it holds. The last 16 rests are kept: what was written before them has long been published.
local origin = call('HGET', prefix .. 'meta', 'origin_tick') or '0'
if origin == ARGV[6] then
  return 'ok'
end
if origin ~= ARGV[5] then
  return refused('older', origin)
end
local words = {}
for word in string.gmatch(call('HGET', prefix .. 'meta', 'rests') or '', '%S+') do
  words[#words + 1] = word
end
words[#words + 1] = ARGV[7]
words[#words + 1] = origin
local rests = table.concat(words, ' ', math.max(1, #words - 31))
call('HSET', prefix .. 'meta', 'origin_tick', ARGV[6], 'rests', rests)
return 'ok'
