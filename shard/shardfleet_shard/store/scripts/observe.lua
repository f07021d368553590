-- include _base
local meta = call('HMGET', prefix .. 'meta', 'phase', 'origin_tick', 'arrivals_through', 'seeded', 'rests')
local members = call('HGETALL', prefix .. 'members')
local leases = {}
for i = 1, #members, 2 do
  leases[#leases + 1] = call('GET', prefix .. 'lease:' .. members[i]) or ''
end
return {
  run_id(), call('HGET', prefix .. 'layout', 'json') or '', members, leases, call('HGETALL', prefix .. 'claims'),
  call('GET', prefix .. 'election') or '', meta[1] or 'run', meta[2] or '0', meta[3] or '-1', meta[4] or '0',
  meta[5] or '',
}
