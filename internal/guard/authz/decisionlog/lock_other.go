//go:build !unix

package decisionlog

import (
	"errors"
	"io"
	"os"
)

// lockFolder takes the lock by creating the file; one that a killed gateway left
// must be deleted by hand.
func lockFolder(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		if os.IsExist(err) {
			err = errors.Join(ErrLocked, err)
		}
		return nil, err
	}
	return held{f}, nil
}

type held struct{ *os.File }

func (h held) Close() error { return errors.Join(h.File.Close(), os.Remove(h.Name())) }
