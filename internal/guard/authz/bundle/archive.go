package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/open-policy-agent/opa/v1/bundle"
	"github.com/open-policy-agent/opa/v1/loader/filter"
)

// maxFiles bounds how many files an archive may hold.
const maxFiles = 20_000

// archive is a bundle.DirectoryLoader of a tar.gz file held in memory. OPA's own
// bounds each file; this one bounds them together, counts them, and refuses names
// that stand twice or climb out of the archive: what was verified must be what
// is read.
type archive struct {
	files []*bundle.Descriptor
	next  int
}

var _ bundle.DirectoryLoader = (*archive)(nil)

// unpack reads an archive of which all files together are at most limit bytes.
func unpack(data []byte, limit int64) (*archive, error) {
	if len(data) < 2 || data[0] != 0x1f || data[1] != 0x8b {
		return nil, errors.New("it is not a gzip archive")
	}
	gz, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("unpacking: %w", err)
	}
	// What is between the files counts too.
	in := &counted{r: gz, left: limit + int64(maxFiles)*1024}
	tr := tar.NewReader(in)
	a := &archive{}
	seen := map[string]bool{}
	var total int64
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, fmt.Errorf("unpacking: %w", err)
		}
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			return nil, fmt.Errorf("unpacking: %q is neither a file nor a folder", h.Name)
		}
		name, err := cleanName(h.Name)
		if err != nil {
			return nil, err
		}
		if seen[name] {
			return nil, fmt.Errorf("unpacking: %q stands twice", name)
		}
		seen[name] = true
		if len(a.files) >= maxFiles {
			return nil, fmt.Errorf("unpacking: more than %d files", maxFiles)
		}
		if total += h.Size; h.Size < 0 || total > limit {
			return nil, fmt.Errorf("unpacking: the files are more than %d bytes together", limit)
		}
		var b bytes.Buffer
		if _, err := io.CopyN(&b, tr, h.Size); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", name, err)
		}
		a.files = append(a.files, bundle.NewDescriptor(name, name, &b))
	}
}

// cleanName is the path of a file from the archive's root: "/a/b.rego".
func cleanName(name string) (string, error) {
	if strings.ContainsAny(name, "\\\x00") || strings.Contains("/"+name+"/", "/../") {
		return "", fmt.Errorf("unpacking: %q is not a path within the bundle", name)
	}
	clean := path.Clean("/" + name)
	if clean == "/" {
		return "", fmt.Errorf("unpacking: %q is not the path of a file", name)
	}
	return clean, nil
}

var errUnpacked = errors.New("it is larger, unpacked, than the config allows")

// counted fails when more was read than is allowed.
type counted struct {
	r    io.Reader
	left int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left < 0 {
		return 0, errUnpacked
	}
	n, err := c.r.Read(p)
	c.left -= int64(n)
	return n, err
}

// NextFile returns the files in their order, then io.EOF.
func (a *archive) NextFile() (*bundle.Descriptor, error) {
	if a.next >= len(a.files) {
		return nil, io.EOF
	}
	a.next++
	return a.files[a.next-1], nil
}

// The rest of the interface is for readers that choose among files; all are read.

func (a *archive) WithFilter(filter.LoaderFilter) bundle.DirectoryLoader { return a }

func (a *archive) WithPathFormat(bundle.PathFormat) bundle.DirectoryLoader { return a }

func (a *archive) WithSizeLimitBytes(int64) bundle.DirectoryLoader { return a }

func (a *archive) WithFollowSymlinks(bool) bundle.DirectoryLoader { return a }
