-- Reads what is kept of a group. ARGV: besides, the epoch and the offset after which.
local epoch, last = group()
local wanted = last
if ARGV[6] == epoch then wanted = math.max(last - tonumber(ARGV[7]), 0) end
local messages = {}
if wanted > 0 then messages = redis.call('LRANGE', KEYS[4], -wanted, -1) end
return {now_ms, epoch, last, run, mark, count, link, messages}
