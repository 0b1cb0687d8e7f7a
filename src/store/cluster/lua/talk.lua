-- Begins every script of messages. Has the numbering of a part go on, or begin again where a failover took back what
-- somebody has seen, or nothing is left.
-- KEYS: the part's state (hash). ARGV: the channel, 16 digits of chance, and what the caller has seen of the part: run,
-- mark, count.
local now = redis.call('TIME')
local now_ms = string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))
local state = redis.call('HMGET', KEYS[1], 'run', 'mark', 'count')
local run, mark, count = tonumber(state[1]), state[2], tonumber(state[3])
local seen_run, seen_count = tonumber(ARGV[3]), tonumber(ARGV[5])
if not run or seen_run > run
  or (seen_run == run and (ARGV[4] ~= mark or seen_count > count)) then
  run, mark, count = math.max(run or 0, seen_run) + 1, ARGV[2], 0
  redis.call('HSET', KEYS[1], 'run', run, 'mark', mark, 'count', 0)
end
-- The epoch of a group and the offset of its last message. KEYS: besides, the group (hash), its messages (list).
local function group()
  local known = redis.call('HMGET', KEYS[2], 'epoch', 'last', 'mark')
  local epoch, last = known[1], tonumber(known[2])
  if not epoch or known[3] ~= mark then
    epoch, last = ARGV[2], 0
    redis.call('HSET', KEYS[2], 'epoch', epoch, 'last', 0, 'mark', mark)
    redis.call('DEL', KEYS[3])
  end
  redis.call('PEXPIRE', KEYS[2], 604800000)
  return epoch, last
end
