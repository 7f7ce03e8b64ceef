package authn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
)

// process is a gateway's life: a store of keys and a guard, which are ended together.
func process(t *testing.T, folder string, iss *issuer, log io.Writer, change func(*config.JWTMethod)) (*authn.Guard, *authn.KeyStore) {
	t.Helper()
	store := authn.NewKeyStore(client(iss), slog.New(slog.NewTextHandler(log, nil)), time.Now)
	store.KeepIn(folder)
	g, err := authn.New(authn.Options{API: petAPI(), Keys: store, Config: jwtConfig(func(j *config.JWTMethod) {
		j.KeepKeys = true
		if change != nil {
			change(j)
		}
	})})
	if err != nil {
		t.Fatal(err)
	}
	return g, store
}

// said is a log that is read while it is written.
type said struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

func down(i *issuer) {
	i.broken = func(string) (*http.Response, error) { return nil, errors.New("connection refused") }
}

func keptFiles(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// The gateway starts while the issuer is down: it goes on with the keys of before,
// until they are too old; then nobody is let in.
func TestKeptKeys(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "issuer-keys")
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		g, _ := process(t, folder, iss, io.Discard, nil)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		g.Close()
		files := keptFiles(t, folder)
		if len(files) != 1 {
			t.Fatalf("kept: %q", files)
		}
		info, err := os.Stat(files[0])
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %s", info.Mode())
		}

		iss.set(down)
		time.Sleep(20 * time.Minute)
		var log said
		g, _ = process(t, folder, iss, &log, nil)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		want(t, ruled(t, g, fresh(rsaOther(), "RS256")), exchange.Deny, "authn.signature")
		if err := g.Ready(); err != nil {
			t.Errorf("not ready while the keys are believed: %v", err)
		}
		time.Sleep(time.Second)
		if !strings.Contains(log.String(), "keys of before are used") {
			t.Errorf("the log does not say so: %s", log.String())
		}
		time.Sleep(41 * time.Minute) // an hour after they were fetched, not after the start
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Unable, "authn.unavailable")
		g.Close()

		// Restarts do not make them younger.
		g, _ = process(t, folder, iss, io.Discard, nil)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Unable, "authn.unavailable")
		iss.set(func(i *issuer) { i.broken = nil; i.keys = []any{p256Key().jwk()} })
		time.Sleep(2 * time.Minute)
		want(t, ruled(t, g, fresh(p256Key(), "ES256")), exchange.Allow, "")
		g.Close()

		// What is kept follows the issuer: the key that it gave up is not in the file any more.
		iss.set(down)
		g, _ = process(t, folder, iss, io.Discard, nil)
		want(t, ruled(t, g, fresh(p256Key(), "ES256")), exchange.Allow, "")
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Deny, "authn.unknown_key")
		g.Close()
	})
}

// The file's time follows the fetches though the keys stay the same.
func TestKeptKeysStayYoung(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		g, _ := process(t, folder, iss, io.Discard, nil)
		time.Sleep(3 * time.Hour)
		iss.set(down)
		g.Close()
		g, _ = process(t, folder, iss, io.Discard, nil)
		defer g.Close()
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
	})
}

// Without the option nothing is written, and what another config wrote is not read.
func TestKeysAreNotKept(t *testing.T) {
	folder := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey())
		off := func(j *config.JWTMethod) { j.KeepKeys = false }
		g, _ := process(t, folder, iss, io.Discard, off)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		g.Close()
		if files := keptFiles(t, folder); len(files) > 0 {
			t.Errorf("kept: %q", files)
		}
		g, _ = process(t, folder, iss, io.Discard, nil)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		g.Close()
		iss.set(down)
		g, _ = process(t, folder, iss, io.Discard, off)
		defer g.Close()
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Unable, "authn.unavailable")
	})
}

// Whatever is wrong with the file: the keys in it open nothing, the log says why, and the
// gateway works as soon as the issuer does.
func TestKeptKeysBroken(t *testing.T) {
	evil := object{"keys": []any{rsaOther().jwk()}}
	for name, c := range map[string]struct {
		breaks func(path string, f object) error
		says   string
	}{
		"others may write": {func(path string, _ object) error { return os.Chmod(path, 0o660) }, "0600"},
		"others may read":  {func(path string, _ object) error { return os.Chmod(path, 0o604) }, "0600"},
		"torn": {func(path string, _ object) error {
			b, err := os.ReadFile(path)
			return errors.Join(err, os.WriteFile(path, b[:len(b)/2], 0o600))
		}, "decoding"},
		"empty": {func(path string, _ object) error { return os.WriteFile(path, nil, 0o600) }, "decoding"},
		"large": {func(path string, _ object) error { return os.WriteFile(path, bytes.Repeat([]byte(" "), 2<<20), 0o600) }, "larger"},
		"of another issuer": {func(path string, f object) error {
			f["issuer"] = "https://evil.test"
			f["keys"] = evil
			return rewrite(path, f)
		}, "another issuer"},
		"of another place": {func(path string, f object) error {
			f["jwks"] = "https://evil.test/keys"
			f["keys"] = evil
			return rewrite(path, f)
		}, "another issuer"},
		"of tomorrow": {func(path string, f object) error {
			f["fetched"] = time.Now().Add(24 * time.Hour).Format(time.RFC3339)
			return rewrite(path, f)
		}, "future"},
		"no keys":  {func(path string, f object) error { f["keys"] = "x"; return rewrite(path, f) }, "key set"},
		"a folder": {func(path string, _ object) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "0600"},
		"too old": {func(path string, f object) error {
			f["fetched"] = time.Now().Add(-2 * time.Hour).Format(time.RFC3339)
			return rewrite(path, f)
		}, "keys of before"},
		"never": {func(path string, f object) error { delete(f, "fetched"); return rewrite(path, f) }, "keys of before"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				iss := newIssuer(rsaKey())
				g, _ := process(t, folder, iss, io.Discard, nil)
				want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
				g.Close()
				path := keptFiles(t, folder)[0]
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				var f object
				if err := errors.Join(json.Unmarshal(b, &f), c.breaks(path, f)); err != nil {
					t.Fatal(err)
				}
				iss.set(down)
				var log said
				g, _ = process(t, folder, iss, &log, nil)
				defer g.Close()
				for _, k := range []key{rsaKey(), rsaOther()} {
					if v := ruled(t, g, fresh(k, "RS256")); v.Action != exchange.Unable {
						t.Errorf("%s %s", v.Action, v.Code)
					}
				}
				time.Sleep(time.Second)
				if !strings.Contains(log.String(), c.says) {
					t.Errorf("the log does not say %q: %s", c.says, log.String())
				}
				iss.set(func(i *issuer) { i.broken = nil })
				time.Sleep(2 * time.Minute)
				want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
			})
		})
	}
}

func rewrite(path string, f object) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o600)
}

// A disk that takes nothing costs a line of the log and no call.
func TestKeysCannotBeKept(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "file", "issuer-keys")
	if err := os.WriteFile(filepath.Dir(folder), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var log said
		g, _ := process(t, folder, newIssuer(rsaKey()), &log, nil)
		want(t, ruled(t, g, fresh(rsaKey(), "RS256")), exchange.Allow, "")
		time.Sleep(time.Hour)
		g.Close()
		if n := strings.Count(log.String(), "cannot be kept"); n != 1 {
			t.Errorf("said %d times: %s", n, log.String())
		}
	})
}

// How the keys of each issuer are, for metrics: fetches and failures are counted, and
// keys that are fetched in two ways are told of once, as the older ones.
func TestStatuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		iss := newIssuer(rsaKey(), p256Key())
		store := authn.NewKeyStore(client(iss), slog.New(slog.DiscardHandler), time.Now)
		build := func(refresh time.Duration) *authn.Guard {
			g, err := authn.New(authn.Options{API: petAPI(), Keys: store, Config: jwtConfig(func(j *config.JWTMethod) { j.Refresh = refresh })})
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		only := func() authn.KeyStatus {
			t.Helper()
			list := store.Statuses()
			if len(list) != 1 || list[0].Name != "issuer "+issuerURL {
				t.Fatalf("%+v", list)
			}
			return list[0]
		}
		if list := store.Statuses(); len(list) != 0 {
			t.Errorf("%+v", list)
		}
		began := time.Now()
		g := build(time.Hour)
		defer g.Close()
		time.Sleep(time.Second)
		if s := only(); s.Keys != 2 || s.Fetches != 1 || s.Failures != 0 || s.Error != "" || s.Fetched.Sub(began) > time.Second {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		other := build(10 * time.Minute)
		defer other.Close()
		time.Sleep(time.Second)
		if s := only(); s.Fetches != 2 || s.Fetched.Sub(began) > time.Second {
			t.Errorf("of two, the older: %+v", s)
		}
		iss.set(down)
		time.Sleep(20 * time.Minute)
		if s := only(); s.Failures == 0 || s.Fetches <= s.Failures || !strings.Contains(s.Error, "connection refused") || s.Keys != 2 {
			t.Errorf("the issuer is down: %+v", s)
		}
	})
}
