-- Forgets the schemas that nothing in the fleet has any more: no living member, and no manifest with rows. Returns the
-- hashes that are left, sorted. What only a journal holds is of the schema of its shard's newest process; a successor
-- that cannot read it says so when it recovers.
local function schemas_in_use()
  local used = {}
  local members = call('HGETALL', prefix .. 'members')
  for i = 1, #members, 2 do
    if is_living(members[i], string.match(members[i + 1], '^%d+ (%d+) ')) then
      used[call('HGET', prefix .. 'schema_of', members[i]) or '0'] = true
    end
  end
  for _, name in ipairs(call('HKEYS', prefix .. 'epoch')) do
    local header = call('HGET', prefix .. 'manifest:' .. name, 'header')
    -- A header that is damaged names no schema: whose rows these were cannot be read by anybody.
    pcall(function()
      local decoded = header and header ~= '' and cjson.decode(header)
      if decoded and decoded.count > 0 then
        used[integer(decoded.schema.hash)] = true
      end
    end)
  end
  local left = {}
  for _, hash in ipairs(call('HKEYS', prefix .. 'schemas')) do
    if used[hash] then
      left[#left + 1] = hash
    else
      call('HDEL', prefix .. 'schemas', hash)
    end
  end
  table.sort(left, function(a, b) return tonumber(a) < tonumber(b) end)
  return left
end
