package scan

import (
	"errors"
	"fmt"
	"os"
)

// OpenPrivate opens a file, as os.OpenFile does, that its owner alone may read: what a
// run writes shows how to break in. One that was there with a wider mode is narrowed,
// for making it with a mode says nothing of one that is there. Devices and pipes stay
// what they are.
func OpenPrivate(name string, flag int) (*os.File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file; what it is for is the caller's to say
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		if err = f.Chmod(0o600); err != nil {
			err = fmt.Errorf("others may read %s (mode %04o), and that cannot be changed: take it away, or name another file: %w", name, info.Mode().Perm(), err)
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// writePrivate is os.WriteFile for a file that its owner alone may read.
func writePrivate(name string, data []byte) error {
	f, err := OpenPrivate(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
