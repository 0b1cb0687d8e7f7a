-- Sends a message to every node. KEYS: a key of the channel's slot. ARGV: the channel, the message.
redis.call('SPUBLISH', ARGV[1], ARGV[2])
