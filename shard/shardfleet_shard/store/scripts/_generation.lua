-- include _run
-- And the world must be open.
if roll then
  return refused('closed', string.match(roll, '^%a+'))
end
