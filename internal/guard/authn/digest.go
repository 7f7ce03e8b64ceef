package authn

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// digester makes keyed digests of credentials: a name for one that tells nothing
// of it, not even to someone who can guess it. The key is of this process.
type digester struct {
	key  [sha256.Size]byte
	pool sync.Pool
}

func newDigester() *digester {
	d := &digester{pool: sync.Pool{New: func() any { return new([]byte) }}}
	_, _ = rand.Read(d.key[:]) // it never fails: the process ends instead
	return d
}

// sum digests a credential that stood at a place. It is SHA-256 over the key
// first; nobody sees the whole of it, so it cannot be extended.
func (d *digester) sum(place int, credential string) digest {
	buf := d.pool.Get().(*[]byte)
	b := append((*buf)[:0], d.key[:]...)
	b = append(b, byte(place>>8), byte(place))
	b = append(b, credential...)
	sum := digest(sha256.Sum256(b))
	clear(b)
	*buf = b
	d.pool.Put(buf)
	return sum
}

// String is the digest as it is recorded: 128 bits of it.
func (d digest) String() string { return hex.EncodeToString(d[:16]) }
