package state

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// marks are the replay marks of a Memory. With a folder each is also written to a
// file, so that what was used before a restart cannot be used again after it. It
// is not waited for until they are on disk: a process that is killed loses none, a
// machine that loses its power may lose the last seconds' marks.
type marks struct {
	until  map[string]time.Time
	folder string // "" keeps nothing
	file   *os.File
	opened time.Time
	last   time.Time // latest end of a mark in file
	old    []oldMarks
	serial int
}

// oldMarks is a file that is not written to any more.
type oldMarks struct {
	path string
	last time.Time
}

const (
	markFile  = "marks-"
	newFileAt = time.Minute // files are removed whole, when the last mark in one has ended
)

// load reads the files of an earlier process.
func (m *marks) load(now time.Time) error {
	m.until = map[string]time.Time{}
	if m.folder == "" {
		return nil
	}
	paths, err := filepath.Glob(filepath.Join(m.folder, markFile+"*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		last, err := m.read(path, now)
		if err != nil {
			return fmt.Errorf("reading replay marks: %w", err)
		}
		if !last.After(now) {
			if err := os.Remove(path); err != nil {
				return err
			}
			continue
		}
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), markFile))
		if err == nil {
			m.serial = max(m.serial, n)
		}
		m.old = append(m.old, oldMarks{path, last})
	}
	return nil
}

// read takes the marks of one file: lines of an end in ms and a quoted key. A line
// that cannot be read was torn when its writer died.
func (m *marks) read(path string, now time.Time) (last time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return last, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		ends, quoted, _ := strings.Cut(lines.Text(), " ")
		ms, err := strconv.ParseInt(ends, 10, 64)
		key, err2 := strconv.Unquote(quoted)
		if err != nil || err2 != nil {
			continue
		}
		until := time.UnixMilli(ms)
		if until.After(last) {
			last = until
		}
		if until.After(now) && len(m.until) < maxMarks {
			m.until[key] = until
		}
	}
	return last, lines.Err()
}

// first marks key, unless it is marked.
func (m *marks) first(key string, now, until time.Time) (bool, error) {
	if at, ok := m.until[key]; ok && at.After(now) {
		return false, nil
	}
	if len(m.until) >= maxMarks {
		return false, ErrFull
	}
	if err := m.write(key, now, until); err != nil {
		return false, fmt.Errorf("state: keeping a replay mark: %w", err)
	}
	m.until[key] = until
	return true, nil
}

func (m *marks) write(key string, now, until time.Time) error {
	if m.folder == "" {
		return nil
	}
	if m.file != nil && now.Sub(m.opened) >= newFileAt {
		if err := m.close(); err != nil {
			return err
		}
	}
	if m.file == nil {
		m.serial++
		f, err := os.OpenFile(filepath.Join(m.folder, markFile+strconv.Itoa(m.serial)), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		m.file, m.opened, m.last = f, now, time.Time{}
	}
	ms := millis(until)
	line := strconv.AppendInt(nil, ms, 10)
	line = append(line, ' ')
	line = strconv.AppendQuoteToASCII(line, key)
	if _, err := m.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if end := time.UnixMilli(ms); end.After(m.last) {
		m.last = end
	}
	return nil
}

// expire forgets marks that have ended, and files of which all have.
func (m *marks) expire(now time.Time) error {
	for k, until := range m.until {
		if !until.After(now) {
			delete(m.until, k)
		}
	}
	var errs []error
	if m.file != nil && now.Sub(m.opened) >= newFileAt {
		errs = append(errs, m.close())
	}
	kept := m.old[:0]
	for _, o := range m.old {
		if o.last.After(now) {
			kept = append(kept, o)
			continue
		}
		if err := os.Remove(o.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	m.old = kept
	return errors.Join(errs...)
}

func (m *marks) close() error {
	if m.file == nil {
		return nil
	}
	m.old = append(m.old, oldMarks{m.file.Name(), m.last})
	err := m.file.Close()
	m.file = nil
	return err
}
