local state = redis.call('HMGET', KEYS[2], 'epoch', 'count', 'tail')
if state[1] ~= ARGV[1] then return {0, state[1]} end
local boxes = ARGV[4]
local set, decimal, number = {}, string.format, struct.unpack
for at = 1, #boxes, 4 do
  local bit = decimal('%d', (number('<I4', boxes, at)))
  set[at], set[at + 1], set[at + 2], set[at + 3] = 'SET', 'u1', bit, '1'
end
local before = redis.call('BITFIELD', KEYS[1], unpack(set))
local fresh = #before
for at = 1, #before do fresh = fresh - before[at] end
local count, tail = tonumber(state[2]), state[3]
if fresh > 0 then
  count = count + fresh
  tail = string.sub(redis.sha1hex(tail .. boxes), 1, 16)
  redis.call('HSET', KEYS[2], 'count', count, 'tail', tail)
  redis.call('SPUBLISH', ARGV[2],
    ARGV[3] .. struct.pack('<I4I4', count, fresh) .. state[3] .. tail .. boxes)
end
return {1, count, fresh, tail}
