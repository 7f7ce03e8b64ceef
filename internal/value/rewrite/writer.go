package rewrite

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/crenel-project/crenel/internal/value"
)

// Copy rewrites src to dst until src ends. An error in the JSON is a
// *value.Error; a part of the answer has then left already, and dst must be cut
// off so that its reader sees that it is not whole.
func Copy(dst io.Writer, src io.Reader, o Options) (Report, error) {
	w := writers.Get().(*Writer)
	defer w.release()
	w.Reset(dst, o)
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	// The wrappers hide ReadFrom and WriteTo, which would bring buffers of their own.
	if _, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{src}, *buffer); err != nil {
		return w.Report(), fmt.Errorf("rewrite an answer: %w", err)
	}
	if err := w.Close(); err != nil {
		return w.Report(), fmt.Errorf("rewrite an answer: %w", err)
	}
	return w.Report(), nil
}

// Bytes rewrites a document that is whole in memory: a message of a WebSocket,
// the data of a server-sent event, a body that was buffered.
func Bytes(src []byte, o Options) ([]byte, Report, error) {
	var out sink
	out.b = make([]byte, 0, len(src))
	w := writers.Get().(*Writer)
	defer w.release()
	w.Reset(&out, o)
	_, err := w.Write(src)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, w.Report(), fmt.Errorf("rewrite a document: %w", err)
	}
	return out.b, w.Report(), nil
}

var buffers = sync.Pool{New: func() any { b := make([]byte, flushAt); return &b }}

var writers = sync.Pool{New: func() any { return new(Writer) }}

// release gives the memory of a Writer back, unless it is much.
func (w *Writer) release() {
	if cap(w.out)+cap(w.pending)+cap(w.scalar) > 8*flushAt {
		return
	}
	w.Reset(nil, Options{})
	clear(w.live[:cap(w.live)])
	clear(w.stack[:cap(w.stack)])
	writers.Put(w)
}

type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// state is what the next byte must be.
type state uint8

const (
	atValue     state = iota // a value; at the root perhaps none
	atFirstItem              // a value or ]
	atFirstName              // a name or }
	atName                   // a name
	inName
	atColon
	inString
	inNumber
	inLiteral
	afterValue // a comma or the closing bracket
	afterRoot
)

// maxBlank is how much white space in one place is passed on; more is cut, so
// that it need not be held.
const maxBlank = 1 << 10

// flushAt is how many bytes are gathered before they are written.
const flushAt = 32 << 10

// Writer rewrites what is written to it, in chunks cut anywhere, and writes the
// outcome on: by the end of each Write, all that is decided. It is not safe for
// concurrent use.
type Writer struct {
	dst    io.Writer
	opts   Options
	lim    value.Limits
	err    error
	report Report

	state  state
	frames []frame
	live   []cursor // of the value that comes next: one for each filter
	stack  []cursor // of the open containers: one for each filter and frame
	nodes  int      // of the document

	out     []byte // decided, not yet written
	pending []byte // white space, comma, name and colon before a value that is not decided
	comma   int    // where in pending the comma is, or -1
	blank   int    // white space in pending
	scalar  []byte // the raw name, number or literal, or the raw string when held
	text    stringCheck
	held    bool          // the string is gathered in scalar
	bare    bool          // the last document was a scalar,
	spaced  bool          // and white space came after it
	began   int64         // offset of the value or name
	looked  bool          // a filter looks at the value
	drop    int           // 1 + the count of frames around the value that is being dropped; 0: none
	path    []byte        // the names that lead to the value, one after another
	place   []byte        // memory for a pointer
	check   value.Decoder // for what filters put in place
}

// cursor is where one filter stands.
type cursor struct {
	state State
	asks  bool
}

// frame is an open array or object.
type frame struct {
	object bool
	kept   bool // a kid has been passed on
	kid    bool // the kid has begun
	n      int
	path   int // where in Writer.path the kid's name begins
	names  names
}

// NewWriter returns a Writer that writes on to dst.
func NewWriter(dst io.Writer, o Options) *Writer {
	w := new(Writer)
	w.Reset(dst, o)
	return w
}

// Reset makes w a new Writer on to dst, in the same memory.
func (w *Writer) Reset(dst io.Writer, o Options) {
	n := len(o.Filters)
	w.check.Reset()
	*w = Writer{
		dst: dst, opts: o, lim: o.Limits.WithDefaults(), comma: -1,
		live: slices.Grow(w.live[:0], n)[:n], frames: w.frames[:0], stack: w.stack[:0], out: w.out[:0],
		pending: w.pending[:0], scalar: w.scalar[:0], path: w.path[:0], place: w.place[:0], check: w.check,
	}
}

// Report returns what has been done so far.
func (w *Writer) Report() Report { return w.report }

var errClosed = errors.New("write after Close")

// Write takes the next bytes. After an error it takes no more.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	for i := 0; i < len(p); {
		n, err := w.step(p[i:])
		i += n
		w.report.In += int64(n)
		if err == nil && len(w.out) >= flushAt {
			err = w.flush()
		}
		if err != nil {
			w.err = err
			return i, err
		}
	}
	if err := w.flush(); err != nil {
		w.err = err
		return len(p), err
	}
	return len(p), nil
}

// Close ends the document and reports an error when it is not whole. It does
// not close the writer behind.
func (w *Writer) Close() error {
	if errors.Is(w.err, errClosed) {
		return nil
	}
	if w.err != nil {
		return w.err
	}
	w.err = errClosed
	if w.state == inNumber && len(w.frames) == 0 {
		if err := w.endNumber(); err != nil {
			w.err = err
			return err
		}
	}
	empty := w.opts.Many && w.state == atValue && len(w.frames) == 0
	if w.state != afterRoot && !empty {
		w.err = w.fail(value.FaultSyntax, "ends before the document does")
		return w.err
	}
	w.out = append(w.out, w.pending...)
	w.pending = w.pending[:0]
	if err := w.flush(); err != nil {
		w.err = err
		return err
	}
	return nil
}

func (w *Writer) flush() error {
	if len(w.out) == 0 {
		return nil
	}
	n, err := w.dst.Write(w.out)
	w.report.Out += int64(n)
	w.out = w.out[:0]
	if err != nil {
		return fmt.Errorf("write a rewritten document: %w", err)
	}
	return nil
}

// fail is a fault at the next byte; failValue at the value or name that it is in.
func (w *Writer) fail(fault value.Fault, format string, args ...any) error {
	return &value.Error{Fault: fault, Offset: int(w.report.In), Pointer: w.pointer(), Detail: fmt.Sprintf(format, args...)}
}

func (w *Writer) failValue(fault value.Fault, format string, args ...any) error {
	return &value.Error{Fault: fault, Offset: int(w.began), Pointer: w.pointer(), Detail: fmt.Sprintf(format, args...)}
}

// step takes at least one byte of p and returns how many it took.
func (w *Writer) step(p []byte) (int, error) {
	switch w.state {
	case inString, inName:
		return w.string(p)
	case inNumber:
		n := 0
		for n < len(p) && isNumberByte(p[n]) {
			n++
		}
		if len(w.scalar)+n > w.lim.Digits {
			return 0, w.failValue(value.FaultNumberRange, "a number of more than %d characters", w.lim.Digits)
		}
		w.scalar = append(w.scalar, p[:n]...)
		if n == len(p) {
			return n, nil
		}
		return n, w.endNumber()
	case inLiteral:
		return 1, w.literal(p[0])
	}
	c := p[0]
	if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
		switch {
		case w.state == afterRoot: // a reader of lines waits for it
			w.out = append(w.out, c)
			w.spaced = true
		case w.drop == 0 && w.blank < maxBlank:
			w.pending = append(w.pending, c)
			w.blank++
		}
		return 1, nil
	}
	switch w.state {
	case atValue:
		return 1, w.begin(c)
	case atFirstItem:
		if c == ']' {
			return 1, w.closeContainer()
		}
		if err := w.item(); err != nil {
			return 0, err
		}
		return 1, w.begin(c)
	case atFirstName, atName:
		if c == '}' && w.state == atFirstName {
			return 1, w.closeContainer()
		}
		if c != '"' {
			return 0, w.fail(value.FaultSyntax, "want a member's name in quotes")
		}
		w.scalar = append(w.scalar[:0], c)
		w.text, w.held, w.state, w.began = stringCheck{}, true, inName, w.report.In
		return 1, nil
	case atColon:
		if c != ':' {
			return 0, w.fail(value.FaultSyntax, "want a colon after a member's name")
		}
		w.pend(c)
		w.state = atValue
		return 1, nil
	case afterValue:
		return 1, w.after(c)
	}
	// afterRoot
	if !w.opts.Many {
		return 0, w.fail(value.FaultTrailing, "data after the document")
	}
	if w.bare && !w.spaced {
		return 0, w.fail(value.FaultTrailing, "documents without white space between them")
	}
	w.state = atValue
	return 1, w.begin(c)
}

func (w *Writer) pend(c byte) {
	if w.drop == 0 {
		w.pending = append(w.pending, c)
	}
}

// after takes the comma or closing bracket after a value.
func (w *Writer) after(c byte) error {
	f := &w.frames[len(w.frames)-1]
	switch {
	case c == ',' && f.object:
		w.state = atName
	case c == ',':
		w.state = atValue
	case c == '}' && f.object, c == ']' && !f.object:
		return w.closeContainer()
	case f.object:
		return w.fail(value.FaultSyntax, "want a comma or } after an object's member")
	default:
		return w.fail(value.FaultSyntax, "want a comma or ] after an array's element")
	}
	if w.drop == 0 {
		w.comma = len(w.pending)
	}
	w.pend(c)
	f.kid = false
	if !f.object {
		return w.item()
	}
	return nil
}

// item begins the next element of the innermost array.
func (w *Writer) item() error {
	f := &w.frames[len(w.frames)-1]
	if f.n >= w.lim.Items {
		return w.fail(value.FaultItems, "more than %d elements in an array", w.lim.Items)
	}
	f.n++
	f.kid = true
	w.rule(func(filter Filter, s State) (State, Action) { return filter.Item(s, f.n-1) })
	return nil
}

// member begins the next member of the innermost object, whose raw name is in w.scalar.
func (w *Writer) member() error {
	f := &w.frames[len(w.frames)-1]
	if f.n >= w.lim.Keys {
		return w.failValue(value.FaultKeys, "more than %d members in an object", w.lim.Keys)
	}
	f.n++
	name, err := w.decoded()
	if err != nil {
		return err
	}
	w.path = append(w.path[:f.path], name[:min(len(name), maxPointer)]...)
	f.kid = true
	if !f.names.add(name) {
		return w.failValue(value.FaultDuplicateKey, "the object has an earlier member of the same name")
	}
	if w.drop == 0 {
		w.pending = append(w.pending, w.scalar...)
		w.rule(func(filter Filter, s State) (State, Action) { return filter.Member(s, name) })
	}
	w.state = atColon
	return nil
}

// rule asks the filters about the value that begins.
func (w *Writer) rule(ask func(Filter, State) (State, Action)) {
	if w.drop > 0 {
		return
	}
	w.looked = false
	outer := w.stack[len(w.stack)-len(w.live):]
	dropped := false
	for i := range w.live {
		w.live[i] = cursor{}
		if !outer[i].asks {
			continue
		}
		s, action := ask(w.opts.Filters[i], outer[i].state)
		switch action {
		case Keep:
			w.live[i] = cursor{state: s, asks: true}
			w.looked = true
		case Pass:
		default:
			dropped = true
		}
	}
	if dropped {
		w.startDrop()
	}
}

func (w *Writer) startDrop() {
	w.note(&w.report.Dropped, &w.report.DroppedAt)
	w.drop = len(w.frames) + 1
	w.pending, w.comma, w.blank = w.pending[:0], -1, 0
}

func (w *Writer) note(count *int, places *[]string) {
	*count++
	if len(*places) >= MaxPlaces {
		return
	}
	w.setPlace()
	if !slices.ContainsFunc(*places, func(have string) bool { return have == string(w.place) }) {
		*places = append(*places, string(w.place))
	}
}

// maxPointer bounds a pointer, whose tokens are the document's own words: past
// it the pointer stops at an ancestor.
const maxPointer = 512

// pointer is where the value is, with * for an index.
func (w *Writer) pointer() string {
	w.setPlace()
	return string(w.place)
}

func (w *Writer) setPlace() {
	b := w.place[:0]
	for i := range w.frames {
		f := &w.frames[i]
		if !f.kid || len(b) > maxPointer {
			break
		}
		if b = append(b, '/'); !f.object {
			b = append(b, '*')
			continue
		}
		end := len(w.path)
		if i+1 < len(w.frames) {
			end = w.frames[i+1].path
		}
		for _, c := range w.path[f.path:end] { // as value.EscapeToken does
			switch c {
			case '~':
				b = append(b, "~0"...)
			case '/':
				b = append(b, "~1"...)
			default:
				b = append(b, c)
			}
		}
	}
	w.place = b
}

// keep decides that the value is passed on: what stands before it can go.
func (w *Writer) keep() {
	kept := false
	if n := len(w.frames); n > 0 {
		kept = w.frames[n-1].kept
		w.frames[n-1].kept = true
	}
	w.passPending(kept)
}

// passPending sends what was held before a value or closing bracket, without
// the comma when nothing before it was kept.
func (w *Writer) passPending(comma bool) {
	if w.comma >= 0 && !comma {
		w.out = append(w.out, w.pending[:w.comma]...)
		w.out = append(w.out, w.pending[w.comma+1:]...)
	} else {
		w.out = append(w.out, w.pending...)
	}
	w.pending, w.comma, w.blank = w.pending[:0], -1, 0
}

// begin takes the first byte of a value.
func (w *Writer) begin(c byte) error {
	if len(w.frames) == 0 {
		w.nodes = 0
		w.looked = false
		for i, filter := range w.opts.Filters {
			w.live[i] = cursor{state: filter.Root(), asks: true}
			w.looked = true
		}
	}
	if w.nodes++; w.nodes > w.lim.Nodes {
		return w.fail(value.FaultKeys, "more than %d values", w.lim.Nodes)
	}
	w.scalar, w.began = append(w.scalar[:0], c), w.report.In
	w.held = false
	switch {
	case c == '{' || c == '[':
		return w.openContainer(c)
	case c == '"':
		w.state, w.text = inString, stringCheck{}
		w.held = w.drop == 0 && w.looked
		if w.drop == 0 && !w.held {
			w.keep()
			w.out = append(w.out, c)
		}
	case c == '-' || c-'0' <= 9:
		w.state, w.held = inNumber, true
	case c == 't' || c == 'f' || c == 'n':
		w.state, w.held = inLiteral, true
	default:
		return w.fail(value.FaultSyntax, "not a JSON value")
	}
	return nil
}

func (w *Writer) openContainer(c byte) error {
	if len(w.frames) >= w.lim.Depth {
		return w.fail(value.FaultDepth, "nested more than %d deep", w.lim.Depth)
	}
	if w.drop == 0 {
		w.keep()
		w.out = append(w.out, c)
		w.stack = append(w.stack, w.live...)
	}
	if n := len(w.frames); n < cap(w.frames) {
		w.frames = w.frames[:n+1] // with the memory of its names
		f := &w.frames[n]
		f.names.reset()
		f.kept, f.kid, f.n = false, false, 0
	} else {
		w.frames = append(w.frames, frame{})
	}
	f := &w.frames[len(w.frames)-1]
	f.object, f.path = c == '{', len(w.path)
	w.state = atFirstItem
	if f.object {
		w.state = atFirstName
	}
	return nil
}

func (w *Writer) closeContainer() error {
	f := &w.frames[len(w.frames)-1]
	w.path = w.path[:f.path]
	f.kid = false
	if w.drop == 0 {
		w.passPending(true) // no comma can be in it
		w.out = append(w.out, "]}"[b2i(f.object)])
		w.stack = w.stack[:len(w.stack)-len(w.live)]
	}
	w.frames = w.frames[:len(w.frames)-1]
	w.end()
	w.bare = false
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// end follows every value.
func (w *Writer) end() {
	if w.drop == len(w.frames)+1 {
		w.drop = 0
	}
	w.state = afterValue
	if len(w.frames) == 0 {
		w.state, w.bare, w.spaced = afterRoot, true, false
		w.report.Documents++
	}
}
