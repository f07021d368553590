-- Redis must be the one that the caller joined, and must not have forgotten or gone back since.
do
  local stored = call('HGET', prefix .. 'meta', 'generation')
  if stored ~= joined or run_id() ~= joined then
    return refused('generation', stored or '')
  end
end
