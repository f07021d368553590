-- include _base
-- include _actor
-- include _journal
-- [5] read after.
return entries_after(shard, ARGV[5])
