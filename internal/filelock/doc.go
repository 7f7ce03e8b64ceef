// Package filelock keeps a second process from writing the same files.
//
// In: the path of a lock file. Out: a lock that is held until it is closed or
// the process ends, or ErrHeld. The lock lies on a file of its own, since those
// that it guards are renamed when they are rotated.
package filelock

import "errors"

// ErrHeld says that another process holds the lock.
var ErrHeld = errors.New("another process holds the lock")
