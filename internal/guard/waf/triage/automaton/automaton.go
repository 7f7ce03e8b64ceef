package automaton

import (
	"encoding/binary"
	"errors"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode/utf8"
)

// Automaton is a set of expressions. It is safe for concurrent use.
type Automaton struct {
	*program
	width int // of a row: the classes, and the end

	states atomic.Pointer[table]

	mu      sync.Mutex // for what makes states
	work    worker
	first   []int32   // where all expressions stand at the beginning
	openers [][]int32 // by class: instructions of first that take it
	asks    []int32   // instructions of first that ask for an assertion
	always  []int32   // expressions that match wherever one looks
}

// Bounds of what is kept and made.
const (
	maxStates = 4096    // kept
	maxCells  = 1 << 20 // of a table: 4 MB
	maxMade   = 1024    // by one text
)

// ErrGivenUp says that a text would lead to too many states.
var ErrGivenUp = errors.New("automaton: the text leads to too many states")

// table is the states that are known. Rows are only added; when there are too many, a
// new table begins, and whoever is still in the old one reads on there.
type table struct {
	rows  []int32 // by state × width + class: see step
	made  int     // states, guarded by Automaton.mu as all below
	limit int
	known map[string]int32
	spots [][]int32 // of each state: the instructions it stands at
	prior []kind    // of each state: the character before
	found map[int32][]int32
}

// New compiles expressions. With bytes, every byte of a text is a character.
func New(list []Expression, bytes bool) (*Automaton, error) {
	p, err := newProgram(list, bytes)
	if err != nil {
		return nil, err
	}
	a := &Automaton{program: p, width: p.classes + 1}
	a.work = worker{program: p, mark: make([]uint32, len(p.code))}
	a.work.begin()
	for _, s := range p.starts {
		a.work.follow(s, 0, false)
	}
	a.first = slices.Clone(a.work.spots)
	a.always = slices.Clone(a.work.found)
	a.openers = make([][]int32, p.classes)
	for _, pc := range a.first {
		in := &p.code[pc]
		if in.op == syntax.InstEmptyWidth {
			a.asks = append(a.asks, pc)
			continue
		}
		for c := range p.classes {
			if p.takes(in, c) {
				a.openers[c] = append(a.openers[c], pc)
			}
		}
	}
	a.states.Store(a.newTable())
	return a, nil
}

func (a *Automaton) newTable() *table {
	t := &table{limit: min(maxStates, maxCells/a.width), known: map[string]int32{}, found: map[int32][]int32{}}
	t.rows = make([]int32, (t.limit+1)*a.width)
	// Row 0 is no state, so that a cell of 0 is one that is not known.
	t.made, t.spots, t.prior = 1, [][]int32{nil}, []kind{begin}
	a.state(t, nil, begin)
	return t
}

// Find appends the places of the expressions that match text to found, each once.
func (a *Automaton) Find(text string, found []int32) ([]int32, error) {
	if len(a.starts) == 0 {
		return found, nil
	}
	from := len(found)
	found = append(found, a.always...)
	t := a.states.Load()
	made := 0
	rows, at := t.rows, int32(a.width)
	plain := 0x100 // bytes below are characters
	if !a.bytes {
		plain = utf8.RuneSelf
	}
	for i := 0; i <= len(text); {
		for i < len(text) {
			b := text[i]
			if int(b) >= plain {
				break
			}
			next := atomic.LoadInt32(&rows[at+int32(a.class[b])])
			if next <= 0 {
				break
			}
			at = next
			i++
		}
		class, size := a.classes, 1
		if i < len(text) {
			if b := text[i]; int(b) < plain {
				class = int(a.class[b])
			} else {
				var r rune
				r, size = utf8.DecodeRuneInString(text[i:])
				class = int(a.classOf(r))
			}
		}
		cell := at + int32(class)
		next := atomic.LoadInt32(&rows[cell])
		if next <= 0 {
			if next == 0 {
				if made++; made > maxMade {
					return found, ErrGivenUp
				}
				var full bool
				if next, full = a.step(t, at, class); full {
					// A new table has begun: the text is read again from its beginning.
					t = a.states.Load()
					rows, at, i = t.rows, int32(a.width), 0
					continue
				}
			}
			if next < 0 {
				found = a.note(t, cell, found, from)
				next = -next
			}
		}
		at = next
		i += size
	}
	return found, nil
}

// Matches reports that an expression matches a text. It may say false where one does: of
// texts that would lead to too many states.
func (a *Automaton) Matches(text string) bool {
	var room [4]int32
	found, err := a.Find(text, room[:0])
	return err == nil && len(found) > 0
}

// note adds what a cell has found.
func (a *Automaton) note(t *table, cell int32, found []int32, from int) []int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range t.found[cell] {
		if !slices.Contains(found[from:], id) {
			found = append(found, id)
		}
	}
	return found
}

// step finds out where a state leads: the row of the next, negative when
// expressions match on the way. full says that no further state has room.
func (a *Automaton) step(t *table, at int32, class int) (next int32, full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	cell := at + int32(class)
	if next = atomic.LoadInt32(&t.rows[cell]); next != 0 {
		return next, false // somebody else was quicker
	}
	state := at / int32(a.width)
	behind := end
	if class < a.classes {
		behind = a.kinds[class]
	}
	// What holds between the character before and this one?
	holds := syntax.EmptyOpContext(sample[t.prior[state]], sample[behind])
	w := &a.work
	w.begin()
	w.here(t.spots[state], holds)
	w.here(a.asks, holds)
	ready := w.spots
	w.spots = w.next[:0]
	w.turn()
	if class < a.classes {
		for _, pc := range ready {
			if in := &a.code[pc]; a.takes(in, class) {
				w.follow(in.out, 0, false)
			}
		}
		for _, pc := range a.openers[class] {
			w.follow(a.code[pc].out, 0, false)
		}
	}
	slices.Sort(w.spots)
	w.next = ready
	row, ok := a.state(t, w.spots, behind)
	if !ok {
		if a.states.Load() == t {
			a.states.Store(a.newTable())
		}
		return 0, true
	}
	if len(w.found) > 0 {
		t.found[cell] = slices.Clone(w.found)
		row = -row
	}
	atomic.StoreInt32(&t.rows[cell], row)
	return row, false
}

// state returns the row of the state that stands at spots, and makes it if need be.
func (a *Automaton) state(t *table, spots []int32, prior kind) (row int32, ok bool) {
	key := a.work.key[:0]
	key = append(key, byte(prior))
	for _, pc := range spots {
		key = binary.NativeEndian.AppendUint32(key, uint32(pc))
	}
	a.work.key = key
	if row, ok = t.known[string(key)]; ok {
		return row, true
	}
	if t.made > t.limit {
		return 0, false
	}
	row = int32(t.made * a.width)
	t.made++
	t.known[string(key)] = row
	t.spots, t.prior = append(t.spots, slices.Clone(spots)), append(t.prior, prior)
	return row, true
}

// worker follows instructions. What it visited is marked with the number of the turn.
type worker struct {
	*program
	mark  []uint32
	turns uint32
	spots []int32 // those that take a character or ask for an assertion
	next  []int32
	found []int32 // expressions that match
	stack []int32
	key   []byte
}

func (w *worker) begin() {
	w.turn()
	w.spots, w.found = w.spots[:0], w.found[:0]
}

func (w *worker) turn() {
	if w.turns++; w.turns == 0 {
		clear(w.mark)
		w.turns = 1
	}
}

// here adds those of a state's instructions that take a character, and whatever
// assertions that hold lead to.
func (w *worker) here(spots []int32, holds syntax.EmptyOp) {
	for _, pc := range spots {
		if w.code[pc].op == syntax.InstEmptyWidth {
			w.follow(pc, holds, true)
		} else if w.mark[pc] != w.turns {
			w.mark[pc] = w.turns
			w.spots = append(w.spots, pc)
		}
	}
}

// follow adds what can be reached from pc without a character. Assertions are left
// for the next character, or, with ask, passed when they hold.
func (w *worker) follow(pc int32, holds syntax.EmptyOp, ask bool) {
	w.stack = append(w.stack[:0], pc)
	for len(w.stack) > 0 {
		pc := w.stack[len(w.stack)-1]
		w.stack = w.stack[:len(w.stack)-1]
		if w.mark[pc] == w.turns {
			continue
		}
		w.mark[pc] = w.turns
		in := &w.code[pc]
		switch in.op {
		case syntax.InstAlt:
			w.stack = append(w.stack, in.other, in.out)
		case syntax.InstNop:
			w.stack = append(w.stack, in.out)
		case syntax.InstEmptyWidth:
			switch {
			case !ask:
				w.spots = append(w.spots, pc)
			case in.cond&^holds == 0:
				w.stack = append(w.stack, in.out)
			}
		case syntax.InstMatch:
			if !slices.Contains(w.found, in.id) {
				w.found = append(w.found, in.id)
			}
		case syntax.InstRune:
			w.spots = append(w.spots, pc)
		}
	}
}

// Quiet reports that no expression of either set, both of characters, matches a text. It may say
// false where none does: of some texts that lead to too many states. Both are read at once,
// which takes little longer than one.
func Quiet(a, b *Automaton, text string) bool {
	if a.empty() {
		a = b
	}
	if b.empty() {
		b = a
	}
	if a.empty() {
		return true
	}
	quiet, known := bothQuiet(a, b, text)
	if known {
		return quiet
	}
	// The states are made by reading one after the other.
	for _, x := range [2]*Automaton{a, b} {
		if found, err := x.Find(text, nil); err != nil || len(found) > 0 {
			return false
		}
	}
	return true
}

func (a *Automaton) empty() bool { return len(a.starts) == 0 }

// bothQuiet reads along states that are known already.
func bothQuiet(a, b *Automaton, text string) (quiet, known bool) {
	if len(a.always)+len(b.always) > 0 {
		return false, true
	}
	s, t := a.states.Load().rows, b.states.Load().rows
	p, q := &a.class, &b.class
	i, j := int32(a.width), int32(b.width)
	for n := 0; n < len(text); n++ {
		c := text[n]
		x, y := int32(p[c]), int32(q[c])
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[n:])
			x, y = int32(a.classOf(r)), int32(b.classOf(r))
			n += size - 1
		}
		i = atomic.LoadInt32(&s[i+x])
		j = atomic.LoadInt32(&t[j+y])
		if i <= 0 || j <= 0 {
			return false, i < 0 || j < 0
		}
	}
	i = atomic.LoadInt32(&s[i+int32(a.classes)])
	j = atomic.LoadInt32(&t[j+int32(b.classes)])
	return i > 0 && j > 0, i < 0 || j < 0 || i > 0 && j > 0
}
