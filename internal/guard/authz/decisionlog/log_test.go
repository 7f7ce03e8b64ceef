package decisionlog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/topdown/builtins"
	"go.uber.org/goleak"
)

const (
	keyOne = "the-first-key-of-the-decision-log-0123456789"
	keyTwo = "the-second-key-of-the-decision-log-012345678"
)

// child, when set, makes the test binary a gateway that logs until it is killed.
const child = "CRENEL_TEST_DECISIONLOG"

func TestMain(m *testing.M) {
	if dir := os.Getenv(child); dir != "" {
		logUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func keys(t *testing.T, secrets ...string) *Keys {
	t.Helper()
	k, err := NewKeys(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func entry(i int) *Entry {
	nd := builtins.NDBCache{}
	nd.Put("time.now_ns", ast.NewArray(), ast.Number(json.Number(fmt.Sprint(1_800_000_000_000_000_000+i))))
	return &Entry{
		ID: fmt.Sprintf("call-%06d", i), API: "pets", Operation: "getPet", Client: netip.MustParseAddr("192.0.2.7"),
		Time: time.Date(2026, 5, 1, 12, 0, 0, i, time.UTC), Path: "crenel/authz/decision",
		Input:  ast.MustInterfaceToValue(map[string]any{"identity": map[string]any{"subject": "alice", "claims": map[string]any{"jti": "a-session-of-alice"}}, "n": i, "filler": filler(i)}),
		Result: ast.Boolean(i%2 == 0), ND: nd, Took: 9 * time.Microsecond, Allowed: i%2 == 0, Size: 500,
	}
}

// filler does not compress.
func filler(i int) string {
	h := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
	return hex.EncodeToString(h[:])
}

func open1(t *testing.T, o Options) *Log {
	t.Helper()
	if o.Keys == nil {
		o.Keys = keys(t, keyOne)
	}
	o.Sample, o.Denied, o.gather = 1, 1, time.Microsecond
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func fill(t *testing.T, dir string, n int, o Options) {
	t.Helper()
	o.Dir = dir
	l := open1(t, o)
	for i := range n {
		if err := l.Record(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "all of it", func() bool { return l.Stats().Kept == uint64(n) })
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// all reads everything, and the damage.
func all(t *testing.T, dir string, k *Keys) (ids []string, damage []string) {
	t.Helper()
	r, err := OpenFolder(dir, k)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for e, err := range r.Events(t.Context(), Span{}) {
		if err != nil {
			damage = append(damage, err.Error())
			continue
		}
		ids = append(ids, e.DecisionID)
	}
	return ids, damage
}

func wantWhole(t *testing.T, dir string, k *Keys, n int) {
	t.Helper()
	ids, damage := all(t, dir, k)
	if len(ids) != n || len(damage) > 0 {
		t.Fatalf("%d events, want %d; damage %q", len(ids), n, damage)
	}
	for i, id := range ids {
		if id != fmt.Sprintf("call-%06d", i) {
			t.Fatalf("event %d is %s", i, id)
		}
	}
}

func TestWhatIsKeptIsReadAsItWas(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 1000, Options{Rotate: 1 << 12, Labels: map[string]string{"id": "gw-1"}})
	wantWhole(t, dir, keys(t, keyOne), 1000)
	r, err := OpenFolder(dir, keys(t, keyOne))
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Find(t.Context(), "call-000042")
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.InputValue()
	if err != nil || in.Compare(entry(42).Input) != 0 {
		t.Errorf("input %v, %v", in, err)
	}
	res, err := e.ResultValue()
	if err != nil || res.Compare(ast.Boolean(true)) != 0 {
		t.Errorf("result %v, %v", res, err)
	}
	nd, err := e.NDCache()
	if err != nil {
		t.Fatal(err)
	}
	// As an evaluation asks: arguments are an array.
	if v, ok := nd.Get("time.now_ns", ast.NewArray()); !ok || v.String() != "1800000000000000042" {
		t.Errorf("nd %v %v", v, ok)
	}
	if !e.Timestamp.Equal(entry(42).Time) || e.Labels["id"] != "gw-1" || e.RequestedBy != "192.0.2.7" || e.RequestID != 43 || e.Metrics.Eval != 9000 {
		t.Errorf("event %+v", e)
	}
	if _, err := r.Find(t.Context(), "call-none"); err == nil {
		t.Error("a decision that is not there was found")
	}
}

// Nothing of a decision stands in the folder in the clear.
func TestSealed(t *testing.T) {
	dir := t.TempDir()
	o := Options{}
	fill(t, dir, 50, o)
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		b, err := os.ReadFile(path)
		for _, s := range []string{"alice", "getPet", "call-", keyOne} {
			if bytes.Contains(b, []byte(s)) {
				t.Errorf("%s holds %q", path, s)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if ids, damage := all(t, dir, keys(t, keyTwo)); len(ids) != 0 || len(damage) == 0 || !strings.Contains(damage[0], "a key that is not given") {
		t.Errorf("with another key: %d events, %q", len(ids), damage)
	}
}

func TestKeysRotate(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 10, Options{Keys: keys(t, keyOne)})
	l := open1(t, Options{Dir: dir, Keys: keys(t, keyTwo, keyOne)})
	for i := 10; i < 20; i++ {
		if err := l.Record(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantWhole(t, dir, keys(t, keyTwo, keyOne), 20)
	wantWhole(t, dir, keys(t, keyOne, keyTwo), 20)
	ids, damage := all(t, dir, keys(t, keyTwo))
	if len(ids) != 10 || len(damage) == 0 {
		t.Errorf("with the new key alone: %d events, %q", len(ids), damage)
	}
	for _, bad := range [][]string{{}, {"short"}, {keyOne, keyOne}} {
		if _, err := NewKeys(bad...); err == nil {
			t.Errorf("keys %q were taken", bad)
		}
	}
}

// Each way to tamper with the folder is found.
func TestTampering(t *testing.T) {
	whole := t.TempDir()
	fill(t, whole, 400, Options{Rotate: 1 << 12})
	list, err := segments(whole)
	if err != nil || len(list) < 4 {
		t.Fatalf("%d segments, %v", len(list), err)
	}
	first, middle, last := filepath.Base(list[0].path), filepath.Base(list[len(list)/2].path), filepath.Base(list[len(list)-1].path)
	change := func(name string, f func([]byte) []byte) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, f(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 1
			return b
		}
	}
	for name, do := range map[string]func(t *testing.T, dir string){
		"a bit of a chunk":            change(middle, flip(300)),
		"the last bit":                change(last, flip(-1)),
		"the header's time":           change(middle, func(b []byte) []byte { return bytes.Replace(b, []byte(`"created":"2`), []byte(`"created":"1`), 1) }),
		"the header's place":          change(middle, func(b []byte) []byte { return bytes.Replace(b, []byte(`"seq":`), []byte(`"seq":1`), 1) }),
		"the last byte of the newest": change(last, func(b []byte) []byte { return b[:len(b)-1] }),
		"the end of a middle one":     change(middle, func(b []byte) []byte { return b[:len(b)-1] }),
		"whole chunks of a middle one": change(middle, func(b []byte) []byte {
			return cutChunks(t, b, 1)
		}),
		"whole chunks of the newest": change(last, func(b []byte) []byte { return cutChunks(t, b, 1) }),
		"more after the end":         change(middle, func(b []byte) []byte { return append(b, b[len(b)-80:]...) }),
		"the first segment":          remove(first),
		"a middle segment":           remove(middle),
		"the newest segment":         remove(last),
		"the head":                   remove(headName),
		"a bit of the head":          change(headName, flip(-3)),
		"all segments": func(t *testing.T, dir string) {
			for _, s := range list {
				remove(filepath.Base(s.path))(t, dir)
			}
		},
		"two segments exchanged": func(t *testing.T, dir string) {
			a, b := filepath.Join(dir, first), filepath.Join(dir, middle)
			for _, mv := range [][2]string{{a, a + ".x"}, {b, a}, {a + ".x", b}} {
				if err := os.Rename(mv[0], mv[1]); err != nil {
					t.Fatal(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			wantWhole(t, dir, keys(t, keyOne), 400)
			do(t, dir)
			ids, damage := all(t, dir, keys(t, keyOne))
			if len(damage) == 0 {
				t.Fatalf("nothing was found; %d events", len(ids))
			}
			t.Log(damage[0])
		})
	}
}

// cutChunks removes the last n chunks of a segment.
func cutChunks(t *testing.T, b []byte, n int) []byte {
	t.Helper()
	at := bytes.IndexByte(b, '\n') + 1
	var starts []int
	for at < len(b) {
		starts = append(starts, at)
		at += 4 + int(b[at])<<24 + int(b[at+1])<<16 + int(b[at+2])<<8 + int(b[at+3])
	}
	return b[:starts[len(starts)-n]]
}

// logUntilKilled is the child process: it logs, and says how many decisions are
// certainly written.
func logUntilKilled(dir string) {
	k, _ := NewKeys(keyOne)
	l, err := Open(Options{Dir: dir, Keys: k, Sample: 1, Denied: 1, Rotate: 1 << 16})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		if l.Record(entry(i)) != nil {
			os.Exit(1)
		}
		if i%50 == 0 {
			for l.Stats().Kept < uint64(i) {
				time.Sleep(time.Millisecond)
			}
			fmt.Println(i)
		}
	}
}

// A gateway that is killed loses nothing that was written, and leaves a log that
// the next one goes on with.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		before, _ := all(t, dir, keys(t, keyOne))
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), child+"="+dir)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		buf, n := make([]byte, 64), 0
		for range 4 {
			if n, err = out.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
		said := strings.Fields(string(buf[:n]))
		ids, damage := all(t, dir, keys(t, keyOne))
		var sure int
		_, _ = fmt.Sscan(said[len(said)-1], &sure)
		if len(damage) > 0 || len(ids)-len(before) < sure {
			t.Fatalf("round %d: %d events after %d, %d were sure; damage %q", round, len(ids), len(before), sure, damage)
		}
	}
	// A torn chunk, as a power cut leaves it.
	list, err := segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(list[len(list)-1].path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte{0, 0, 1, 0, 'e', 1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	ids, damage := all(t, dir, keys(t, keyOne))
	if len(damage) > 0 {
		t.Fatalf("a torn end is no damage while a gateway may be writing: %q", damage)
	}
	l := open1(t, Options{Dir: dir})
	if err := l.Record(entry(7)); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, damage := all(t, dir, keys(t, keyOne))
	if len(damage) > 0 || len(after) != len(ids)+1 {
		t.Fatalf("%d events after %d, damage %q", len(after), len(ids), damage)
	}
}

func TestTwoGatewaysDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	l := open1(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir, Keys: keys(t, keyOne)}); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestRetention(t *testing.T) {
	dir := t.TempDir()
	fill(t, dir, 2000, Options{Rotate: 1 << 12, Most: 3 << 12})
	list, err := segments(dir)
	if err != nil || len(list) > 5 || list[0].seq == 1 {
		t.Fatalf("%d segments from %d, %v", len(list), list[0].seq, err)
	}
	ids, damage := all(t, dir, keys(t, keyOne))
	if len(damage) > 0 || ids[len(ids)-1] != "call-001999" {
		t.Errorf("damage %q", damage)
	}
	old := time.Now().Add(-48 * time.Hour)
	for _, s := range list {
		if err := os.Chtimes(s.path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	l := open1(t, Options{Dir: dir, Rotate: 1 << 12, Keep: 24 * time.Hour})
	for i := 2000; i < 2200; i++ {
		if err := l.Record(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids, damage = all(t, dir, keys(t, keyOne))
	if len(damage) > 0 || ids[0] != "call-002000" {
		t.Errorf("begins with %s, damage %q", ids[0], damage)
	}
}

// fullDisk takes nothing while it is full.
type fullDisk struct {
	*os.File
	full *atomic.Bool
}

func (f fullDisk) Write(b []byte) (int, error) {
	if f.full.Load() {
		n, _ := f.File.Write(b[:len(b)/2]) // as a disk does: some of it
		return n, syscall.ENOSPC
	}
	return f.File.Write(b)
}

func TestDiskFull(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		t.Run(fmt.Sprintf("refuse=%v", refuse), func(t *testing.T) {
			dir := t.TempDir()
			var full atomic.Bool
			var alarms atomic.Int32
			l := open1(t, Options{
				Dir: dir, Queue: 100, Refuse: refuse, Alarm: func(string, string) { alarms.Add(1) },
				open: func(path string) (file, error) {
					f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
					return fullDisk{f, &full}, err
				},
			})
			if err := l.Record(entry(0)); err != nil {
				t.Fatal(err)
			}
			wait(t, "the first decision", func() bool { return l.Stats().Kept == 1 })
			full.Store(true)
			begin := time.Now()
			refused := 0
			for i := 1; i < 5000; i++ {
				if err := l.Record(entry(i)); err != nil {
					refused++
				}
				if i == 10 {
					wait(t, "the failure", func() bool { return l.Stats().Failing })
				}
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("recording on a full disk took %s", took)
			}
			if refuse != (refused > 0) {
				t.Errorf("%d were refused", refused)
			}
			if alarms.Load() == 0 {
				t.Error("nobody was told")
			}
			full.Store(false)
			wait(t, "the disk", func() bool { return !l.Stats().Failing && l.Stats().Waiting == 0 })
			if err := l.Record(entry(5000)); err != nil {
				t.Error(err)
			}
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			r, err := OpenFolder(dir, keys(t, keyOne))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			for _, err := range r.Events(t.Context(), Span{}) {
				if err != nil {
					t.Fatal(err)
				}
				n++
			}
			if r.Lost() == 0 || n+int(r.Lost()) != 5001 {
				t.Errorf("%d kept, %d lost of 5001", n, r.Lost())
			}
		})
	}
}

func wait(t *testing.T, what string, ready func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ready(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s in vain", what)
		}
	}
}

// A disk that never comes back does not keep the gateway from stopping.
func TestStopsOnAFullDisk(t *testing.T) {
	var full atomic.Bool
	l := open1(t, Options{Dir: t.TempDir(), open: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		return fullDisk{f, &full}, err
	}})
	full.Store(true)
	for i := range 10 {
		_ = l.Record(entry(i))
	}
	done := make(chan error, 1)
	go func() { done <- l.Close(context.Background()) }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
}

// The queue is bounded by what entries hold on to, not only by their number.
func TestQueueIsBoundedInBytes(t *testing.T) {
	var full atomic.Bool
	full.Store(true)
	l := open1(t, Options{Dir: t.TempDir(), Queue: 1 << 20, QueueBytes: 10_000, Refuse: true, open: func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		return fullDisk{f, &full}, err
	}})
	_ = l.Record(entry(0))
	wait(t, "the failure", func() bool { return l.Stats().Failing })
	taken := 0
	for i := range 100 {
		if l.Record(entry(i)) == nil {
			taken++
		}
	}
	if taken != 20 {
		t.Errorf("%d of 500 bytes each were taken into 10,000 bytes", taken)
	}
	_ = l.Close(t.Context())
}

// rules are a policy's own, in Go.
type rules struct {
	drop func(ast.Value) (bool, error)
	mask func(ast.Value) (ast.Value, error)
}

func (r rules) Drop(_ context.Context, v ast.Value) (bool, error) {
	if r.drop == nil {
		return false, nil
	}
	return r.drop(v)
}

func (r rules) Mask(_ context.Context, v ast.Value) (ast.Value, error) {
	if r.mask == nil {
		return nil, nil
	}
	return r.mask(v)
}

func TestDrop(t *testing.T) {
	dir := t.TempDir()
	p := &Policy{Identify: func() (string, string) { return "p1", "d1" }, Rules: rules{drop: func(v ast.Value) (bool, error) {
		n, err := v.Find(ast.MustParseRef("x.input.n")[1:])
		if err != nil {
			return false, err
		}
		return n.Compare(ast.Number("3")) == 0, nil
	}}}
	l := open1(t, Options{Dir: dir})
	for i := range 5 {
		e := entry(i)
		e.Policy = p
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids, damage := all(t, dir, keys(t, keyOne))
	if fmt.Sprint(ids) != "[call-000000 call-000001 call-000002 call-000004]" || len(damage) > 0 || l.Stats().Dropped != 1 {
		t.Errorf("kept %v, damage %q, dropped %d", ids, damage, l.Stats().Dropped)
	}
}

func TestPoliciesAreKept(t *testing.T) {
	dir := t.TempDir()
	l := open1(t, Options{Dir: dir, Policies: 2000})
	asked := 0
	for i := range 6 {
		p := &Policy{Identify: func() (string, string) { return fmt.Sprintf("rev%d", i%3), "data" }, Archive: func() ([]byte, error) {
			asked++
			return bytes.Repeat([]byte{byte(i % 3)}, 300), nil
		}}
		e := entry(i)
		e.Policy = p
		if err := l.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := OpenFolder(dir, keys(t, keyOne))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.Policy("rev2", "data"); err != nil || len(b) != 300 || b[0] != 2 {
		t.Errorf("%v, %v", b, err)
	}
	if _, err := r.Policy("rev9", "data"); !errors.Is(err, ErrNotKept) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Policy("../head", ""); !errors.Is(err, ErrNotKept) {
		t.Errorf("got %v", err)
	}
	if asked != 3 {
		t.Errorf("asked %d times for 3 policies", asked)
	}
	// One put in another's place is found.
	dirOf := filepath.Join(dir, policyFolder)
	if err := os.Rename(filepath.Join(dirOf, "rev1-data.bundle"), filepath.Join(dirOf, "rev2-data.bundle")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Policy("rev2", "data"); err == nil {
		t.Error("another policy was taken for it")
	}
}
