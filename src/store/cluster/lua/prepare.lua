local epoch = redis.call('HGET', KEYS[2], 'epoch')
if not epoch or tonumber(epoch) < tonumber(ARGV[1]) then
  if epoch then redis.call('UNLINK', KEYS[1]) end
  redis.call('SETBIT', KEYS[1], ARGV[3], redis.call('GETBIT', KEYS[1], ARGV[3]))
  redis.call('HSET', KEYS[2], 'epoch', ARGV[1], 'count', redis.call('BITCOUNT', KEYS[1]),
    'tail', ARGV[2], 'format', ARGV[4], 'boxes', ARGV[5], 'shards', ARGV[6])
end
return redis.call('HMGET', KEYS[2], 'epoch', 'count', 'tail', 'format', 'boxes', 'shards')
