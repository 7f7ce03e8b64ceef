package decisionlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// archive keeps the policies that decided, with their data, as sealed OPA bundles.
type archive struct {
	dir  string
	keys *Keys
	most int64
	now  func() time.Time

	have   map[string]bool
	policy string    // kept last
	when   time.Time // it was
}

// archiveEvery is the least time between two copies of one policy with other data:
// data that are refreshed every second need not all be kept.
const archiveEvery = time.Minute

func newArchive(dir string, keys *Keys, most int64, now func() time.Time) *archive {
	return &archive{dir: filepath.Join(dir, policyFolder), keys: keys, most: most, now: now, have: map[string]bool{}}
}

func archiveName(policy, data string) string {
	if data == "" {
		return policy
	}
	return policy + "-" + data
}

// keep stores a policy that is not there yet.
func (a *archive) keep(p *Policy) error {
	if p == nil || p.Archive == nil {
		return nil
	}
	revision, data := p.identity()
	name := archiveName(revision, data)
	if a.have[name] {
		return nil
	}
	if !validName(name) {
		return fmt.Errorf("the policy's revision %q is no name", name)
	}
	path := filepath.Join(a.dir, name+policySuffix)
	if exists(path) {
		a.have[name] = true
		return os.Chtimes(path, time.Time{}, a.now())
	}
	if revision == a.policy && a.now().Sub(a.when) < archiveEvery {
		return nil
	}
	plain, err := p.Archive()
	if err != nil {
		return err
	}
	b, err := a.keys.sealBlob("policy "+name, plain)
	if err != nil {
		return err
	}
	a.policy, a.when = revision, a.now() // also when it fails: not for every decision again
	if int64(len(b)) > a.most {
		a.have[name] = true // asked once
		return fmt.Errorf("a policy of %d bytes is more than may be kept", len(b))
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	if err := replace(path, b); err != nil {
		return err
	}
	a.have[name] = true
	return a.prune(path)
}

// prune removes the oldest until the rest is within the bound.
func (a *archive) prune(newest string) error {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return err
	}
	var list []fs.FileInfo
	var total int64
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasSuffix(e.Name(), policySuffix) {
			list = append(list, info)
			total += info.Size()
		}
	}
	slices.SortFunc(list, func(x, y fs.FileInfo) int { return x.ModTime().Compare(y.ModTime()) })
	for _, info := range list {
		path := filepath.Join(a.dir, info.Name())
		if total <= a.most || path == newest {
			break
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		delete(a.have, strings.TrimSuffix(info.Name(), policySuffix))
		total -= info.Size()
	}
	return nil
}

func validName(s string) bool {
	return s != "" && len(s) < 200 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}

// ErrNotKept says that the policy that decided, or its data, is no longer there.
var ErrNotKept = errors.New("it is not kept")

// Policy returns the policy that decided, as an OPA bundle.
func (r *Reader) Policy(policy, data string) ([]byte, error) {
	name := archiveName(policy, data)
	if !validName(name) {
		return nil, fmt.Errorf("policy %q: %w", name, ErrNotKept)
	}
	b, err := os.ReadFile(filepath.Join(r.dir, policyFolder, name+policySuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("policy %s with data %s: %w", policy, data, ErrNotKept)
	}
	if err != nil {
		return nil, err
	}
	plain, err := r.keys.openBlob("policy "+name, b)
	if err != nil {
		return nil, fmt.Errorf("opening policy %s: %w", name, err)
	}
	return plain, nil
}
