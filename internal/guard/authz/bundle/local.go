package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
)

// settle is how long a file must have stayed as it is before it is read again: it
// may be being written.
const settle = 500 * time.Millisecond

// local is a bundle in a file or folder of this machine.
type local struct {
	cfg  *config.Bundle
	path string
}

func newLocal(c *config.Bundle) *local {
	return &local{cfg: c, path: strings.TrimPrefix(c.URL, "file://")}
}

func (l *local) close() {}

func (l *local) ask(_ context.Context, etag string) (*answer, error) {
	h := sha256.New()
	files := 0
	var newest time.Time
	err := filepath.WalkDir(l.path, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.IsDir() {
			return nil
		}
		if files++; files > maxFiles {
			return fmt.Errorf("there are more than %d files", maxFiles)
		}
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
		fmt.Fprintf(h, "%q %d %d\n", path, info.Size(), info.ModTime().UnixNano())
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	now := hex.EncodeToString(h.Sum(nil))
	if now == etag || etag != "" && time.Since(newest) < settle {
		return &answer{unchanged: true, etag: etag}, nil
	}
	info, err := os.Stat(l.path)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if info.IsDir() {
		return &answer{dir: l.path, etag: now}, nil
	}
	if info.Size() > int64(l.cfg.Size) {
		return nil, fmt.Errorf("the archive is %d bytes, more than size allows (%s)", info.Size(), l.cfg.Size)
	}
	data, err := os.ReadFile(l.path)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	return &answer{archive: data, etag: now}, nil
}
