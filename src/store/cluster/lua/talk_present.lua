-- Says which users are in a group on one node, and reads those on all nodes that have said so lately.
-- KEYS: who is present (hash). ARGV: the channel, the group, the node, for how long in ms, the users.
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
local before = redis.call('HGET', KEYS[1], ARGV[3])
local users = before and string.match(before, '^%d+ (.*)$') or ''
if ARGV[5] == '' then
  redis.call('HDEL', KEYS[1], ARGV[3])
else
  redis.call('HSET', KEYS[1], ARGV[3], string.format('%d', now_ms + ARGV[4]) .. ' ' .. ARGV[5])
  redis.call('PEXPIRE', KEYS[1], ARGV[4])
end
if users ~= ARGV[5] then redis.call('SPUBLISH', ARGV[1], 'P' .. ARGV[2]) end
local present, said = {}, redis.call('HGETALL', KEYS[1])
for at = 1, #said, 2 do
  local ends, those = string.match(said[at + 1], '^(%d+) (.*)$')
  if ends and tonumber(ends) > now_ms then
    present[#present + 1] = those
  else
    redis.call('HDEL', KEYS[1], said[at])
  end
end
return present
