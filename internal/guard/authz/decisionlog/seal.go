package decisionlog

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// MinKey is the least length of a key's secret, in bytes.
const MinKey = 32

// Keys are the secrets by which the log is sealed and opened. The first seals;
// all of them open, so that a key is rotated by putting a new one before it.
type Keys struct {
	first string
	byID  map[string][]byte
}

// NewKeys takes secrets of at least MinKey bytes each. A key's id is derived from
// it, so that it cannot be named wrongly and says nothing about it.
func NewKeys(secrets ...string) (*Keys, error) {
	if len(secrets) == 0 {
		return nil, errors.New("there is no key to seal decisions with")
	}
	k := &Keys{byID: map[string][]byte{}}
	for i, s := range secrets {
		if len(s) < MinKey {
			return nil, fmt.Errorf("key %d of the decision log has %d bytes: it needs %d (openssl rand -base64 32)", i+1, len(s), MinKey)
		}
		root, err := hkdf.Extract(sha256.New, []byte(s), []byte("crenel decision log"))
		if err != nil {
			return nil, err
		}
		id, err := hkdf.Expand(sha256.New, root, "key id", 6)
		if err != nil {
			return nil, err
		}
		name := hex.EncodeToString(id)
		if k.byID[name] != nil {
			return nil, fmt.Errorf("key %d of the decision log stands twice", i+1)
		}
		k.byID[name] = root
		if i == 0 {
			k.first = name
		}
	}
	return k, nil
}

// ID names the key that seals.
func (k *Keys) ID() string { return k.first }

// ErrUnknownKey says that something was sealed with a key that is not given.
var ErrUnknownKey = errors.New("it was sealed with a key that is not given")

// aead returns the cipher of one segment or blob: its key is bound to the salt
// and to everything that the header says (RFC 5869).
func (k *Keys) aead(id string, salt, header []byte) (cipher.AEAD, error) {
	root, ok := k.byID[id]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
	}
	key, err := hkdf.Key(sha256.New, root, salt, string(header), chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}

// sealTo appends nonce and ciphertext. Nonces are random, 24 bytes: a chunk that
// is written again after a failure gets another one.
func sealTo(dst []byte, a cipher.AEAD, plain, bound []byte) ([]byte, error) {
	nonce := make([]byte, a.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	return a.Seal(append(dst, nonce...), nonce, plain, bound), nil
}

func open(a cipher.AEAD, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < a.NonceSize()+a.Overhead() {
		return nil, errors.New("it is too short")
	}
	plain, err := a.Open(nil, sealed[:a.NonceSize()], sealed[a.NonceSize():], bound)
	if err != nil {
		return nil, errors.New("it was changed, or is not where it was written")
	}
	return plain, nil
}

// bound is what a chunk is bound to beside its segment: its kind and its place.
func bound(kind byte, index uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, index)
}

// sealBlob seals one small file: a line that names key and salt, then the rest.
// what it is, and its name, are bound to it.
func (k *Keys) sealBlob(what string, plain []byte) ([]byte, error) {
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	head := fmt.Sprintf("crenel-sealed/1 %s %x\n", k.first, salt)
	a, err := k.aead(k.first, salt, []byte(what))
	if err != nil {
		return nil, err
	}
	return sealTo([]byte(head), a, plain, []byte(head))
}

// openBlob opens what sealBlob sealed under the same what.
func (k *Keys) openBlob(what string, sealed []byte) ([]byte, error) {
	var id string
	var salt []byte
	n := 0
	for n < len(sealed) && n < 128 && sealed[n] != '\n' {
		n++
	}
	if n == len(sealed) || n == 128 {
		return nil, errors.New("it is not a sealed file")
	}
	head := sealed[:n+1]
	if _, err := fmt.Sscanf(string(head), "crenel-sealed/1 %s %x\n", &id, &salt); err != nil {
		return nil, errors.New("it is not a sealed file")
	}
	a, err := k.aead(id, salt, []byte(what))
	if err != nil {
		return nil, err
	}
	return open(a, sealed[n+1:], head)
}
