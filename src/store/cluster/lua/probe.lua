local state = redis.call('HMGET', KEYS[2], 'epoch', 'count', 'tail')
if state[1] ~= ARGV[1] then return {0, state[1]} end
redis.call('HSET', KEYS[2], 'epoch', state[1])
return {1, tonumber(state[2]), 0, state[3]}
