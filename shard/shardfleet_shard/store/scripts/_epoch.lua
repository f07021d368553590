-- The actor is its shard's newest process.
do
  local stored = call('HGET', prefix .. 'epoch', shard)
  if stored ~= epoch then
    return refused('epoch', stored or '0')
  end
end
