-- Begins every script of messages. Has the numbering of a part go on, or begin again where a failover took back what
-- somebody has seen, or nothing is left.
-- KEYS: the part's state (hash), the links of its last messages (list). ARGV: the channel, 16 digits of chance, and what
-- the caller has seen of the part: run, mark, and counts with the link of each.
-- A message's link is a digest of the one before and of chance, so one link stands for all messages up to it.
local now = redis.call('TIME')
local now_ms = string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))
local state = redis.call('HMGET', KEYS[1], 'run', 'mark', 'count', 'link')
local run, mark, count, link = tonumber(state[1]), state[2], tonumber(state[3]), state[4]
local seen_run = tonumber(ARGV[3])
-- What is older than all links that are kept cannot be compared, and counts as taken back.
local function is_taken_back()
  if ARGV[4] ~= mark then return true end
  for seen, seen_link in string.gmatch(ARGV[5], '(%d+) (%x+)') do
    seen = tonumber(seen)
    if seen > count then return true end
    local there = link
    if seen < count then there = redis.call('LINDEX', KEYS[2], seen - count - 1) end
    if there ~= seen_link then return true end
  end
  return false
end
if not run or not link or seen_run > run or (seen_run == run and is_taken_back()) then
  run, mark, count, link = math.max(run or 0, seen_run) + 1, ARGV[2], 0, ARGV[2]
  redis.call('HSET', KEYS[1], 'run', run, 'mark', mark, 'count', 0, 'link', link)
  redis.call('DEL', KEYS[2])
  redis.call('RPUSH', KEYS[2], link)
end
-- The epoch of a group and the offset of its last message. KEYS: besides, the group (hash), its messages (list).
local function group()
  local known = redis.call('HMGET', KEYS[3], 'epoch', 'last', 'mark')
  local epoch, last = known[1], tonumber(known[2])
  if not epoch or known[3] ~= mark then
    epoch, last = ARGV[2], 0
    redis.call('HSET', KEYS[3], 'epoch', epoch, 'last', 0, 'mark', mark)
    redis.call('DEL', KEYS[4])
  end
  redis.call('PEXPIRE', KEYS[3], 604800000)
  return epoch, last
end
