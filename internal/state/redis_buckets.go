package state

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// How a bucket lies in Redis: one string under {PREFIX:limit:GROUP}:DIGEST. The
// braces put all buckets of a group into one slot of a cluster, so that one script
// may charge them together.
//
//	Rolling   "SECONDS NANOSECONDS", when the bucket is full again
//	Calendar  "USED"
//	Backoff   "SECONDS NANOSECONDS TRIES", when the last try was
//	Sequence  "SECONDS NANOSECONDS STEP", when the last step was
//
// Times are kept in two parts: a double holds no nanoseconds since 1970. Each key
// ends by itself when it says no more than a missing one.

// bucketScript charges KEYS. ARGV: "take" or "add"; seconds and nanoseconds of the
// clock, "" for the server's own; then for each key kind, unit, capacity, cost,
// extra, keep (ms) and "1" where it is charged only after a fresh one. It answers
// {all were made, then for each: state (1 made, 0 refused, 2 skipped), debt, wait}.
var bucketScript = redis.NewScript(`
local take, now_s, now_n = ARGV[1] == 'take', tonumber(ARGV[2]), tonumber(ARGV[3])
local slack = 3600000 -- keys end by the server's clock, which another may lag behind
if not now_s then
  slack = 0
  local t = redis.call('TIME')
  now_s, now_n = tonumber(t[1]), tonumber(t[2]) * 1000
end
local function moment(ahead) -- so many nanoseconds from now
  local n = now_n + ahead
  local s = math.floor(n / 1e9)
  return string.format('%d %d', now_s + s, n - s * 1e9)
end
local function remembered(held, keep) -- seconds, nanoseconds and count
  local s, n, count = string.match(held or '', '^(%d+) (%d+) (%d+)$')
  if s and (now_s - tonumber(s)) * 1e9 + (now_n - tonumber(n)) < keep * 1e6 then return s, n, count end
end
local ok, fresh = 1, false
local out, text, ends, before = {1}, {}, {}, {}
for i, key in ipairs(KEYS) do
  local a = 3 + (i - 1) * 7
  local kind, unit, capacity, cost = ARGV[a + 1], tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3]), tonumber(ARGV[a + 4])
  local extra, keep = tonumber(ARGV[a + 5]), tonumber(ARGV[a + 6])
  local held = redis.call('GET', key)
  local state, debt, wait = 1, 0, 0
  local skip = ARGV[a + 7] == '1' and not fresh
  if kind == 'r' then
    if held then
      local s, n = string.match(held, '^(%d+) (%d+)$')
      if s then debt = math.max(0, (tonumber(s) - now_s) * 1e9 + (tonumber(n) - now_n)) end
    end
    before[i] = debt
    fresh = debt == 0
    if not skip then
      local after = debt + cost * unit
      if take and cost > 0 and after > capacity then
        state, wait = 0, after - capacity
      else
        if not take then after = math.max(0, math.min(after, 2 * capacity)) end
        debt = after
        if after > 0 then text[i], ends[i] = moment(after), math.ceil(after / 1e6) elseif held then text[i] = '' end
      end
    end
  elseif kind == 'w' then
    local used = tonumber(held or '0') or 0
    before[i] = used
    fresh = used == 0
    debt = used
    if not skip then
      if take and cost > 0 and used + cost > capacity then
        state = 0
      else
        debt = math.max(0, used + cost)
        text[i], ends[i] = string.format('%d', debt), keep
      end
    end
  elseif kind == 'b' then
    local s, n, tries = remembered(held, keep)
    tries = tonumber(tries or '0')
    before[i] = tries
    fresh = tries == 0
    debt = tries
    if not skip then
      if take and tries > 0 and tries >= extra then
        wait = math.max(0, (tonumber(s) - now_s) * 1e9 + (tonumber(n) - now_n) + math.min(capacity, unit * 2 ^ (tries - extra)))
      end
      if wait > 0 then
        state = 0
      else
        debt = math.min(math.max(0, tries + cost), 63)
        if debt == 0 then
          if held then text[i] = '' end
        elseif take or cost > 0 then
          text[i], ends[i] = moment(0) .. ' ' .. string.format('%d', debt), keep
        else
          text[i], ends[i] = s .. ' ' .. n .. ' ' .. string.format('%d', debt), keep
        end
      end
    end
  else
    local s, n, step = remembered(held, keep)
    fresh = not s
    before[i] = 0
    if take and extra > 0 and not skip then
      if not s or tonumber(step) < extra - 1 then
        state = 0
      else
        wait = math.max(0, (tonumber(s) - now_s) * 1e9 + (tonumber(n) - now_n) + unit)
        if wait > 0 then state = 0 end
      end
    end
    if state == 1 and cost > 0 and not skip then text[i], ends[i] = moment(0) .. ' ' .. string.format('%d', extra), keep end
  end
  if state == 0 then ok = 0 end
  if skip then state = 2 end
  out[#out + 1], out[#out + 2], out[#out + 3] = state, debt, wait
end
if ok == 1 then
  for i, key in ipairs(KEYS) do
    if text[i] == '' then redis.call('DEL', key) elseif text[i] then redis.call('SET', key, text[i], 'PX', math.max(1, ends[i]) + slack) end
  end
else
  out[1] = 0
  for i in ipairs(KEYS) do out[i * 3] = before[i] end
end
return out
`)

var _ Buckets = (*Redis)(nil)

// Take implements [Buckets].
func (r *Redis) Take(ctx context.Context, group string, charges []Charge, out []Balance) (bool, error) {
	return r.charge(ctx, "take", group, charges, out)
}

// Add implements [Buckets].
func (r *Redis) Add(ctx context.Context, group string, charges []Charge, out []Balance) error {
	_, err := r.charge(ctx, "add", group, charges, out)
	return err
}

// charge runs the script.
func (r *Redis) charge(ctx context.Context, how, group string, charges []Charge, out []Balance) (bool, error) {
	if r.isClosed() {
		return false, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	keys, args := make([]string, len(charges)), make([]any, 0, 3+7*len(charges))
	if r.clock == nil {
		args = append(args, how, "", "")
	} else {
		now := r.clock()
		args = append(args, how, strconv.FormatInt(now.Unix(), 10), strconv.Itoa(now.Nanosecond()))
	}
	for i := range charges {
		c := &charges[i]
		keys[i] = r.bucketKey(group, c.Key)
		fresh := "0"
		if c.Fresh {
			fresh = "1"
		}
		args = append(args, string(c.Kind), c.Unit, c.Capacity, c.Cost, c.Extra, (c.Keep+int64(time.Millisecond)-1)/int64(time.Millisecond), fresh)
	}
	res, err := bucketScript.Run(ctx, r.client, keys, args...).Int64Slice()
	if err != nil {
		return false, fmt.Errorf("state: charging buckets in Redis at %s: %w", r.address, explain(err))
	}
	if len(res) != 1+3*len(charges) {
		return false, fmt.Errorf("state: charging buckets in Redis at %s: %w", r.address, errRubbish)
	}
	for i := range charges {
		out[i] = Balance{OK: res[3*i+1] != 0, Skipped: res[3*i+1] == 2, Debt: res[3*i+2], Wait: res[3*i+3]}
	}
	return res[0] == 1, nil
}

// bucketKey is where a bucket lies: keys of any length and of any bytes, in the same room.
func (r *Redis) bucketKey(group, key string) string {
	sum := sha256.Sum256([]byte(key))
	return "{" + r.prefix + ":limit:" + group + "}:" + base64.RawURLEncoding.EncodeToString(sum[:16])
}
