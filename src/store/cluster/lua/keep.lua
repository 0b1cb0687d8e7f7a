-- Keeps or removes one entry, counts the change, and tells every node.
-- KEYS: the entries (hash), the count of changes. ARGV: the channel, the entry's key, '1' and its value, or '0'.
if ARGV[3] == '1' then
    redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
else
    redis.call('HDEL', KEYS[1], ARGV[2])
end
redis.call('INCR', KEYS[2])
redis.call('SPUBLISH', ARGV[1], '\0')
