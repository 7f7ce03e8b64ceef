package value

import (
	"fmt"
	"math"
	"strconv"
	"sync"
	"unsafe"
)

// JSON decodes one JSON text (RFC 8259) into a tree.
//
// It refuses what parsers are known to disagree on: a name twice in one object
// (names compared as decoded), invalid UTF-8, an escape of half a surrogate
// pair, a byte order mark, anything after the document, and a number that a
// float64 cannot hold. The error is always an *Error.
//
// Strings without escapes share src's memory: src must not change while the
// tree is in use.
func JSON(src []byte, lim Limits) (*Value, error) {
	s := scratches.Get().(*scratch)
	v, _, err := s.decode(src, lim, nil)
	s.trim()
	scratches.Put(s)
	if err != nil {
		return nil, err
	}
	return v, nil
}

// Decoder decodes one document after another into the same memory. The zero
// Decoder is ready. It is not safe for concurrent use.
type Decoder struct {
	scratch scratch
	nodes   []Value
}

// JSON is the function JSON, but the tree it returns is valid only until the
// next call of JSON or Reset.
func (d *Decoder) JSON(src []byte, lim Limits) (*Value, error) {
	d.Reset()
	v, nodes, err := d.scratch.decode(src, lim, d.nodes)
	d.scratch.trim()
	if err != nil {
		return nil, err
	}
	d.nodes = nodes
	return v, nil
}

// Reset lets go of the last document.
func (d *Decoder) Reset() {
	if cap(d.nodes) > keepNodes {
		d.nodes = nil
		return
	}
	clear(d.nodes)
	d.nodes = d.nodes[:0]
}

// What a pooled scratch or a Decoder keeps for the next document. A large
// document must not pin its memory for good.
const (
	keepNodes = 4 << 10
	keepBytes = 64 << 10
)

// entry is a value on the tape: the document in reading order, without a
// pointer, so that the garbage collector never looks at it.
type entry struct {
	start, end       uint32 // of the value in the source
	nameOff, nameLen uint32 // in the source, or in scratch.text when escName
	textOff, textLen uint32 // likewise with escText; textLen is the count of a container's kids
	kind             Kind
	escName, escText bool
}

// frame is one open container. In the first pass kid is the tape index of its
// current child (0: none yet), in the second base is where its kids begin.
type frame struct {
	node uint32 // the container: tape index in the first pass, node index in the second
	n    uint32 // kids so far
	kid  uint32
}

// scratch is the memory of one run, reused.
type scratch struct {
	lim    Limits
	tape   []entry
	frames []frame
	text   []byte // decoded text of the strings that have escapes
	names  nameSet
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// trim lets go of memory that only a large document needs.
func (s *scratch) trim() {
	if cap(s.tape) > keepNodes {
		s.tape = nil
	}
	if cap(s.text) > keepBytes {
		s.text = nil
	}
	s.names.trim()
}

// decode scans src on to the tape, then lays out the tree in one block of
// exactly the right size.
func (s *scratch) decode(src []byte, lim Limits, nodes []Value) (*Value, []Value, error) {
	s.lim = lim.WithDefaults()
	s.tape, s.frames, s.text = s.tape[:0], s.frames[:0], s.text[:0]
	if uint64(len(src)) >= math.MaxUint32 {
		return nil, nil, &Error{Fault: FaultSyntax, Detail: "document of 4 GiB or more"}
	}
	if want := min(len(src)/12, s.lim.Nodes); cap(s.tape) < want {
		s.tape = make([]entry, 0, want) // a dense document's worth; append does the rest
	}
	if err := s.scan(src); err != nil {
		return nil, nil, err
	}
	if n := len(s.tape); cap(nodes) >= n {
		nodes = nodes[:n]
	} else {
		nodes = make([]Value, n)
	}
	if err := s.build(src, nodes); err != nil {
		return nil, nil, err
	}
	return &nodes[0], nodes, nil
}

// build lays out the tape's values so that the kids of each lie side by side,
// and refuses duplicate names.
func (s *scratch) build(src []byte, nodes []Value) *Error {
	var (
		plain = shared(src)
		esc   = string(s.text)
		free  = uint32(1)
		next  = uint32(0) // where the next value of the tape goes
		f     frame       // innermost open container; n counts down
	)
	s.frames = s.frames[:0]
	for i := range s.tape {
		e := &s.tape[i]
		v := &nodes[next]
		v.Kind, v.Start, v.End = e.kind, e.start, e.end
		if e.escName {
			v.Name = esc[e.nameOff : e.nameOff+e.nameLen]
		} else {
			v.Name = plain[e.nameOff : e.nameOff+e.nameLen]
		}
		if e.kind >= Array {
			if e.textLen > 0 {
				v.Kids = nodes[free : free+e.textLen : free+e.textLen]
				s.frames = append(s.frames, f)
				f = frame{node: next, n: e.textLen, kid: free}
				next = free
				free += e.textLen
				continue
			}
		} else if e.escText {
			v.Text = esc[e.textOff : e.textOff+e.textLen]
		} else {
			v.Text = plain[e.textOff : e.textOff+e.textLen]
		}
		for {
			if f.n == 0 {
				return nil // the root is complete
			}
			f.n--
			f.kid++
			next = f.kid
			if f.n > 0 {
				break
			}
			c := &nodes[f.node]
			if c.Kind == Object && len(c.Kids) > 1 {
				if dup := s.names.duplicate(c.Kids); dup >= 0 {
					return s.duplicateError(nodes, f, dup)
				}
			}
			last := len(s.frames) - 1
			f = s.frames[last]
			s.frames = s.frames[:last]
			if last == 0 {
				return nil
			}
		}
	}
	return nil
}

// duplicateError names the member that comes second. f is its object's frame,
// s.frames hold the ancestors'; frames[0] is the empty one outside the root.
func (s *scratch) duplicateError(nodes []Value, f frame, dup int) *Error {
	var b []byte
	path := append(s.frames, f)
	for i := 1; i < len(path)-1 && len(b) < maxPointer; i++ {
		at := &nodes[path[i].kid] // kid is still on the child that is open
		if nodes[path[i].node].Kind == Object {
			b = appendToken(b, at.Name)
		} else {
			b = appendIndex(b, int(path[i].kid)-kidIndex(nodes, path[i].node))
		}
	}
	kid := &nodes[f.node].Kids[dup]
	return &Error{
		Fault: FaultDuplicateKey, Offset: int(kid.Start),
		Pointer: string(appendToken(b, kid.Name)),
		Detail:  "the object has an earlier member of the same name",
	}
}

// kidIndex is the index in nodes of the first kid of nodes[container].
func kidIndex(nodes []Value, container uint32) int {
	first := unsafe.Pointer(unsafe.SliceData(nodes[container].Kids))
	return int((uintptr(first) - uintptr(unsafe.Pointer(unsafe.SliceData(nodes)))) / unsafe.Sizeof(Value{}))
}

// maxPointer bounds the pointer of an Error: past it the pointer stops at an
// ancestor, so that a document cannot fill a log with its names.
const maxPointer = 512

// appendToken appends one reference token, or nothing when it is too long.
func appendToken(b []byte, name string) []byte {
	if len(b)+len(name) > maxPointer {
		return b
	}
	return append(append(b, '/'), EscapeToken(name)...)
}

func appendIndex(b []byte, i int) []byte {
	return strconv.AppendInt(append(b, '/'), int64(i), 10)
}

// fail makes the error of the first pass: its pointer is read off the open frames.
func (s *scratch) fail(src []byte, fault Fault, at int, format string, args ...any) *Error {
	var b []byte
	for _, f := range s.frames {
		if f.kid == 0 || len(b) >= maxPointer {
			break
		}
		e := &s.tape[f.kid]
		switch {
		case s.tape[f.node].kind == Array:
			b = appendIndex(b, int(f.n)-1)
		case e.escName:
			b = appendToken(b, string(s.text[e.nameOff:e.nameOff+e.nameLen]))
		default:
			b = appendToken(b, string(src[e.nameOff:e.nameOff+e.nameLen]))
		}
	}
	return &Error{Fault: fault, Offset: at, Pointer: string(b), Detail: fmt.Sprintf(format, args...)}
}
