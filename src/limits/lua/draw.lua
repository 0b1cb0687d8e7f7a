local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 3000000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], 6000)
local answer = {redis.call('ZCARD', KEYS[1])}
if #KEYS == 1 then return answer end
local stored = redis.call('MGET', unpack(KEYS, 2))
local alone_for = tonumber(ARGV[2])
for at = 1, #KEYS - 1 do
  local arg = 5 * at - 2
  local token, burst = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  local want, back, alone = tonumber(ARGV[arg + 2]), tonumber(ARGV[arg + 3]), tonumber(ARGV[arg + 4])
  local full = (tonumber(stored[at] or nil) or now - alone_for) + alone * token
  full = math.max(math.max(full, now) - back * token, now)
  local free = math.floor((now + burst * token - full) / token + 0.000001)
  local granted = math.max(0, math.min(want, free))
  full = full + granted * token
  if full > now then
    redis.call('SET', KEYS[at + 1], string.format('%.3f', full), 'PX', math.ceil((full - now) / 1000) + 1)
  elseif stored[at] then
    redis.call('DEL', KEYS[at + 1])
  end
  answer[2 * at] = granted
  answer[2 * at + 1] = math.ceil(full - now)
end
return answer
