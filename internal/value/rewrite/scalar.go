package rewrite

import (
	"fmt"
	"hash/maphash"
	"math"
	"strings"
	"unsafe"

	"github.com/crenel-project/crenel/internal/value"
)

func isNumberByte(c byte) bool {
	return c-'0' <= 9 || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E'
}

// string takes the bytes of a string up to its closing quote, or all of p.
func (w *Writer) string(p []byte) (int, error) {
	n, done, fault := w.text.scan(p)
	// Six bytes of source make at least one of text. This comes before the fault,
	// so that the bytes' fall into chunks does not say which of two is named.
	if w.held && len(w.scalar)+n > 6*w.lim.String+2 {
		return 0, w.failValue(value.FaultString, "a string longer than %d bytes", w.lim.String)
	}
	if fault != "" {
		w.report.In += int64(n)
		return 0, w.fail(fault, "%s", faultDetail[fault])
	}
	switch {
	case w.held:
		w.scalar = append(w.scalar, p[:n]...)
	case w.drop == 0:
		w.out = append(w.out, p[:n]...)
	}
	switch {
	case !done:
		return n, nil
	case w.state == inName:
		return n, w.member()
	case w.held:
		text, err := w.decoded()
		if err != nil {
			return n, err
		}
		return n, w.scalarEnd(value.String, text)
	}
	w.end()
	return n, nil
}

var faultDetail = map[value.Fault]string{
	value.FaultSyntax:      "not a character or an escape of JSON",
	value.FaultInvalidUTF8: "bytes that are not UTF-8, or an escape of half a surrogate pair",
}

// decoded returns the text of the string whose raw form is in w.scalar. It is
// valid until w.scalar changes.
func (w *Writer) decoded() (string, error) {
	raw := w.scalar
	text := unsafe.String(&raw[1], len(raw)-2)
	if w.text.escapes {
		v, err := value.JSON(raw, w.lim)
		if err != nil {
			e := *err.(*value.Error) //nolint:errorlint // as JSON promises
			return "", w.failValue(e.Fault, "%s", e.Detail)
		}
		text = v.Text
	}
	if len(text) > w.lim.String {
		return "", w.failValue(value.FaultString, "a string longer than %d bytes", w.lim.String)
	}
	return text, nil
}

func (w *Writer) endNumber() error {
	text := unsafe.String(unsafe.SliceData(w.scalar), len(w.scalar))
	if !value.IsNumber(text) {
		if _, ok := value.ParseDecimal(text); ok {
			return w.failValue(value.FaultNumberRange, "a number outside the range of a 64-bit float")
		}
		return w.failValue(value.FaultSyntax, "not a JSON number")
	}
	return w.scalarEnd(value.Number, text)
}

func (w *Writer) literal(c byte) error {
	w.scalar = append(w.scalar, c)
	switch s := string(w.scalar); {
	case s == "null":
		return w.scalarEnd(value.Null, "")
	case s == "true":
		return w.scalarEnd(value.Bool, "true")
	case s == "false":
		return w.scalarEnd(value.Bool, "false")
	case strings.HasPrefix("null", s), strings.HasPrefix("true", s), strings.HasPrefix("false", s):
		return nil
	}
	return w.fail(value.FaultSyntax, "not a JSON value")
}

// maskLimits do not bound what a filter puts in place: it is no input.
var maskLimits = value.Limits{String: math.MaxInt, Digits: math.MaxInt}

// scalarEnd rules on a scalar that is whole in w.scalar.
func (w *Writer) scalarEnd(kind value.Kind, text string) error {
	if w.drop > 0 {
		w.end()
		return nil
	}
	raw, action := w.scalar, Keep
	if w.looked {
		var mask []byte
		for i := range w.live {
			if !w.live[i].asks {
				continue
			}
			b, a := w.opts.Filters[i].Scalar(w.live[i].state, kind, text)
			switch {
			case a == Drop:
				action = Drop
			case a == Replace && action == Keep:
				action, mask = Replace, b
			}
		}
		if action == Replace {
			raw = mask
			v, err := w.check.JSON(mask, maskLimits)
			if err != nil || v.Kind >= value.Array {
				return fmt.Errorf("replace the value at %q: the filter's replacement is not a JSON scalar", w.pointer())
			}
			w.note(&w.report.Masked, &w.report.MaskedAt)
		}
	}
	switch {
	case action == Drop && len(w.frames) > 0:
		w.startDrop()
	case action == Drop: // a document cannot be nothing
		w.note(&w.report.Dropped, &w.report.DroppedAt)
		raw = []byte("null")
		fallthrough
	default:
		w.keep()
		w.out = append(w.out, raw...)
	}
	w.end()
	return nil
}

// names is the set of an object's names, as keyed hashes of 64 bits: nobody can
// make two that collide, and by chance it does not happen.
type names struct {
	few   []uint64
	table []uint64 // open addressing, once there are many; 0 is empty
	n     int
}

const fewNames = 16

var seed = maphash.MakeSeed()

func (s *names) reset() {
	s.few, s.table, s.n = s.few[:0], s.table[:0], 0
}

// add returns false when the name is in the set already.
func (s *names) add(name string) bool {
	h := maphash.String(seed, name)
	if h == 0 {
		h = 1
	}
	if len(s.table) == 0 {
		for _, have := range s.few {
			if have == h {
				return false
			}
		}
		if len(s.few) < fewNames {
			s.few = append(s.few, h)
			return true
		}
		s.grow(s.few)
	}
	if !s.insert(h) {
		return false
	}
	if 2*s.n > len(s.table) {
		s.grow(s.table)
	}
	return true
}

func (s *names) grow(from []uint64) {
	if size := max(8*fewNames, 2*len(from)); len(s.table) == 0 && cap(s.table) >= size {
		s.table = s.table[:size] // left by an earlier object
		clear(s.table)
	} else {
		s.table = make([]uint64, size)
	}
	s.n = 0
	for _, h := range from {
		if h != 0 {
			s.insert(h)
		}
	}
}

func (s *names) insert(h uint64) bool {
	mask := uint64(len(s.table) - 1)
	at := h & mask
	for ; s.table[at] != 0; at = (at + 1) & mask {
		if s.table[at] == h {
			return false
		}
	}
	s.table[at] = h
	s.n++
	return true
}
