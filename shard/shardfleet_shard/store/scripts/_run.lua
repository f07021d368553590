-- Redis must be the one that the caller joined, and must not have forgotten or gone back since.
local roll = nil -- while the roll is called: "phase end call_ms"; see _roll
do
  local meta = call('HMGET', prefix .. 'meta', 'generation', 'roll')
  local running = run_id()
  if meta[1] ~= joined or running ~= joined then
    return refused('generation', running)
  end
  roll = meta[2] or nil
end
