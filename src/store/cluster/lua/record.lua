for at = 1, 5, 2 do redis.call('HSETNX', KEYS[1], ARGV[at], ARGV[at + 1]) end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or tonumber(epoch) < tonumber(ARGV[7]) then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[7])
end
