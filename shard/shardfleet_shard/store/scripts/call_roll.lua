-- include _base
-- include _roll
-- [5] the data's format, [6] milliseconds.
local running = run_id()
if joined ~= running then
  return refused('generation', running)
end
begin_roll(running, ARGV[5], ARGV[6])
local phase, wait_ms = advance_roll()
return {phase, wait_ms}
