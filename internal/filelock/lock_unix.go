//go:build unix

package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Lock takes an advisory lock that ends with the process. It does not wait.
func Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrHeld
	}
	return nil, errors.Join(fmt.Errorf("locking %s: %w", path, err), f.Close())
}
