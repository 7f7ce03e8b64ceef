package authn

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// keptKeys is the file with an issuer's last good keys, from which a process that
// starts while the issuer is down goes on. The keys are public; that nobody else
// may write them is what counts: a file that others may touch is not read.
type keptKeys struct {
	path string
	name sourceName
	log  *slog.Logger

	digest  [sha256.Size]byte // of the keys in the file
	written time.Time
	failed  bool // the last writing did
}

// keptFile is what is in it.
type keptFile struct {
	// Issuer, Discovery and JWKS say whose keys they are, as the config does.
	Issuer    string `json:"issuer,omitempty"`
	Discovery string `json:"discovery,omitempty"`
	JWKS      string `json:"jwks,omitempty"`
	// Spelled is how the discovery document writes the issuer.
	Spelled string `json:"spelled,omitempty"`
	// Fetched is when they were last known to be the issuer's.
	Fetched time.Time `json:"fetched"`
	// Keys is the key set as it was sent.
	Keys json.RawMessage `json:"keys"`
}

// maxKeptFile bounds what is read: a key set and what stands around it.
const maxKeptFile = maxKeySet + 64<<10

func newKeptKeys(folder string, n sourceName, log *slog.Logger) *keptKeys {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %q", n.issuer, n.discovery, n.jwks, n.ca))
	return &keptKeys{path: filepath.Join(folder, hex.EncodeToString(sum[:16])+".json"), name: n, log: log}
}

// recall begins with the keys of an earlier process. How old they may be is for
// those to say who use them.
func (s *source) recall(k *keptKeys) {
	s.kept = k
	f, err := k.read(s.now())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		s.log.Warn("kept keys of an issuer are not used", "source", s.name, "error", err)
	default:
		s.set.Store(f)
		s.log.Info("an issuer's keys of before are used until it is asked", "source", s.name, "keys", len(f.keys), "fetched", f.at)
	}
}

// read takes what was kept.
func (k *keptKeys) read(now time.Time) (*fetched, error) {
	file, err := os.Open(k.path)
	if err != nil {
		return nil, fmt.Errorf("opening: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", k.path, err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s has the mode %s: others may have changed it; it must be 0600", k.path, info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(file, maxKeptFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", k.path, err)
	}
	f, err := k.parse(b, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.path, err)
	}
	return f, nil
}

func (k *keptKeys) parse(b []byte, now time.Time) (*fetched, error) {
	if len(b) > maxKeptFile {
		return nil, fmt.Errorf("larger than %d bytes", maxKeptFile)
	}
	var f keptFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("decoding: %w", err)
	}
	switch {
	case f.Issuer != k.name.issuer || f.Discovery != k.name.discovery || f.JWKS != k.name.jwks:
		return nil, errors.New("the keys are of another issuer")
	case f.Fetched.After(now):
		return nil, fmt.Errorf("the keys were fetched in the future, at %s", f.Fetched.Format(time.RFC3339))
	}
	set, err := parseKeySet(f.Keys)
	if err != nil {
		return nil, err
	}
	k.digest, k.written = set.digest, f.Fetched
	return &fetched{keySet: *set, issuer: f.Spelled, generation: 1, at: f.Fetched}, nil
}

// write keeps keys that were just fetched: when they changed, and else now and
// then, so that the file's time is not far behind. Only the one running fetch
// calls it. That it fails costs nothing now; it is logged once.
func (k *keptKeys) write(f *fetched, raw []byte) {
	if k == nil || f.digest == k.digest && !k.failed && f.at.Sub(k.written) < k.name.refresh/2 && !f.at.Before(k.written) {
		return
	}
	err := k.save(&keptFile{Issuer: k.name.issuer, Discovery: k.name.discovery, JWKS: k.name.jwks, Spelled: f.issuer, Fetched: f.at, Keys: raw})
	if err != nil {
		if !k.failed {
			k.log.Warn("an issuer's keys cannot be kept", "path", k.path, "error", err)
		}
		k.failed = true
		return
	}
	k.failed, k.digest, k.written = false, f.digest, f.at
}

// save writes the file beside its place and moves it there, so that it is whole.
func (k *keptKeys) save(f *keptFile) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	folder := filepath.Dir(k.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	fresh, err := os.CreateTemp(folder, filepath.Base(k.path)+".*.new") // mode 0600
	if err != nil {
		return err
	}
	_, err = fresh.Write(b)
	if err == nil {
		err = fresh.Sync()
	}
	if err = errors.Join(err, fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), k.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	return nil
}
