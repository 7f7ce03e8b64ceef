//go:build !unix

package filelock

import (
	"errors"
	"io"
	"os"
)

// Lock takes the lock by creating the file, which the system removes when
// the process is gone as far as it was closed; a stale one must be deleted by hand.
func Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		if os.IsExist(err) {
			err = errors.Join(ErrHeld, err)
		}
		return nil, err
	}
	return held{f}, nil
}

type held struct{ *os.File }

func (h held) Close() error { return errors.Join(h.File.Close(), os.Remove(h.Name())) }
