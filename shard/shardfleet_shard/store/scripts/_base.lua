-- Every script: ARGV[1] prefix, [2] joined generation, [3] the actor's shard, [4] its epoch; then its own arguments.
-- Numbers stay decimal text wherever they are only stored or compared for equality: Lua's numbers are doubles.
local prefix, joined, shard, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call = redis.call

local function refused(reason, detail, wait_ms)
  return {'refused', reason, detail or '', wait_ms or 0}
end

local function run_id()
  return string.match(call('INFO', 'server'), 'run_id:(%w+)')
end

local function integer(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local now = call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end

local function lease_left_ms(name)
  return math.max(call('PTTL', prefix .. 'lease:' .. name), 0)
end

local function is_living(name, its_epoch)
  return call('GET', prefix .. 'lease:' .. name) == its_epoch
end
