package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
)

// fileOrigin reads a file when it has changed.
type fileOrigin struct {
	cfg *config.FileSource
	bounds
	seen os.FileInfo // of what was read last
	when time.Time   // when that was
}

// settled is how long after its last change a file's time tells of the next one:
// file systems count in steps as long as two seconds.
const settled = 2 * time.Second

func (o *fileOrigin) close() {}

func (o *fileOrigin) look(ctx context.Context, last *version, _ bool) (*version, error) {
	f, err := os.Open(o.cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("reading data: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading data: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("reading data: %s is not a file", o.cfg.Path)
	}
	if last != nil && o.seen != nil && os.SameFile(info, o.seen) && info.Size() == o.seen.Size() && info.ModTime().Equal(o.seen.ModTime()) && o.when.Sub(info.ModTime()) > settled {
		return last, nil
	}
	now := time.Now()
	tag, err := o.hash(ctx, f)
	if err != nil {
		return nil, err
	}
	if last != nil && tag == last.tag {
		o.seen, o.when = info, now
		return last, nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("reading data: %w", err)
	}
	sum := sha256.New()
	d := text{o.cfg.Rows, o.bounds, o.format(), o.cfg.Pointer}
	doc, _, n, err := d.document(io.TeeReader(o.limit(ctx, f), sum))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.cfg.Path, err)
	}
	if _, err := io.Copy(sum, o.limit(ctx, f)); err != nil {
		return nil, fmt.Errorf("reading %s: %w", o.cfg.Path, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != tag {
		return nil, fmt.Errorf("reading %s: it changed while it was read: replace files by renaming", o.cfg.Path)
	}
	o.seen, o.when = info, now
	return &version{doc: doc, tag: tag, rows: n}, nil
}

func (o *fileOrigin) limit(ctx context.Context, r io.Reader) io.Reader {
	return &limited{r: r, left: int64(o.cfg.MaxBytes), most: int64(o.cfg.MaxBytes), done: ctx.Done()}
}

func (o *fileOrigin) hash(ctx context.Context, r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, o.limit(ctx, r)); err != nil {
		return "", fmt.Errorf("reading %s: %w", o.cfg.Path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (o *fileOrigin) format() string {
	if o.cfg.Format != "" {
		return o.cfg.Format
	}
	return formatOf(o.cfg.Path)
}

// formatOf goes by a file's ending; JSON unless it says otherwise.
func formatOf(path string) string {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".ndjson", ".jsonl":
		return formatNDJSON
	case ".csv":
		return formatCSV
	case ".yaml", ".yml":
		return formatYAML
	}
	return formatJSON
}
