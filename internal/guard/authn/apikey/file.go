package apikey

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
)

const maxFile = 64 << 20

// File is a key file as it was read: a YAML list of Keys.
type File struct {
	Path string
	Keys []Key
}

// Load reads and checks a key file. A file that is not there is an error that
// wraps fs.ErrNotExist.
func Load(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading key file: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading key file: %w", err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("reading key file %s: larger than %d bytes", path, maxFile)
	}
	out := &File{Path: path}
	if len(bytes.TrimSpace(b)) > 0 {
		if err := yaml.NewDecoder(bytes.NewReader(b), yaml.Strict()).Decode(&out.Keys); err != nil && !errors.Is(err, io.EOF) {
			// The decoder's own message quotes lines of the file.
			return nil, fmt.Errorf("reading key file %s: not a list of keys: %s", path, yamlPlace(err))
		}
	}
	if _, err := NewVerifier(out.Keys); err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return out, nil
}

// yamlPlace says what is wrong and where, without quoting the file.
func yamlPlace(err error) string { return yaml.FormatError(err, false, false) }

// Save writes the file anew, readable by its owner only, so that a crash leaves
// either the old file or the new one.
func (f *File) Save() (err error) {
	if _, err := NewVerifier(f.Keys); err != nil {
		return fmt.Errorf("saving key file %s: %w", f.Path, err)
	}
	b, err := yaml.Marshal(f.Keys)
	if err != nil {
		return fmt.Errorf("saving key file %s: %w", f.Path, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.Path), filepath.Base(f.Path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("saving key file %s: %w", f.Path, err)
	}
	defer func() {
		if err != nil {
			_ = tmp.Close() // what is not whole is removed
			_ = os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(b); err == nil {
		err = tmp.Sync()
	}
	if err == nil {
		err = tmp.Close()
	}
	if err == nil {
		err = os.Rename(tmp.Name(), f.Path)
	}
	if err != nil {
		return fmt.Errorf("saving key file %s: %w", f.Path, err)
	}
	return nil
}

// Add puts a new entry into the list.
func (f *File) Add(k Key) { f.Keys = append(f.Keys, k) }

func (f *File) find(id string) (*Key, error) {
	for i := range f.Keys {
		if f.Keys[i].ID == id {
			return &f.Keys[i], nil
		}
	}
	return nil, fmt.Errorf("key %q: %w", id, ErrUnknown)
}

// Revoke ends a key at once. It stays listed, so that the record can name it.
func (f *File) Revoke(id string, now time.Time) error {
	k, err := f.find(id)
	if err != nil {
		return err
	}
	if k.Revoked.IsZero() || k.Revoked.After(now) {
		k.Revoked = now.UTC().Truncate(time.Second)
	}
	return nil
}

// Rotate makes a new key for the holder of an old one, which goes on to hold for
// the grace given, and returns the new key's text.
func (f *File) Rotate(id string, now time.Time, grace time.Duration) (text string, k Key, err error) {
	old, err := f.find(id)
	if err != nil {
		return "", Key{}, err
	}
	if !old.Revoked.IsZero() {
		return "", Key{}, fmt.Errorf("key %q: %w", id, ErrRevoked)
	}
	text, k, err = Generate(*old, now)
	if err != nil {
		return "", Key{}, err
	}
	if end := now.Add(grace).UTC().Truncate(time.Second); old.Expires.IsZero() || end.Before(old.Expires) {
		old.Expires = end
	}
	f.Keys = append(f.Keys, k)
	return text, k, nil
}
