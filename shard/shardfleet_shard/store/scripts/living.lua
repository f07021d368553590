-- include _base
-- [5] cursor. A part of the living ids: the next cursor, buckets (7 bytes each) and bitmaps (32 bytes each), joined:
-- two values instead of two a bucket. A bucket may come twice, and parts are not of one moment.
local answer = call('HSCAN', prefix .. 'ids', ARGV[5], 'COUNT', 5000)
local flat, buckets, bitmaps = answer[2], {}, {}
for i = 1, #flat, 2 do
  buckets[#buckets + 1] = flat[i]
  bitmaps[#bitmaps + 1] = flat[i + 1]
end
return {answer[1], table.concat(buckets), table.concat(bitmaps)}
