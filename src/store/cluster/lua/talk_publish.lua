-- Gives a message its place, keeps it and sends it to every node, once.
-- KEYS: besides, the message's own (string). ARGV: besides, the group, the payload, messages kept, ms kept, links kept.
local epoch, last = group()
local published = redis.call('GET', KEYS[5])
if published then return {1, published, run, mark, count, link} end
local before = link
last, count, link = last + 1, count + 1, string.sub(redis.sha1hex(link .. ARGV[2]), 1, 16)
redis.call('HSET', KEYS[3], 'last', last)
redis.call('HSET', KEYS[1], 'count', count, 'link', link)
redis.call('RPUSH', KEYS[2], link)
redis.call('LTRIM', KEYS[2], -tonumber(ARGV[10]), -1)
local place = epoch .. ' ' .. string.format('%d', last)
local number = string.format('%d', count)
local head = table.concat({'2', run, mark, number, link, before, now_ms, place, ARGV[6]}, ' ')
local message = head .. '\n' .. ARGV[7]
redis.call('RPUSH', KEYS[4], message)
redis.call('LTRIM', KEYS[4], -tonumber(ARGV[8]), -1)
redis.call('PEXPIRE', KEYS[4], ARGV[9])
redis.call('SET', KEYS[5], place, 'PX', ARGV[9])
redis.call('SPUBLISH', ARGV[1], message)
return {0, place, run, mark, count, link}
