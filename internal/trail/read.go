package trail

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/crenel-project/crenel/internal/exchange"
)

// Record is all that the trail holds of one exchange. Completion is nil while
// the exchange runs, or when the process died before it ended.
type Record struct {
	Decision   *exchange.Decision   `json:"decision"`
	Completion *exchange.Completion `json:"completion,omitempty"`
}

// Find returns the records of the exchange with this id: the event file and its
// rotated predecessors are read backwards, newest first, since it is mostly a
// recent event that is asked for. The error is ErrNotFound when there is none.
func Find(path, id string) (*Record, error) {
	key := append(appendStringField(nil, `"id":`, id), ',')
	rec := &Record{}
	err := newestFirst(resolve(path), func(f *os.File) (bool, error) {
		err := linesBackward(f, key, func(line []byte) (bool, error) { return rec.take(line, id) })
		return rec.Decision != nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("finding event %s: %w", id, err)
	}
	if rec.Decision == nil && rec.Completion == nil {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return rec, nil
}

// Decisions calls fn for each decision whose record holds a text as it stands there,
// newest first, until fn says that it has enough: the event file and its rotated
// predecessors are read backwards. Without any file there is none.
func Decisions(path, text string, fn func(*exchange.Decision) (enough bool, err error)) error {
	err := newestFirst(resolve(path), func(f *os.File) (bool, error) {
		done := false
		err := linesBackward(f, []byte(text), func(line []byte) (bool, error) {
			if !bytes.HasPrefix(line, []byte(`{"type":"decision",`)) {
				return false, nil
			}
			d := &exchange.Decision{}
			if err := json.Unmarshal(line, d); err != nil {
				return false, fmt.Errorf("reading a decision of %s: %w", f.Name(), err)
			}
			var err error
			done, err = fn(d)
			return done, err
		})
		return done, err
	})
	if err != nil {
		return fmt.Errorf("reading the trail: %w", err)
	}
	return nil
}

// take keeps the line when it is of the exchange; it reports true when nothing
// more can come: a decision stands before its completion.
func (r *Record) take(line []byte, id string) (bool, error) {
	var head struct{ Type, ID string }
	if json.Unmarshal(line, &head) != nil || head.ID != id {
		return false, nil //nolint:nilerr // the id stood somewhere else, or the line is not ours
	}
	switch head.Type {
	case "decision":
		d := &exchange.Decision{}
		if err := json.Unmarshal(line, d); err != nil {
			return false, fmt.Errorf("reading its decision: %w", err)
		}
		r.Decision = d
		return true, nil
	case "completion":
		c := &exchange.Completion{}
		if err := json.Unmarshal(line, c); err != nil {
			return false, fmt.Errorf("reading its completion: %w", err)
		}
		r.Completion = c
	}
	return false, nil
}

// newestFirst calls fn for the event file and each rotated one until fn says
// that it has enough. A file renamed in between is not seen twice.
func newestFirst(path string, fn func(*os.File) (enough bool, err error)) error {
	var seen []fs.FileInfo
	visit := func(p string) (bool, error) {
		f, err := os.Open(p)
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		defer func() { _ = f.Close() }() // read only: nothing can be lost
		info, err := f.Stat()
		if err != nil {
			return false, err
		}
		for _, s := range seen {
			if os.SameFile(s, info) {
				return false, nil
			}
		}
		seen = append(seen, info)
		return fn(f)
	}
	if enough, err := visit(path); enough || err != nil {
		return err
	}
	old, err := rotated(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := len(old) - 1; i >= 0; i-- {
		if enough, err := visit(old[i].path); enough || err != nil {
			return err
		}
	}
	return nil
}

const backChunk = 1 << 20

// linesBackward calls fn for each whole line that holds key, last first, until
// fn says stop. A last line without an end is still being written and left out.
func linesBackward(f *os.File, key []byte, fn func(line []byte) (stop bool, err error)) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end, err := wholeLines(f, info.Size())
	if err != nil {
		return err
	}
	var tail []byte // the start of the later chunk, up to its first newline: the end of a line that began before it
	buf := make([]byte, backChunk)
	for end > 0 {
		n := min(end, int64(len(buf)))
		chunk := buf[:n]
		if _, err := f.ReadAt(chunk, end-n); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end -= n
		text := append(chunk[:n:n], tail...)
		first := 0
		if end > 0 {
			first = bytes.IndexByte(text, '\n') + 1
			if first == 0 { // no line begins here: carry it all to the chunk before
				tail = text
				continue
			}
		}
		rest := text[first:]
		for {
			i := bytes.LastIndex(rest, key)
			if i < 0 {
				break
			}
			from := bytes.LastIndexByte(rest[:i], '\n') + 1
			to := len(rest)
			if j := bytes.IndexByte(rest[i:], '\n'); j >= 0 {
				to = i + j
			}
			stop, err := fn(rest[from:to])
			if stop || err != nil {
				return err
			}
			rest = rest[:from]
		}
		tail = bytes.Clone(text[:first])
	}
	return nil
}
