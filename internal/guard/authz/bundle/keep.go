package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// kept is the last good bundle on disk: the archive, and beside it what is known of it.
type kept struct {
	dir, name string
	url       string
	mu        sync.Mutex
	meta      *meta // of what is on disk; nil: nothing of ours is
}

type meta struct {
	Address   string    `json:"address"` // the digest of the URL, whose query may be a key
	ETag      string    `json:"etag"`
	SHA256    string    `json:"sha256"`
	Confirmed time.Time `json:"confirmed"` // when the server was last heard to have nothing newer
}

func (k *kept) archive() string { return filepath.Join(k.dir, k.name+".tar.gz") }
func (k *kept) about() string   { return filepath.Join(k.dir, k.name+".json") }

// load returns what is on disk, or nil. The archive is yet to be verified.
func (k *kept) load(limit int64) ([]byte, *meta, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	text, err := os.ReadFile(k.about())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kept bundle: %w", err)
	}
	var m meta
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, nil, fmt.Errorf("reading the kept bundle: %s is damaged: %w", k.about(), err)
	}
	if m.Address != digest([]byte(k.url)) {
		return nil, nil, nil
	}
	info, err := os.Stat(k.archive())
	if err == nil && info.Size() > limit {
		return nil, nil, errors.New("the kept bundle is larger than size allows")
	}
	data, err := os.ReadFile(k.archive())
	if err != nil {
		return nil, nil, fmt.Errorf("reading the kept bundle: %w", err)
	}
	if digest(data) != m.SHA256 {
		return nil, nil, fmt.Errorf("the kept bundle %s is damaged: its digest is another", k.archive())
	}
	k.meta = &m
	return data, &m, nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// save replaces what is on disk.
func (k *kept) save(archive []byte, etag string, confirmed time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	// A crash between the two files leaves a digest that does not fit: nothing kept.
	if err := replace(k.archive(), archive); err != nil {
		return err
	}
	k.meta = &meta{Address: digest([]byte(k.url)), ETag: etag, SHA256: digest(archive), Confirmed: confirmed}
	return k.writeMeta()
}

// confirm notes that the server had nothing newer than etag.
func (k *kept) confirm(etag string, at time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.meta == nil || k.meta.ETag != etag {
		return nil
	}
	k.meta.Confirmed = at
	return k.writeMeta()
}

func (k *kept) writeMeta() error {
	text, err := json.Marshal(k.meta)
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	return replace(k.about(), text)
}

// replace writes a file so that there is either the old one or the new one, whole.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keeping the bundle: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}
