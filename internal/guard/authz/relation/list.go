package relation

import "sort"

// list is an array of many elements, in runs of bytes; it never changes.
type list struct {
	runs  []run
	count int
}

type run struct {
	first   int // index of its first element
	entries []byte
	at      []uint32 // where each element begins
}

// runSize is about how many bytes a run has.
const runSize = 1 << 16

// element returns the bytes that begin with the element i.
func (l *list) element(i int) []byte {
	n := sort.Search(len(l.runs), func(j int) bool { return l.runs[j].first > i }) - 1
	r := &l.runs[n]
	return r.entries[r.at[i-r.first]:]
}

func (l *list) bytes() int64 {
	n := int64(64)
	for i := range l.runs {
		n += int64(len(l.runs[i].entries) + 4*len(l.runs[i].at) + 64)
	}
	return n
}

func (l *list) add(value []byte) {
	if n := len(l.runs); n == 0 || len(l.runs[n-1].entries)+len(value) > runSize && len(l.runs[n-1].at) > 0 {
		l.trim()
		l.runs = append(l.runs, run{first: l.count})
	}
	r := &l.runs[len(l.runs)-1]
	r.at = append(r.at, uint32(len(r.entries)))
	r.entries = append(r.entries, value...)
	l.count++
}

// trim lets go of the room that the last run did not need.
func (l *list) trim() {
	if n := len(l.runs); n > 0 {
		r := &l.runs[n-1]
		r.entries = append(make([]byte, 0, len(r.entries)), r.entries...)
		r.at = append(make([]uint32, 0, len(r.at)), r.at...)
	}
}
