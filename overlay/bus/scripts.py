"""What `overlay.bus.redis` and `overlay.bus.redis_registry` run inside Redis (Lua): each is one atomic step.

Times are those of the Redis server, in milliseconds. A lease's number (`token`) is the server's time or one
more than the last, whichever is larger: it goes on rising also when Redis lost everything it held.
"""

from __future__ import annotations

_NOW = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
"""

# keys: state hash, log stream, channel, lease hash; arguments: log, seq, snapshot, event or "", length of the
# log, fence, milliseconds to keep, live (0 or 1).
# Returns {0, last event}; {1, last event} when the event would leave a gap; {2, token, node} when fenced off.
PUBLISH = """
local lease = redis.call('HMGET', KEYS[4], 'token', 'node')
local token, fence = tonumber(lease[1] or 0), tonumber(ARGV[6])
if fence < token then return {2, token, lease[2] or ''} end
if fence > token then redis.call('HSET', KEYS[4], 'token', ARGV[6]) end
local held = redis.call('HMGET', KEYS[1], 'log', 'seq')
local seq, event = tonumber(ARGV[2]), ARGV[4]
local last = tonumber(held[2] or 0)
if held[1] ~= ARGV[1] then
  if event ~= '' and seq > 1 then return {1, 0} end
  redis.call('DEL', KEYS[2])
  if event ~= '' then redis.call('XADD', KEYS[2], ARGV[2] .. '-1', 'e', event) end
  redis.call('HSET', KEYS[1], 'log', ARGV[1], 'seq', ARGV[2], 'snap', ARGV[3], 'live', ARGV[8])
  redis.call('SPUBLISH', KEYS[3], 'r')
elseif event == '' or seq <= last then
  redis.call('SPUBLISH', KEYS[3], 'k')
  seq = last
elseif seq ~= last + 1 then
  return {1, last}
else
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[5], ARGV[2] .. '-1', 'e', event)
  redis.call('HSET', KEYS[1], 'seq', ARGV[2], 'snap', ARGV[3], 'live', ARGV[8])
  redis.call('SPUBLISH', KEYS[3], 'e' .. ARGV[1] .. '\\n' .. event)
end
for n = 1, 4 do if n ~= 3 then redis.call('PEXPIRE', KEYS[n], ARGV[7]) end end
return {0, seq}
"""
# keys: channel, lease hash; arguments: message, fence. Returns 1, or 0 when fenced off.
POSITIONS = """
if tonumber(ARGV[2]) < tonumber(redis.call('HGET', KEYS[2], 'token') or 0) then return 0 end
redis.call('SPUBLISH', KEYS[1], ARGV[1])
return 1
"""
# keys: state hash, log stream; arguments: log and last event that the reader has.
# Returns nothing; {log, live} when there is nothing new; else {log, live, snapshot, events that follow}.
LOAD = """
local held = redis.call('HMGET', KEYS[1], 'log', 'seq', 'snap', 'live')
if not held[1] then return {} end
if held[1] == ARGV[1] and held[2] == ARGV[2] then return {held[1], held[4] or '0'} end
local after = held[1] == ARGV[1] and tonumber(ARGV[2]) or 0
local events = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], (after + 1) .. '-1', '+')) do
  events[#events + 1] = entry[2][2]
end
return {held[1], held[4] or '0', held[3], events}
"""
FORGET = "return redis.call('DEL', KEYS[1], KEYS[2])"

# keys: lease hash; arguments: node, milliseconds it holds, milliseconds to keep.
# Returns {node, token, milliseconds left}: the lease as it is now, this node's or another's.
ACQUIRE = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'node', 'token', 'until')
local token, ends = tonumber(held[2] or 0), tonumber(held[3] or 0)
if held[1] and held[1] ~= '' and held[1] ~= ARGV[1] and ends > now then
  return {held[1], token, ends - now}
end
token = math.max(token + 1, now)
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'token', token, 'until', now + ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {ARGV[1], token, tonumber(ARGV[2])}
"""
)
# keys: lease hash, viewers hash; arguments: node, token, milliseconds it holds, milliseconds to keep.
# Returns {node, token, milliseconds left, viewers everywhere}. A lease that Redis lost is given back.
RENEW = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'node', 'token', 'until')
local token, mine = tonumber(held[2] or 0), tonumber(ARGV[2])
if token > mine or (token == mine and held[1] == '') then
  return {held[1] or '', token, math.max(0, tonumber(held[3] or 0) - now), 0}
end
redis.call('HSET', KEYS[1], 'node', ARGV[1], 'token', ARGV[2], 'until', now + ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local viewers, seen = 0, redis.call('HGETALL', KEYS[2])
for n = 1, #seen, 2 do
  local count, ends = string.match(seen[n + 1], '(%d+):(%d+)')
  if tonumber(ends) > now then viewers = viewers + count else redis.call('HDEL', KEYS[2], seen[n]) end
end
return {ARGV[1], mine, tonumber(ARGV[3]), viewers}
"""
)
# keys: lease hash; arguments: token.
RELEASE = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'node', '', 'until', 0)
return 1
"""
# keys: lease hash. Returns {node, token, milliseconds left}, or nothing.
HOLDER = (
    _NOW
    + """
local held = redis.call('HMGET', KEYS[1], 'node', 'token', 'until')
if not held[1] or held[1] == '' then return {} end
return {held[1], tonumber(held[2]), tonumber(held[3]) - now}
"""
)
# keys: viewers hash; arguments: node, count, milliseconds it counts.
WATCH = (
    _NOW
    + """
if tonumber(ARGV[2]) == 0 then return redis.call('HDEL', KEYS[1], ARGV[1]) end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. (now + ARGV[3]))
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
"""
)
# keys: hash of records, sorted set of last signs, hash of figures; arguments: node, record, figures or "".
BEAT = (
    _NOW
    + """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
if ARGV[3] ~= '' then redis.call('HSET', KEYS[3], ARGV[1], ARGV[3]) end
return now
"""
)
# keys: as above. Returns node, figures, node, figures ...
FIGURES = "return redis.call('HGETALL', KEYS[3])"
# keys: as above; arguments: node.
LEAVE = """
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
# keys: as above; arguments: milliseconds after which a silent node is forgotten.
# Returns {node, milliseconds silent, record} of each.
NODES = (
    _NOW
    + """
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], 0, now - ARGV[1])) do
  redis.call('ZREM', KEYS[2], gone)
  redis.call('HDEL', KEYS[1], gone)
  redis.call('HDEL', KEYS[3], gone)
end
local found, seen = {}, redis.call('ZRANGE', KEYS[2], 0, -1, 'WITHSCORES')
for n = 1, #seen, 2 do
  found[#found + 1] = {seen[n], now - tonumber(seen[n + 1]), redis.call('HGET', KEYS[1], seen[n]) or ''}
end
return found
"""
)

# keys: name of the log, its entries; arguments: entry, entries kept (about).
APPEND = """
if redis.call('EXISTS', KEYS[2]) == 0 then
  local clock = redis.call('TIME')
  redis.call('SET', KEYS[1], clock[1] .. '.' .. clock[2])
end
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'e', ARGV[1])
return 1
"""

# keys: name of the log, its entries; arguments: log as the reader knows it, place, entries at most.
# Returns {log or "", entries after that place, from the beginning where the log is another}.
READ = """
local log = redis.call('GET', KEYS[1])
if not log or redis.call('EXISTS', KEYS[2]) == 0 then return {'', {}} end
local start = '-'
if log == ARGV[1] and ARGV[2] ~= '' then start = '(' .. ARGV[2] end
return {log, redis.call('XRANGE', KEYS[2], start, '+', 'COUNT', ARGV[3])}
"""
