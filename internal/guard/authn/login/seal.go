package login

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

// ring has the keys of one login. The first seals, all open. Values are sealed
// with XChaCha20-Poly1305, whose nonces are long enough to be drawn at random
// however many are sealed. What a value is for, the API and the origin are
// authenticated with it: none can stand in for another.
type ring struct {
	context string
	keys    []sealKey
}

type sealKey struct {
	id   [4]byte
	aead cipher.AEAD
	mac  []byte // for CSRF tokens and names in the shared state
}

const (
	sealVersion = 1
	sealHead    = 1 + 4 + chacha20poly1305.NonceSizeX
	maxSealed   = 64 << 10
)

// Kinds of sealed values.
const (
	kindSession = "session"
	kindTicket  = "ticket"
	kindFlow    = "flow"
	kindHandoff = "handoff"
)

func newRing(context string, secrets []string) (*ring, error) {
	r := &ring{context: context}
	for _, s := range secrets {
		seal, err := hkdf.Key(sha256.New, []byte(s), nil, "crenel login seal 1", chacha20poly1305.KeySize)
		if err != nil {
			return nil, fmt.Errorf("deriving the session key: %w", err)
		}
		mac, err := hkdf.Key(sha256.New, []byte(s), nil, "crenel login mac 1", sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("deriving the session key: %w", err)
		}
		k := sealKey{mac: mac}
		if k.aead, err = chacha20poly1305.NewX(seal); err != nil {
			return nil, fmt.Errorf("deriving the session key: %w", err)
		}
		copy(k.id[:], k.sum("key id"))
		r.keys = append(r.keys, k)
	}
	if len(r.keys) == 0 {
		return nil, errors.New("there is no session key")
	}
	return r, nil
}

func (k *sealKey) sum(text string) []byte {
	h := hmac.New(sha256.New, k.mac)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// name is a keyed name for something secret, for the shared state.
func (r *ring) name(text string) string {
	return base64.RawURLEncoding.EncodeToString(r.keys[0].sum("name " + r.context + " " + text))
}

func (r *ring) additional(kind string) []byte {
	return []byte("crenel login 1\x00" + r.context + "\x00" + kind)
}

// seal encrypts a value for one kind of use.
func (r *ring) seal(kind string, plain []byte) []byte {
	k := &r.keys[0]
	out := make([]byte, sealHead, sealHead+len(plain)+k.aead.Overhead())
	out[0] = sealVersion
	copy(out[1:], k.id[:])
	_, _ = rand.Read(out[5:sealHead]) // it never fails: crypto/rand ends the process first
	return k.aead.Seal(out, out[5:sealHead], plain, r.additional(kind))
}

var errSeal = errors.New("it was not sealed here, or has been changed")

// open decrypts what seal made for the same kind.
func (r *ring) open(kind string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealHead || len(sealed) > maxSealed || sealed[0] != sealVersion {
		return nil, errSeal
	}
	for i := range r.keys {
		k := &r.keys[i]
		if [4]byte(sealed[1:5]) != k.id {
			continue
		}
		plain, err := k.aead.Open(nil, sealed[5:sealHead], sealed[sealHead:], r.additional(kind))
		if err != nil {
			return nil, errSeal
		}
		return plain, nil
	}
	return nil, errSeal
}

var text64 = base64.RawURLEncoding.Strict()

func (r *ring) sealText(kind string, plain []byte) string {
	return text64.EncodeToString(r.seal(kind, plain))
}

func (r *ring) openText(kind, sealed string) ([]byte, error) {
	if len(sealed) > text64.EncodedLen(maxSealed) || strings.ContainsAny(sealed, "\r\n") {
		return nil, errSeal
	}
	b, err := text64.DecodeString(sealed)
	if err != nil {
		return nil, errSeal
	}
	return r.open(kind, b)
}

// csrfToken is the token that a session's writes must bring: made from the
// session, so that one of another session, or one that somebody planted, is none.
func (r *ring) csrfToken(session string) string { return r.keys[0].csrf(session) }

func (k *sealKey) csrf(session string) string {
	return base64.RawURLEncoding.EncodeToString(k.sum("csrf " + session)[:18])
}

func (r *ring) isCSRFToken(session, token string) bool {
	good := false
	for i := range r.keys {
		good = hmac.Equal([]byte(r.keys[i].csrf(session)), []byte(token)) || good
	}
	return good
}

// keyFile is where the key is kept that is made when the config names none.
const keyFile = "login.key"

// ownKey reads the key of a data directory, or makes one.
func ownKey(dir string) (string, error) {
	if dir == "" {
		return rand.Text() + rand.Text(), nil
	}
	path := filepath.Join(dir, keyFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", fmt.Errorf("making the data directory for the session key: %w", err)
		}
		var fresh [32]byte
		_, _ = rand.Read(fresh[:])
		if err := writeKey(path, hex.EncodeToString(fresh[:])); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("keeping the session key: %w", err)
		}
		b, err = os.ReadFile(path) // of whoever came first
	}
	if err != nil {
		return "", fmt.Errorf("reading the session key: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < 32 {
		return "", fmt.Errorf("the session key in %s is shorter than 32 bytes: remove the file, and a new one is made", path)
	}
	return key, nil
}

// writeKey makes the file whole or not at all.
func writeKey(path, key string) error {
	f, err := os.CreateTemp(filepath.Dir(path), keyFile+"-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(key + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
