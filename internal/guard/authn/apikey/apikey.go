package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
)

// Key is one entry of a key file.
type Key struct {
	// ID finds the entry: the prefix of a key of Crenel's own, any unique name otherwise.
	ID string `yaml:"id"`
	// Hash is "sha256:" and the hex SHA-256 of the whole key.
	Hash    string   `yaml:"hash"`
	Subject string   `yaml:"subject"`
	Name    string   `yaml:"name,omitempty"` // for people
	Scopes  []string `yaml:"scopes,omitempty"`
	Roles   []string `yaml:"roles,omitempty"`
	Tenant  string   `yaml:"tenant,omitempty"`
	// Rates are limits of this key's own: N/s, N/m, N/h, N/d, N/w or N/mo.
	Rates []Rate `yaml:"rates,omitempty"`
	// Created, Expires and Revoked are times; zero is unknown, never and not.
	Created time.Time `yaml:"created,omitempty"`
	Expires time.Time `yaml:"expires,omitempty"`
	Revoked time.Time `yaml:"revoked,omitempty"`
}

// Rate is a limit of one key.
type Rate struct {
	Rate  string `yaml:"rate"`
	Burst int    `yaml:"burst,omitempty"` // 0: the rate's number
}

// maxRates a key may have.
const maxRates = 4

func (k *Key) checkRates() error {
	if len(k.Rates) > maxRates {
		return fmt.Errorf("key %q has %d rates, at most %d are possible", k.ID, len(k.Rates), maxRates)
	}
	for _, r := range k.Rates {
		if _, _, err := (config.Rate{Rate: r.Rate}).Parse(); err != nil {
			return fmt.Errorf("key %q: rate %q is none: write N/s, N/m, N/h, N/d, N/w or N/mo, such as 100/m", k.ID, r.Rate)
		}
		if r.Burst < 0 || r.Burst > 10_000_000 {
			return fmt.Errorf("key %q: burst %d must be from 1 to 10000000", k.ID, r.Burst)
		}
	}
	return nil
}

const (
	mark        = "crk_"
	prefixBytes = 5  // 8 characters
	secretBytes = 32 // 52 characters
	hashPrefix  = "sha256:"
)

// letters are base32 in lower case: no underscore, nothing to confuse by eye or
// by a double click.
var letters = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Generate makes a new key for the holder that want describes; its ID and Hash
// are filled in. The text is the key itself: it is in no other place.
func Generate(want Key, now time.Time) (text string, k Key, err error) {
	if want.Subject == "" {
		return "", Key{}, errors.New("a key needs a subject: who is it for?")
	}
	b := make([]byte, prefixBytes+secretBytes)
	if _, err := rand.Read(b); err != nil {
		return "", Key{}, fmt.Errorf("reading random bytes: %w", err)
	}
	k = want
	k.ID = letters.EncodeToString(b[:prefixBytes])
	text = mark + k.ID + "_" + letters.EncodeToString(b[prefixBytes:])
	k.Hash = Hash(text)
	k.Created = now.UTC().Truncate(time.Second)
	k.Revoked = time.Time{}
	return text, k, nil
}

// Hash is how a key is written in the file.
func Hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hashPrefix + hex.EncodeToString(sum[:])
}

// Own reports whether text looks like a key of Crenel's own making.
func Own(text string) bool { return strings.HasPrefix(text, mark) }

// idOf returns the prefix of a well-formed key.
func idOf(text string) (string, bool) {
	rest, ok := strings.CutPrefix(text, mark)
	if !ok {
		return "", false
	}
	id, secret, ok := strings.Cut(rest, "_")
	if !ok || len(id) != letters.EncodedLen(prefixBytes) || len(secret) != letters.EncodedLen(secretBytes) {
		return "", false
	}
	return id, true
}

// Why a key does not hold.
var (
	ErrMalformed = errors.New("not a well-formed key")
	ErrUnknown   = errors.New("no such key")
	ErrRevoked   = errors.New("the key is revoked")
	ErrExpired   = errors.New("the key has expired")
)

// Verifier checks keys against one state of a key file. It is immutable.
type Verifier struct {
	own     map[string]*entry            // by id
	foreign map[[sha256.Size]byte]*entry // by hash: keys made elsewhere
}

type entry struct {
	Key
	sum   [sha256.Size]byte
	place int
}

// NewVerifier compiles the entries. The error names each one that is wrong.
func NewVerifier(keys []Key) (*Verifier, error) {
	v := &Verifier{own: make(map[string]*entry, len(keys)), foreign: make(map[[sha256.Size]byte]*entry)}
	var errs []error
	ids := make(map[string]bool, len(keys))
	hashes := make(map[[sha256.Size]byte]bool, len(keys))
	for i, k := range keys {
		e := &entry{Key: k, place: i}
		sum, ok := strings.CutPrefix(k.Hash, hashPrefix)
		raw, err := hex.DecodeString(sum)
		switch {
		case k.ID == "":
			errs = append(errs, fmt.Errorf("key %d has no id", i+1))
		case ids[k.ID]:
			errs = append(errs, fmt.Errorf("key %q is listed twice", k.ID))
		case !ok || err != nil || len(raw) != sha256.Size:
			errs = append(errs, fmt.Errorf("key %q: hash is not %s and 64 hex digits", k.ID, hashPrefix))
		case k.Subject == "":
			errs = append(errs, fmt.Errorf("key %q has no subject", k.ID))
		default:
			copy(e.sum[:], raw)
			if hashes[e.sum] {
				errs = append(errs, fmt.Errorf("key %q has the hash of another", k.ID))
			}
			hashes[e.sum] = true
			if err := k.checkRates(); err != nil {
				errs = append(errs, err)
			}
			v.own[k.ID] = e
			v.foreign[e.sum] = e
		}
		ids[k.ID] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, nil
}

// Verify returns the entry of a presented key and its place in the list.
func (v *Verifier) Verify(text string, now time.Time) (*Key, int, error) {
	sum := sha256.Sum256([]byte(text))
	var e *entry
	if Own(text) {
		id, ok := idOf(text)
		if !ok {
			return nil, 0, ErrMalformed
		}
		e = v.own[id]
		// An unknown id is compared too, so that it takes as long as a wrong secret.
		var want [sha256.Size]byte
		if e != nil {
			want = e.sum
		}
		if subtle.ConstantTimeCompare(sum[:], want[:]) != 1 || e == nil {
			return nil, 0, ErrUnknown
		}
	} else if e = v.foreign[sum]; e == nil {
		// Looking up by hash tells nothing: nobody can steer a hash towards another.
		return nil, 0, ErrUnknown
	}
	if err := e.holds(now); err != nil {
		return nil, 0, err
	}
	return &e.Key, e.place, nil
}

func (e *entry) holds(now time.Time) error {
	switch {
	case !e.Revoked.IsZero() && !now.Before(e.Revoked):
		return ErrRevoked
	case !e.Expires.IsZero() && !now.Before(e.Expires):
		return ErrExpired
	}
	return nil
}

// Still says why a key that held before, by its id, does not any more.
func (v *Verifier) Still(id string, now time.Time) error {
	if e := v.own[id]; e != nil {
		return e.holds(now)
	}
	return ErrUnknown
}
