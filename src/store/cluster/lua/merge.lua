local state = redis.call('HMGET', KEYS[2], 'epoch', 'count', 'tail')
if state[1] ~= ARGV[1] then return {0, state[1]} end
local first, piece = tonumber(ARGV[5]), ARGV[6]
local a, b = KEYS[1] .. ':a', KEYS[1] .. ':b'
redis.call('SET', a, redis.call('GETRANGE', KEYS[1], first, first + #piece - 1))
local known = redis.call('BITCOUNT', a)
redis.call('SET', b, piece)
redis.call('BITOP', 'OR', a, a, b)
local fresh = redis.call('BITCOUNT', a) - known
local count, tail = tonumber(state[2]), state[3]
if fresh > 0 then
  redis.call('SETRANGE', KEYS[1], first, redis.call('GET', a))
  count, tail = count + fresh, ARGV[4]
  redis.call('HSET', KEYS[2], 'count', count, 'tail', tail)
  redis.call('SPUBLISH', ARGV[2], ARGV[3] .. struct.pack('<I4I4', count, fresh) .. state[3] .. tail)
end
redis.call('DEL', a, b)
return {1, count, fresh, tail}
