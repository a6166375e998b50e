"""What `overlay.bus.redis` runs inside Redis (Lua): each script is one atomic step."""

from __future__ import annotations

# keys: state hash, log stream, channel; arguments: log, seq, snapshot, event or "", length of the log.
# Returns the last event stored, or -1 minus it when the event would leave a gap.
PUBLISH = """
local held = redis.call('HMGET', KEYS[1], 'log', 'seq')
local seq = tonumber(ARGV[2])
if held[1] ~= ARGV[1] then
  redis.call('DEL', KEYS[2])
  if ARGV[4] ~= '' then redis.call('XADD', KEYS[2], ARGV[2] .. '-1', 'e', ARGV[4]) end
  redis.call('HSET', KEYS[1], 'log', ARGV[1], 'seq', ARGV[2], 'snap', ARGV[3])
  redis.call('SPUBLISH', KEYS[3], 'r')
  return seq
end
local last = tonumber(held[2])
if ARGV[4] == '' or seq <= last then return last end
if seq ~= last + 1 then return -1 - last end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[5], ARGV[2] .. '-1', 'e', ARGV[4])
redis.call('HSET', KEYS[1], 'seq', ARGV[2], 'snap', ARGV[3])
redis.call('SPUBLISH', KEYS[3], 'e' .. ARGV[1] .. '\\n' .. ARGV[4])
return seq
"""
# keys: state hash, log stream; arguments: first event wanted. Returns log, snapshot, events; or nothing.
LOAD = """
local held = redis.call('HMGET', KEYS[1], 'log', 'snap')
if not held[1] then return {} end
local events = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], ARGV[1] .. '-1', '+')) do
  events[#events + 1] = entry[2][2]
end
return {held[1], held[2], events}
"""
FORGET = "return redis.call('DEL', KEYS[1], KEYS[2])"
