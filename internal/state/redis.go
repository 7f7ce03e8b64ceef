package state

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

const (
	defaultTimeout = 500 * time.Millisecond
	// heartbeat is how often a view is compared with the server while nothing changes.
	heartbeat = time.Second
	// keepChanges is how many changes the server remembers: a reader that was away for
	// longer than they reach back reads the whole set.
	keepChanges = 10_000
	probeEvery  = 2 * time.Second
)

// RedisOptions are what a Redis is made from.
type RedisOptions struct {
	URL string // redis://HOST:PORT/DB, rediss:// with TLS, unix:///PATH
	// Sentinel, instead of URL: who says where the server is.
	Sentinel *Sentinel
	// Cluster, instead of URL: some nodes of a cluster, redis://HOST:PORT or rediss://.
	Cluster  []string
	Username string
	Password string
	TLS      *tls.Config // for rediss://; nil: the system's authorities
	// Prefix of every key: gateways with the same one share.
	Prefix string
	// Timeout of one command. Default 500ms.
	Timeout time.Duration
	Log     *slog.Logger
	Now     func() time.Time // default time.Now
	// BucketClock is the time by which buckets are charged; nil: the server's, which
	// is one for all gateways.
	BucketClock func() time.Time
}

// Redis is a Store in Redis or Valkey, shared by every gateway that names the
// same server, database and prefix.
type Redis struct {
	client  redis.UniversalClient
	address string
	prefix  string
	timeout time.Duration
	log     *slog.Logger
	now     func() time.Time
	clock   func() time.Time // of buckets; nil: the server's

	ctx  context.Context //nolint:containedctx // the life of the readers, which Close ends
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	mirrors map[string]*mirror
	failure error     // of the last probe; nil when it went well
	since   time.Time // of failure
	evicts  string    // the server's policy, when it may forget what it was told
}

var _ Store = (*Redis)(nil)

// What the library logs are failures that it also returns.
func init() { logging.Disable() }

// OpenRedis begins to use a server. That it cannot be reached is no error here:
// Ready says so, and whoever asks is told until it can.
func OpenRedis(o RedisOptions) (*Redis, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	client, address, err := connect(&o)
	if err != nil {
		return nil, err
	}
	r := &Redis{
		client: client, address: address, prefix: o.Prefix, timeout: o.Timeout, log: o.Log, now: o.Now, clock: o.BucketClock,
		mirrors: map[string]*mirror{}, failure: errors.New("not asked yet"), since: o.Now(),
	}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.probe()
	r.wg.Go(r.watch)
	return r, nil
}

// watch probes the server until Close.
func (r *Redis) watch() {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
			r.probe()
		}
	}
}

// probe asks whether the server is there and may be leant on.
func (r *Redis) probe() {
	ctx, cancel := context.WithTimeout(r.ctx, 2*r.timeout)
	defer cancel()
	evicts, err := r.examine(ctx)
	if r.ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		if r.failure == nil {
			r.since = r.now()
			r.log.Warn("shared state cannot be reached", "address", r.address, "error", err)
		}
		r.failure = err
		return
	}
	if r.failure != nil {
		r.log.Info("shared state is reached", "address", r.address)
	}
	r.failure = nil
	if evicts != "" && evicts != r.evicts {
		r.log.Warn("shared state may forget replay marks when its memory is full: set maxmemory-policy noeviction", "address", r.address, "policy", evicts)
	}
	r.evicts = evicts
}

// examine asks the server, of a cluster every primary, how it is. evicts is the
// policy of one that may forget what it was told, else "".
func (r *Redis) examine(ctx context.Context) (evicts string, err error) {
	cluster, ok := r.client.(*redis.ClusterClient)
	if !ok {
		return examine(ctx, r.client)
	}
	info, err := cluster.ClusterInfo(ctx).Result()
	switch {
	case err != nil:
		return "", err
	case infoField(info, "cluster_state") != "ok":
		return "", fmt.Errorf("the cluster is in state %q: some slots are not served", infoField(info, "cluster_state"))
	}
	var mu sync.Mutex
	err = cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		policy, err := examine(ctx, node)
		if err != nil {
			return fmt.Errorf("node %s: %w", node.Options().Addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if policy != "" {
			evicts = policy
		}
		return nil
	})
	return evicts, err
}

func examine(ctx context.Context, server redis.Cmdable) (evicts string, err error) {
	info, err := server.Info(ctx, "memory").Result()
	switch {
	case err != nil:
		return "", err
	case !strings.Contains(info, "used_memory:"):
		return "", errors.New("what answers is not Redis")
	}
	if policy := infoField(info, "maxmemory_policy"); policy != "noeviction" && infoField(info, "maxmemory") != "0" {
		return policy, nil
	}
	return "", nil
}

func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && key == name {
			return value
		}
	}
	return ""
}

// Ready implements [Store].
func (r *Redis) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure != nil {
		return fmt.Errorf("Redis at %s, since %s: %w", r.address, r.since.UTC().Format(time.RFC3339), r.failure)
	}
	for name, m := range r.mirrors {
		if err := m.failed(); err != nil {
			return fmt.Errorf("Redis at %s: set %s: %w", r.address, name, err)
		}
	}
	return nil
}

// markKey is where a mark lies: keys of any length and of any bytes, in the same room.
func (r *Redis) markKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return r.prefix + ":mark:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// First implements [Store]. An answer that was lost on the way counts as "not
// the first", when it is asked for again.
func (r *Redis) First(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if r.isClosed() {
		return false, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	err := r.client.SetArgs(ctx, r.markKey(key), "1", redis.SetArgs{Mode: "NX", TTL: max(ttl, time.Millisecond)}).Err()
	switch {
	case errors.Is(err, redis.Nil):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("state: marking in Redis at %s: %w", r.address, explain(err))
	}
	return true, nil
}

// explain names the errors that callers know.
func explain(err error) error {
	if text := err.Error(); strings.Contains(text, "CRENELFULL") || strings.HasPrefix(text, "OOM ") {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

func (r *Redis) isClosed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.closed
}

// keys are the three in which a set lies.
func (r *Redis) keys(set string) []string {
	base := "{" + r.prefix + ":" + set + "}"
	return []string{base + ":entries", base + ":changes", base + ":ends"}
}

// millis is an end as it is stored: rounded up, 0 for never.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.Add(time.Millisecond-1).UnixMilli(), 1)
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// change runs the change script and has this process's copy follow.
func (r *Redis) change(ctx context.Context, how, set, key string, value []byte, expires time.Time, was string) (bool, error) {
	if r.isClosed() {
		return false, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, 2*r.timeout)
	defer cancel()
	ends := millis(expires)
	res, err := changeScript.Run(ctx, r.client, r.keys(set), how, key, value, ends, newEpoch(), maxEntries, keepChanges, was).Slice()
	if err != nil {
		return false, fmt.Errorf("state: changing %s in Redis at %s: %w", set, r.address, explain(err))
	}
	epoch, version, err := place(res)
	if err != nil {
		return false, fmt.Errorf("state: changing %s in Redis at %s: %w", set, r.address, err)
	}
	if done, _ := res[2].(int64); done != 1 {
		return false, nil
	}
	r.mu.Lock()
	m := r.mirrors[set]
	r.mu.Unlock()
	if m != nil {
		m.ahead(epoch, change{key: key, value: value, expires: fromMillis(ends), drop: how == "drop", version: version})
	}
	return true, nil
}

var errRubbish = errors.New("the server's answer makes no sense")

// place reads the epoch and version that scripts answer with.
func place(res []any) (epoch string, version int64, err error) {
	if len(res) != 3 {
		return "", 0, errRubbish
	}
	epoch, ok := res[0].(string)
	version, ok2 := res[1].(int64)
	if !ok || !ok2 || epoch == "" {
		return "", 0, errRubbish
	}
	return epoch, version, nil
}

// Put implements [Store].
func (r *Redis) Put(ctx context.Context, set, key string, value []byte, expires time.Time) error {
	_, err := r.change(ctx, "put", set, key, value, expires, "")
	return err
}

// PutIf implements [Store].
func (r *Redis) PutIf(ctx context.Context, set, key string, was, value []byte, expires time.Time) (bool, error) {
	held := ""
	if was != nil {
		held = "=" + string(was)
	}
	return r.change(ctx, "if", set, key, value, expires, held)
}

// Drop implements [Store].
func (r *Redis) Drop(ctx context.Context, set, key string) error {
	_, err := r.change(ctx, "drop", set, key, nil, time.Time{}, "")
	return err
}

// View implements [Store].
func (r *Redis) View(ctx context.Context, set string) (View, error) {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil, ErrClosed
	}
	m := r.mirrors[set]
	if m == nil {
		m = newMirror(r, set)
		r.mirrors[set] = m
		r.wg.Go(func() { m.run(r.ctx) })
	}
	r.mu.Unlock()
	wait := time.NewTimer(4 * r.timeout)
	defer wait.Stop()
	select {
	case <-m.filled:
		return m, nil
	case <-r.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
	case <-wait.C:
	}
	err := m.failed()
	if err == nil {
		err = errors.New("it takes too long")
	}
	return nil, fmt.Errorf("state: reading %s from Redis at %s: %w", set, r.address, err)
}

// Close implements [Store].
func (r *Redis) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	r.stop()
	// This ends the reads that wait. That a connection was broken already is no matter now.
	_ = r.client.Close()
	r.wg.Wait()
	for _, m := range r.mirrors {
		m.close()
	}
	return nil
}
