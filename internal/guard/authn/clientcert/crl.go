package clientcert

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often a file of revocations is looked at for a change. Lists
// change without the config.
const lookEvery = 10 * time.Second

const maxCRL = 64 << 20 // bytes of one file

// reasonRemoved is the reason code by which an entry is taken back (RFC 5280 section 5.3.1).
const reasonRemoved = 8

// revocations are the lists of files, read again when they change.
type revocations struct {
	paths []string
	now   atomic.Pointer[lists]

	mu     sync.Mutex // held while files are looked at
	looked time.Time
	seen   []stamp
	failed error // of the last reading
}

type stamp struct {
	changed time.Time
	size    int64
}

// lists are the revocations of one time. Immutable.
type lists struct {
	generation uint64
	all        []*list
}

type list struct {
	*x509.RevocationList
	serials map[string]bool
}

func openRevocations(paths []string) (*revocations, error) {
	r := &revocations{paths: paths}
	all, seen, err := read(paths)
	if err != nil {
		return nil, err
	}
	r.seen = seen
	r.now.Store(&lists{1, all})
	return r, nil
}

func read(paths []string) (all []*list, seen []stamp, err error) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, nil, fmt.Errorf("revocation list: %w", err)
		}
		if info.Size() > maxCRL {
			return nil, nil, fmt.Errorf("revocation list %s is larger than %d bytes", p, maxCRL)
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, nil, fmt.Errorf("revocation list: %w", err)
		}
		some, err := parseLists(b)
		if err != nil {
			return nil, nil, fmt.Errorf("revocation list %s: %w", p, err)
		}
		all, seen = append(all, some...), append(seen, stamp{info.ModTime(), info.Size()})
	}
	return all, seen, nil
}

// parseLists reads a file of one DER list or of PEM lists.
func parseLists(b []byte) ([]*list, error) {
	var ders [][]byte
	for rest := b; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "X509 CRL" {
			ders = append(ders, block.Bytes)
		}
	}
	if len(ders) == 0 {
		ders = [][]byte{b}
	}
	var out []*list
	for _, der := range ders {
		c, err := x509.ParseRevocationList(der)
		if err != nil {
			return nil, err
		}
		if c.NextUpdate.IsZero() {
			return nil, errors.New("the list does not say when the next one comes (nextUpdate)")
		}
		for _, e := range c.Extensions {
			// Deltas, and lists of some certificates only, are told by critical extensions.
			if e.Critical {
				return nil, fmt.Errorf("the list has the critical extension %s, which is not understood", e.Id)
			}
		}
		l := &list{c, make(map[string]bool, len(c.RevokedCertificateEntries))}
		for _, e := range c.RevokedCertificateEntries {
			if e.ReasonCode != reasonRemoved {
				l.serials[e.SerialNumber.Text(16)] = true
			}
		}
		out = append(out, l)
	}
	return out, nil
}

// current looks at the files, now and then, and returns what names the lists that
// hold now. A file that cannot be read leaves the last good lists, which hold
// until their nextUpdate.
func (r *revocations) current(now time.Time) uint64 {
	if r.mu.TryLock() {
		if since := now.Sub(r.looked); since >= lookEvery || since < 0 {
			r.looked = now
			r.look()
		}
		r.mu.Unlock()
	}
	return r.now.Load().generation
}

// look reads the files again when one has changed.
func (r *revocations) look() {
	changed := r.failed != nil
	for i, p := range r.paths {
		info, err := os.Stat(p)
		if err != nil {
			r.failed = fmt.Errorf("revocation list: %w", err)
			return
		}
		changed = changed || (stamp{info.ModTime(), info.Size()}) != r.seen[i]
	}
	if !changed {
		return
	}
	all, seen, err := read(r.paths)
	if r.failed = err; err != nil {
		return
	}
	r.seen = seen
	r.now.Store(&lists{r.now.Load().generation + 1, all})
}

// check reports whether a certificate of a chain was revoked, and until when that
// answer holds. The leaf's issuer must have a list that is in force.
func (r *revocations) check(chain []*x509.Certificate, now time.Time) (fresh time.Time, err error) {
	all := r.now.Load().all
	if len(chain) < 2 {
		return fresh, fmt.Errorf("%w: its issuer is not known", ErrUnknown)
	}
	for i := range chain[:len(chain)-1] {
		c, issuer := chain[i], chain[i+1]
		found := false
		for _, l := range all {
			if !bytes.Equal(l.RawIssuer, issuer.RawSubject) || l.CheckSignatureFrom(issuer) != nil {
				continue
			}
			if l.serials[c.SerialNumber.Text(16)] {
				return fresh, ErrRevoked
			}
			if now.Before(l.ThisUpdate.Add(-time.Minute)) || !now.Before(l.NextUpdate) {
				continue
			}
			found = true
			if fresh.IsZero() || l.NextUpdate.Before(fresh) {
				fresh = l.NextUpdate
			}
		}
		if !found && i == 0 {
			return fresh, fmt.Errorf("%w: no list of %s is in force", ErrUnknown, issuer.Subject)
		}
	}
	return fresh, nil
}

// ready says which list cannot be read or is out of date.
func (r *revocations) ready(now time.Time) error {
	r.current(now)
	r.mu.Lock()
	err := r.failed
	r.mu.Unlock()
	if err != nil {
		return err
	}
	for _, l := range r.now.Load().all {
		if !now.Before(l.NextUpdate) {
			return fmt.Errorf("the revocation list of %s ended on %s", l.Issuer, l.NextUpdate.Format(time.RFC3339))
		}
	}
	return nil
}
