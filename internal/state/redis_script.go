package state

import "github.com/redis/go-redis/v9"

// How a set lies in Redis, all of it in one slot of a cluster:
//
//	{PREFIX:SET}:entries  a hash: "=KEY" → "EXPIRES VALUE", with "epoch" and "version" beside
//	{PREFIX:SET}:changes  a stream of the last changes, each with its version
//	{PREFIX:SET}:ends     a sorted set of keys by the millisecond in which they end
//
// The version counts the changes, so that a reader who missed one sees the gap.
// The epoch names the history that the versions are of: it is in the same hash as
// the entries, so that whatever loses them (a restart without a file, an eviction,
// FLUSHALL) loses it too, and nobody takes the loss for "nothing is revoked".

// changeScript puts or drops one entry and answers {epoch, version, done}.
//
// ARGV: how ("put", "if", "absent", "drop"), key, value, expires in ms (0 never),
// epoch to begin with, most entries, most changes kept, and for "if" what must be
// held ("=" before it; "" for nothing).
var changeScript = redis.NewScript(`
local h, c, x = KEYS[1], KEYS[2], KEYS[3]
local how, key, value, ends = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
redis.call('HSETNX', h, 'epoch', ARGV[5])
local field = '=' .. key
local old = redis.call('HGET', h, field)
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local function answer(done)
  return {redis.call('HGET', h, 'epoch'), tonumber(redis.call('HGET', h, 'version') or '0'), done}
end
if how == 'drop' then
  if not old then return answer(1) end
  redis.call('HDEL', h, field)
  redis.call('ZREM', x, key)
else
  local held = nil -- what the key holds, unless that has ended
  if old then
    local gap = string.find(old, ' ', 1, true)
    local till = gap and tonumber(string.sub(old, 1, gap - 1))
    if till and (till == 0 or till > now) then held = string.sub(old, gap + 1) end
  end
  if how == 'if' then
    if ARGV[8] == '' then
      if held then return answer(0) end
    elseif not held or ARGV[8] ~= '=' .. held then
      return answer(0)
    end
  end
  local new = ends .. ' ' .. value
  if old == new then return answer(1) end
  if how == 'absent' and held then return answer(1) end
  if not old then
    -- Readers end entries by their own clocks: what is removed here ended some minutes ago by ours.
    local over = redis.call('ZRANGEBYSCORE', x, '-inf', now - 300000, 'LIMIT', 0, 100)
    for _, k in ipairs(over) do
      redis.call('HDEL', h, '=' .. k)
      redis.call('ZREM', x, k)
    end
    if redis.call('HLEN', h) - 2 >= tonumber(ARGV[6]) then return redis.error_reply('CRENELFULL no more room') end
  end
  redis.call('HSET', h, field, new)
  if ends == '0' then redis.call('ZREM', x, key) else redis.call('ZADD', x, ends, key) end
end
local v = redis.call('HINCRBY', h, 'version', 1)
redis.call('XADD', c, 'MAXLEN', '~', ARGV[7], '*', 'n', v, 'how', how == 'drop' and 'drop' or 'put', 'k', key, 'e', ends, 'v', value)
return {redis.call('HGET', h, 'epoch'), v, 1}
`)

// placeScript answers {epoch, version, id of the last change}: from where a
// reader goes on. ARGV: an epoch to begin with, and one that is to be replaced by
// it ("" for none).
var placeScript = redis.NewScript(`
local h, c = KEYS[1], KEYS[2]
redis.call('HSETNX', h, 'epoch', ARGV[1])
local epoch = redis.call('HGET', h, 'epoch')
if ARGV[2] ~= '' and epoch == ARGV[2] then
  epoch = ARGV[1]
  redis.call('HSET', h, 'epoch', epoch)
end
local last = redis.call('XREVRANGE', c, '+', '-', 'COUNT', 1)
local id = '0-0'
if last[1] then id = last[1][1] end
return {epoch, tonumber(redis.call('HGET', h, 'version') or '0'), id}
`)
