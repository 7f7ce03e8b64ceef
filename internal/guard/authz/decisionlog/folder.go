package decisionlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Names in the folder of a log.
const (
	segmentSuffix = ".segment"
	headName      = "head"
	lockName      = "lock"
	policyFolder  = "policies"
	policySuffix  = ".bundle"
)

// ErrLocked says that another process writes to the folder.
var ErrLocked = errors.New("another gateway writes this decision log")

// tip is what the head file says: how far the log had come when it was last
// synced. What lies in the folder must be at least that.
type tip struct {
	First   uint64    `json:"first"` // seq of the oldest segment that is kept
	Last    uint64    `json:"last"`  // seq of the newest
	Segment string    `json:"segment"`
	Chunks  uint64    `json:"chunks"` // in the newest
	Saved   time.Time `json:"saved"`
}

// segmentFile is a segment by its name.
type segmentFile struct {
	path string
	seq  uint64
}

func segmentPath(dir string, seq uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%012d%s", seq, segmentSuffix))
}

// segments lists the folder's segments, oldest first.
func segments(dir string) ([]segmentFile, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []segmentFile
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), segmentSuffix)
		if !ok {
			continue
		}
		seq, err := strconv.ParseUint(name, 10, 64)
		if err != nil || segmentPath(dir, seq) != filepath.Join(dir, e.Name()) {
			continue // somebody else's file
		}
		out = append(out, segmentFile{filepath.Join(dir, e.Name()), seq})
	}
	slices.SortFunc(out, func(a, b segmentFile) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return out, nil
}

// readTip reads the head file; nil when there is none.
func readTip(dir string, k *Keys) (*tip, error) {
	b, err := os.ReadFile(filepath.Join(dir, headName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // none is not an error
	}
	if err != nil {
		return nil, err
	}
	plain, err := k.openBlob("head", b)
	if err != nil {
		return nil, err
	}
	t := &tip{}
	return t, json.Unmarshal(plain, t)
}

func writeTip(dir string, k *Keys, t *tip) error {
	plain, err := json.Marshal(t)
	if err != nil {
		return err
	}
	b, err := k.sealBlob("head", plain)
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, headName), b)
}

// replace writes a file whole or not at all.
func replace(path string, b []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
