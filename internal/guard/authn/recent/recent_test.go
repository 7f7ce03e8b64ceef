package recent

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is done, a Map holds no more than its bound, and what it says of a key
// is the last that was put and not dropped.
func TestMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(2, 9).Draw(t, "most")
		m, last := New[int](most), map[string]int{}
		for i := range rapid.IntRange(1, 60).Draw(t, "steps") {
			key := strconv.Itoa(rapid.IntRange(0, 12).Draw(t, "key"))
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				m.Put(key, i)
				last[key] = i
			case 1:
				m.Drop(key)
				delete(last, key)
			case 2:
				if v, ok := m.Get(key); ok && v != last[key] {
					t.Fatalf("%s is %d, want %d", key, v, last[key])
				} else if _, put := last[key]; ok && !put {
					t.Fatalf("%s is remembered though it was dropped", key)
				}
			}
			if n := len(m.young) + len(m.old); n > most {
				t.Fatalf("%d entries, at most %d", n, most)
			}
		}
	})
}

func TestWhatIsAskedForStays(t *testing.T) {
	m := New[int](4)
	for i := range 100 {
		m.Put("often", i)
		m.Put(strconv.Itoa(i), i)
		if _, ok := m.Get("often"); !ok {
			t.Fatal("what is asked for again and again is forgotten")
		}
	}
	if _, ok := m.Get("3"); ok {
		t.Error("what was not asked for stays")
	}
}
