-- Gives a message its place, keeps it and sends it to every node, once.
-- KEYS: besides, the message's own (string). ARGV: besides, the group, the payload, messages kept, ms kept.
local epoch, last = group()
local before = redis.call('GET', KEYS[4])
if before then return {1, before, run, mark, count} end
last, count = last + 1, count + 1
redis.call('HSET', KEYS[2], 'last', last)
redis.call('HSET', KEYS[1], 'count', count)
local place = epoch .. ' ' .. string.format('%d', last)
local message = table.concat({'1', run, mark, string.format('%d', count), now_ms, place, ARGV[6]}, ' ') .. '\n' .. ARGV[7]
redis.call('RPUSH', KEYS[3], message)
redis.call('LTRIM', KEYS[3], -tonumber(ARGV[8]), -1)
redis.call('PEXPIRE', KEYS[3], ARGV[9])
redis.call('SET', KEYS[4], place, 'PX', ARGV[9])
redis.call('SPUBLISH', ARGV[1], message)
return {0, place, run, mark, count}
