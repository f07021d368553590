-- include _journal
-- Forgets what lies under `alias`, and under the aliases that its journal still names: somebody's manifest contains it.
local function forget_taken(alias)
  for _, entry in ipairs(call('XRANGE', prefix .. 'journal:' .. alias, '-', '+')) do
    local nested = taken_by(entry[2])
    if nested then
      forget_taken(nested)
    end
  end
  local manifest = call('HMGET', prefix .. 'manifest:' .. alias, 'epoch', 'tick', 'chunks')
  for number = 1, tonumber(manifest[3] or 0) or 0 do
    call('UNLINK', prefix .. 'chunk:' .. alias .. ':' .. manifest[1] .. ':' .. manifest[2] .. ':' .. number)
  end
  call('UNLINK', prefix .. 'manifest:' .. alias, prefix .. 'journal:' .. alias, prefix .. 'rows:' .. alias)
  call('HDEL', prefix .. 'epoch', alias)
end
