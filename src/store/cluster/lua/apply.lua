local state = redis.call('HMGET', KEYS[2], 'epoch', 'count', 'tail')
if state[1] ~= ARGV[1] then return {0, state[1]} end
local boxes, shares = ARGV[4], ARGV[5]
local set, decimal, number = {}, string.format, struct.unpack
-- Read before anything is written, so that a key of another type refuses the whole batch.
local credited = shares and redis.call('HMGET', KEYS[3], unpack(ARGV, 6))
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
  if shares then
    local first, add = 1, {}
    for nth = 1, #credited do
      local after = first + number('<I2', shares, 2 * nth - 1)
      local new = after - first
      for at = first, after - 1 do new = new - before[at] end
      first = after
      if new > 0 then
        add[#add + 1], add[#add + 2] = ARGV[5 + nth], decimal('%d', (credited[nth] or 0) + new)
      end
    end
    if add[1] then redis.call('HSET', KEYS[3], unpack(add)) end
  end
  redis.call('SPUBLISH', ARGV[2],
    ARGV[3] .. struct.pack('<I4I4', count, fresh) .. state[3] .. tail .. boxes)
end
return {1, count, fresh, tail}
