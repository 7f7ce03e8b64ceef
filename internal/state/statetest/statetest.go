// Package statetest is the conformance suite of state.Store: every store runs
// the same tests, so that a gateway behaves alike whichever it has.
//
// In: how to open a store, and how another gateway would open the same one. Out:
// failures. It must never lean on what one store does beyond its contract.
package statetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/state"
)

// Shared is one state as several gateways see it. Open opens it anew: a store of
// one process returns another handle on the same, or nil where it has none.
type Shared interface {
	Open(t testing.TB) state.Store
	Other(t testing.TB) state.Store // the same state as seen by another gateway; nil when nobody else can
}

// within is how long a change may take to be seen by another gateway.
const within = time.Second

// Run runs the suite. fresh makes a state that is empty.
func Run(t *testing.T, fresh func(t testing.TB) Shared) {
	for name, test := range map[string]func(*testing.T, state.Store, state.Store){
		"a mark is the first once":                 firstOnce,
		"of many that mark at once one is first":   firstOfMany,
		"a mark ends":                              firstEnds,
		"a view has what was put when Put is back": putIsThere,
		"a view has what was put before it":        viewIsFilled,
		"an entry ends":                            entryEnds,
		"values are bytes":                         anyBytes,
		"a change is told once, in order":          watched,
		"a watch can be stopped":                   watchStops,
		"PutIf puts only what it was shown":        putIf,
		"of many that PutIf at once one does":      putIfOfMany,
		"sets do not mix":                          setsApart,
		"a closed store says so":                   closed,
		"the copy is what was done":                model,
	} {
		t.Run(name, func(t *testing.T) {
			s := fresh(t)
			a := s.Open(t)
			b := s.Other(t)
			if b == nil {
				b = a
			}
			test(t, a, b)
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func view(t testing.TB, s state.Store, set string) state.View {
	t.Helper()
	v, err := s.View(context.Background(), set)
	must(t, err)
	return v
}

// eventually waits for what another gateway did.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(within)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, within)
		}
		time.Sleep(time.Millisecond)
	}
}

func firstOnce(t *testing.T, a, b state.Store) {
	for i, s := range []state.Store{a, b, a, b} {
		first, err := s.First(t.Context(), "proof", time.Minute)
		must(t, err)
		if first != (i == 0) {
			t.Errorf("asked %d times: first %v", i+1, first)
		}
	}
	first, err := b.First(t.Context(), "another", time.Minute)
	must(t, err)
	if !first {
		t.Error("another mark is not the first")
	}
}

func firstOfMany(t *testing.T, a, b state.Store) {
	var firsts atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			s := a
			if i%2 == 1 {
				s = b
			}
			first, err := s.First(context.Background(), "raced", time.Minute)
			if err != nil {
				t.Error(err)
			}
			if first {
				firsts.Add(1)
			}
		})
	}
	wg.Wait()
	if n := firsts.Load(); n != 1 {
		t.Errorf("%d were first", n)
	}
}

func firstEnds(t *testing.T, a, b state.Store) {
	_, err := a.First(t.Context(), "short", 30*time.Millisecond)
	must(t, err)
	eventually(t, "a mark ends", func() bool {
		first, err := b.First(t.Context(), "short", time.Minute)
		must(t, err)
		return first
	})
}

func putIsThere(t *testing.T, a, b state.Store) {
	va, vb := view(t, a, "set"), view(t, b, "set")
	if va.Len() != 0 {
		t.Errorf("a fresh set has %d entries", va.Len())
	}
	for i := range 50 {
		value := strconv.Itoa(i)
		must(t, a.Put(t.Context(), "set", "k", []byte(value), time.Time{}))
		if got, ok := va.Get("k"); !ok || string(got) != value {
			t.Fatalf("put %s, have %q, %v", value, got, ok)
		}
	}
	eventually(t, "the other gateway sees it", func() bool { got, ok := vb.Get("k"); return ok && string(got) == "49" })
	must(t, b.Drop(t.Context(), "set", "k"))
	if _, ok := vb.Get("k"); ok {
		t.Error("dropped, and still there")
	}
	eventually(t, "the other gateway sees it gone", func() bool { _, ok := va.Get("k"); return !ok && va.Len() == 0 })
	must(t, a.Drop(t.Context(), "set", "never there"))
	if s := va.Stale(); s != 0 {
		t.Errorf("stale for %s", s)
	}
	must(t, a.Ready())
}

func viewIsFilled(t *testing.T, a, b state.Store) {
	must(t, a.Put(t.Context(), "set", "k", []byte("v"), time.Now().Add(time.Hour)))
	if got, ok := view(t, b, "set").Get("k"); !ok || string(got) != "v" {
		t.Errorf("%q, %v", got, ok)
	}
}

func entryEnds(t *testing.T, a, b state.Store) {
	va, vb := view(t, a, "set"), view(t, b, "set")
	must(t, a.Put(t.Context(), "set", "short", []byte("v"), time.Now().Add(150*time.Millisecond)))
	must(t, a.Put(t.Context(), "set", "long", []byte("v"), time.Now().Add(time.Hour)))
	must(t, a.Put(t.Context(), "set", "for ever", []byte("v"), time.Time{}))
	eventually(t, "it is there", func() bool { _, ok := vb.Get("for ever"); return ok })
	time.Sleep(200 * time.Millisecond)
	for _, v := range []state.View{va, vb} {
		if _, ok := v.Get("short"); ok {
			t.Error("an entry outlives its end")
		}
		for _, key := range []string{"long", "for ever"} {
			if _, ok := v.Get(key); !ok {
				t.Errorf("%s has gone", key)
			}
		}
	}
	// An entry that has ended is nothing to PutIf.
	ok, err := b.PutIf(t.Context(), "set", "short", nil, []byte("new"), time.Time{})
	must(t, err)
	if !ok {
		t.Error("what has ended is in the way")
	}
}

func anyBytes(t *testing.T, a, b state.Store) {
	va, vb := view(t, a, "set"), view(t, b, "set")
	for i, s := range []string{"", " ", "=", "0 x", "\x00\xff\r\n", "{}", "epoch", "version", "ä\u2028"} {
		key, value := s, s+strconv.Itoa(i)
		if i == 0 {
			value = ""
		}
		must(t, a.Put(t.Context(), "set", key, []byte(value), time.Time{}))
		for _, v := range []state.View{va, vb} {
			eventually(t, fmt.Sprintf("%q", s), func() bool { got, ok := v.Get(key); return ok && got != nil && string(got) == value })
		}
		ok, err := b.PutIf(t.Context(), "set", key, []byte(value), []byte(value+"!"), time.Time{})
		must(t, err)
		if !ok {
			t.Errorf("%q is not what it is", s)
		}
	}
}

// record is what a watch was told.
type record struct {
	mu   sync.Mutex
	told []string
}

func (r *record) add(key string, value []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if value == nil {
		r.told = append(r.told, "-"+key)
	} else {
		r.told = append(r.told, key+"="+string(value))
	}
}

func (r *record) is(want ...string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.told) == fmt.Sprint(want)
}

func watched(t *testing.T, a, b state.Store) {
	va, vb := view(t, a, "set"), view(t, b, "set")
	var ra, rb record
	defer va.Watch(ra.add)()
	defer vb.Watch(rb.add)()
	ctx := t.Context()
	must(t, a.Put(ctx, "set", "k", []byte("1"), time.Time{}))
	must(t, a.Put(ctx, "set", "k", []byte("1"), time.Time{})) // no change
	must(t, a.Put(ctx, "set", "k", []byte("2"), time.Time{}))
	must(t, a.Drop(ctx, "set", "k"))
	must(t, a.Drop(ctx, "set", "k")) // nor is this
	must(t, a.Put(ctx, "set", "e", nil, time.Time{}))
	for _, r := range []*record{&ra, &rb} {
		eventually(t, "all is told", func() bool { return r.is("k=1", "k=2", "-k", "e=") })
	}
	time.Sleep(20 * time.Millisecond)
	for _, r := range []*record{&ra, &rb} {
		if !r.is("k=1", "k=2", "-k", "e=") {
			t.Errorf("told %v", r.told)
		}
	}
}

func watchStops(t *testing.T, a, _ state.Store) {
	v := view(t, a, "set")
	var r record
	stop := v.Watch(r.add)
	stop()
	must(t, a.Put(t.Context(), "set", "k", []byte("1"), time.Time{}))
	time.Sleep(20 * time.Millisecond)
	if !r.is() {
		t.Errorf("told %v after the end", r.told)
	}
}

func putIf(t *testing.T, a, b state.Store) {
	va := view(t, a, "set")
	for i, c := range []struct {
		by       state.Store
		was, now []byte
		want     bool
	}{
		{a, []byte("1"), []byte("0"), false},
		{b, nil, []byte("1"), true},
		{a, nil, []byte("2"), false},
		{a, []byte(""), []byte("2"), false},
		{a, []byte("1"), []byte("2"), true},
		{b, []byte("1"), []byte("3"), false},
		{b, []byte("2"), []byte(""), true},
		{a, nil, []byte("4"), false},
		{a, []byte(""), []byte("4"), true},
	} {
		ok, err := c.by.PutIf(t.Context(), "set", "k", c.was, c.now, time.Time{})
		must(t, err)
		if ok != c.want {
			t.Errorf("step %d: %v", i, ok)
		}
	}
	eventually(t, "the last one holds", func() bool { got, _ := va.Get("k"); return string(got) == "4" })
}

func putIfOfMany(t *testing.T, a, b state.Store) {
	var done atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ok, err := []state.Store{a, b}[i%2].PutIf(context.Background(), "set", "k", nil, []byte{byte(i)}, time.Time{})
			if err != nil {
				t.Error(err)
			}
			if ok {
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if n := done.Load(); n != 1 {
		t.Errorf("%d did", n)
	}
}

func setsApart(t *testing.T, a, _ state.Store) {
	must(t, a.Put(t.Context(), "one", "k", []byte("1"), time.Time{}))
	if _, ok := view(t, a, "two").Get("k"); ok {
		t.Error("an entry is in another set")
	}
	if first, err := a.First(t.Context(), "k", time.Minute); err != nil || !first {
		t.Errorf("an entry is a mark: %v, %v", first, err)
	}
}

func closed(t *testing.T, a, _ state.Store) {
	ctx := t.Context()
	must(t, a.Close())
	must(t, a.Close())
	_, first := a.First(ctx, "k", time.Minute)
	_, putif := a.PutIf(ctx, "s", "k", nil, nil, time.Time{})
	_, v := a.View(ctx, "s")
	for i, err := range []error{first, putif, v, a.Put(ctx, "s", "k", nil, time.Time{}), a.Drop(ctx, "s", "k")} {
		if !errors.Is(err, state.ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// model does what comes to mind from both sides; both copies must end as a map does.
func model(t *testing.T, a, b state.Store) {
	va, vb := view(t, a, "set"), view(t, b, "set")
	want := map[string]string{}
	rapid.Check(t, func(r *rapid.T) {
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			s := rapid.SampledFrom([]state.Store{a, b}).Draw(r, "by")
			key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "key")
			switch rapid.IntRange(0, 2).Draw(r, "do") {
			case 0:
				value := rapid.StringN(0, 3, 6).Draw(r, "value")
				must(t, s.Put(context.Background(), "set", key, []byte(value), time.Time{}))
				want[key] = value
			case 1:
				must(t, s.Drop(context.Background(), "set", key))
				delete(want, key)
			case 2:
				value := rapid.StringN(0, 3, 6).Draw(r, "value")
				var was []byte
				if old, ok := want[key]; ok && rapid.Bool().Draw(r, "right") {
					was = []byte(old)
				}
				old, there := want[key]
				ok, err := s.PutIf(context.Background(), "set", key, was, []byte(value), time.Time{})
				must(t, err)
				if should := was == nil && !there || was != nil && there && string(was) == old; ok != should {
					r.Fatalf("PutIf %q was %q, is %q, %v: %v", key, was, old, there, ok)
				}
				if ok {
					want[key] = value
				}
			}
		}
		for _, v := range []state.View{va, vb} {
			eventually(t, "both copies are the same", func() bool {
				got := map[string]string{}
				all := map[string]string{}
				for _, key := range []string{"a", "b", "c"} {
					if value, ok := v.Get(key); ok {
						got[key] = string(value)
					}
				}
				for key, value := range v.All() {
					all[key] = string(value)
				}
				return maps.Equal(got, want) && maps.Equal(all, want) && v.Len() == len(want)
			})
		}
	})
}
