package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// journal is the file in which a Memory keeps its sets: one JSON line a change,
// on disk before the change is answered. The last line may be torn, as it is
// after a kill or a loss of power; any other that cannot be read is an error,
// since it may be a revocation.
type journal struct {
	path  string
	file  *os.File // nil after a failure
	lines int
}

// record is one line.
type record struct {
	Set     string `json:"set"`
	Key     string `json:"key"`
	Value   []byte `json:"value,omitempty"` // base64
	Expires int64  `json:"expires,omitempty"`
	Drop    bool   `json:"drop,omitempty"`
}

// rewriteAfter is how many lines more than entries a journal may have.
const rewriteAfter = 10_000

// readJournal gives every whole line to each. A file that is not there has none.
func readJournal(path string, each func(*record) error) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	in := bufio.NewReaderSize(f, 64<<10)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // what stands behind the last line's end is torn: it was never answered
		}
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("%s line %d cannot be read: it may be a revocation; mend or remove the file: %w", path, n, err)
		}
		if err := each(&r); err != nil {
			return err
		}
	}
}

// rewrite puts a new journal of the given records in the old one's place.
func (j *journal) rewrite(records []record) error {
	if j.file != nil {
		_ = j.file.Close()
		j.file = nil
	}
	var b bytes.Buffer
	for i := range records {
		line, err := json.Marshal(&records[i])
		if err != nil {
			return err
		}
		b.Write(append(line, '\n'))
	}
	fresh := j.path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b.Bytes()); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(fresh, j.path)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(j.path))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	j.file, j.lines = f, len(records)
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// add writes one line and waits until it is on disk.
func (j *journal) add(r *record) error {
	if j.file == nil {
		return fmt.Errorf("%s is not open", j.path)
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if _, err = j.file.Write(line); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		// What stands in the file now is not known: the next change makes it anew.
		return errors.Join(err, j.close())
	}
	j.lines++
	return nil
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

func newRecord(set, key string, e *entry) record {
	r := record{Set: set, Key: key, Value: e.value}
	if !e.expires.IsZero() {
		r.Expires = e.expires.UnixNano()
	}
	return r
}

func (r *record) entry() entry {
	e := entry{value: r.Value}
	if e.value == nil {
		e.value = []byte{}
	}
	if r.Expires != 0 {
		e.expires = time.Unix(0, r.Expires)
	}
	return e
}
