-- include _base
-- [5] the data's format. A Redis without a generation has no world yet: it becomes this one's.
local running = run_id()
if call('HSETNX', prefix .. 'meta', 'generation', running) == 1 then
  call('HSETNX', prefix .. 'meta', 'format', ARGV[5])
end
return {running, call('HGET', prefix .. 'meta', 'generation')}
