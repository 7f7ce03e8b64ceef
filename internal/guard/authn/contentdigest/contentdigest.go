package contentdigest

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"

	"github.com/dunglas/httpsfv"

	"github.com/crenel-project/crenel/internal/guard/authn/structured"
)

const maxField = 4 << 10 // bytes of the field

// active are the algorithms that RFC 9530 section 5 calls active. Others are not
// looked at: the deprecated ones are broken.
var active = map[string]func() hash.Hash{"sha-256": sha256.New, "sha-512": sha512.New}

// Check sees content and compares it with its digests. It is not safe for
// concurrent use.
type Check struct {
	sums []sum
}

type sum struct {
	name string
	hash hash.Hash
	want []byte
}

// New reads a Content-Digest field. All digests of active algorithms must hold,
// and there must be one.
func New(lines []string) (*Check, error) {
	d, err := structured.Dictionary("Content-Digest", lines, maxField)
	if err != nil {
		return nil, err
	}
	c := &Check{}
	for _, name := range d.Names() {
		v, _ := d.Get(name)
		item, ok := v.(httpsfv.Item)
		want, isBytes := item.Value.([]byte)
		if !ok || !isBytes {
			return nil, fmt.Errorf("Content-Digest: %.20s is not a byte sequence", name)
		}
		digest := active[name]
		if digest == nil {
			continue
		}
		h := digest()
		if len(want) != h.Size() {
			return nil, fmt.Errorf("Content-Digest: %s is not of %d bytes", name, h.Size())
		}
		c.sums = append(c.sums, sum{name, h, want})
	}
	if len(c.sums) == 0 {
		return nil, errors.New("Content-Digest holds no digest of sha-256 or sha-512")
	}
	return c, nil
}

// Write takes a piece of the content. It never fails.
func (c *Check) Write(p []byte) (int, error) {
	for _, s := range c.sums {
		_, _ = s.hash.Write(p) // a hash never fails
	}
	return len(p), nil
}

// End compares what was seen with the digests.
func (c *Check) End() error {
	for _, s := range c.sums {
		if subtle.ConstantTimeCompare(s.hash.Sum(nil), s.want) != 1 {
			return errors.New("the content's " + s.name + " is not the one in Content-Digest")
		}
	}
	return nil
}

// None is the check of content that nobody vouched for: there must be none. It is
// not safe for concurrent use.
type None struct{ seen bool }

// Write takes a piece of the content. It never fails.
func (n *None) Write(p []byte) (int, error) {
	n.seen = n.seen || len(p) > 0
	return len(p), nil
}

// End fails when there was any content.
func (n *None) End() error {
	if n.seen {
		return errors.New("there is content, and the signature does not cover its digest")
	}
	return nil
}
