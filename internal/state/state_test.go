package state_test

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/internal/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemory(t *testing.T) {
	ctx := context.Background()
	now := time.Now()
	m := state.NewMemory(func() time.Time { return now })
	defer m.Close()
	for i, want := range []bool{true, false, false} {
		if got, err := m.First(ctx, "proof", time.Minute); err != nil || got != want {
			t.Fatalf("asked %d times: first %v, %v", i+1, got, err)
		}
	}
	v, err := m.View(ctx, "ended")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	stop := v.Watch(func(key string, value []byte) { heard <- key + "=" + string(value) })
	defer stop()
	if err := m.Put(ctx, "ended", "alice", []byte("1"), now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got, ok := v.Get("alice"); !ok || string(got) != "1" {
		t.Fatalf("alice is %q, %v", got, ok)
	}
	if got := <-heard; got != "alice=1" {
		t.Fatal(got)
	}
	now = now.Add(2 * time.Hour)
	if _, ok := v.Get("alice"); ok {
		t.Fatal("an entry outlives its end")
	}
	if first, _ := m.First(ctx, "proof", time.Minute); !first {
		t.Fatal("a mark outlives its time")
	}
}
