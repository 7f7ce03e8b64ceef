package apikey_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 500, time.UTC)

func generate(t *testing.T, subject string) (string, apikey.Key) {
	t.Helper()
	text, k, err := apikey.Generate(apikey.Key{Subject: subject, Scopes: []string{"read"}}, noon)
	if err != nil {
		t.Fatal(err)
	}
	return text, k
}

func TestGenerate(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		text, k := generate(t, "shop")
		parts := strings.Split(text, "_")
		if len(parts) != 3 || parts[0] != "crk" || parts[1] != k.ID || len(parts[2]) != 52 || seen[text] || seen[k.ID] {
			t.Fatalf("a key of the wrong form, or twice: id %s", k.ID)
		}
		seen[text], seen[k.ID] = true, true
		sum := sha256.Sum256([]byte(text))
		if k.Hash != "sha256:"+hex.EncodeToString(sum[:]) || strings.Contains(k.Hash, parts[2]) {
			t.Fatal("the hash is not the key's")
		}
	}
	if _, _, err := apikey.Generate(apikey.Key{}, noon); err == nil {
		t.Error("a key for nobody")
	}
}

func TestVerify(t *testing.T) {
	text, k := generate(t, "shop")
	other, ko := generate(t, "other")
	foreign := apikey.Key{ID: "legacy", Hash: apikey.Hash("some-long-legacy-key"), Subject: "old"}
	revoked, kr := generate(t, "revoked")
	kr.Revoked = noon
	expired, ke := generate(t, "expired")
	ke.Expires = noon.Add(time.Second)
	v, err := apikey.NewVerifier([]apikey.Key{k, ko, foreign, kr, ke})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		text, subject string
		at            time.Time
		err           error
	}{
		"good":               {text, "shop", noon, nil},
		"another":            {other, "other", noon, nil},
		"legacy":             {"some-long-legacy-key", "old", noon, nil},
		"legacy, wrong":      {"some-long-legacy-kex", "", noon, apikey.ErrUnknown},
		"secret of another":  {text[:13] + other[13:], "", noon, apikey.ErrUnknown},
		"prefix of another":  {other[:13] + text[13:], "", noon, apikey.ErrUnknown},
		"prefix alone":       {text[:12], "", noon, apikey.ErrMalformed},
		"no secret":          {text[:13], "", noon, apikey.ErrMalformed},
		"short secret":       {text[:len(text)-1], "", noon, apikey.ErrMalformed},
		"long secret":        {text + "a", "", noon, apikey.ErrMalformed},
		"upper case":         {strings.ToUpper(text), "", noon, apikey.ErrUnknown},
		"space":              {text + " ", "", noon, apikey.ErrMalformed},
		"the hash":           {k.Hash, "", noon, apikey.ErrUnknown},
		"empty":              {"", "", noon, apikey.ErrUnknown},
		"id of a legacy key": {"crk_legacy", "", noon, apikey.ErrMalformed},
		"not revoked yet":    {revoked, "revoked", noon.Add(-time.Second), nil},
		"revoked":            {revoked, "", noon, apikey.ErrRevoked},
		"not expired yet":    {expired, "expired", noon, nil},
		"expired":            {expired, "", noon.Add(time.Second), apikey.ErrExpired},
	} {
		got, _, err := v.Verify(c.text, c.at)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		}
		if c.err == nil && (got == nil || got.Subject != c.subject) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestFile(t *testing.T) {
	path := t.TempDir() + "/keys.yaml"
	if _, err := apikey.Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a file that is not there: %v", err)
	}
	f := &apikey.File{Path: path}
	text, k := generate(t, "shop")
	f.Add(k)
	save := func() {
		t.Helper()
		if err := f.Save(); err != nil {
			t.Fatal(err)
		}
		var err error
		if f, err = apikey.Load(path); err != nil {
			t.Fatal(err)
		}
	}
	verify := func(text string, at time.Time, want error) {
		t.Helper()
		v, err := apikey.NewVerifier(f.Keys)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := v.Verify(text, at); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	save()
	verify(text, noon, nil)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if b, _ := os.ReadFile(path); strings.Contains(string(b), text[13:]) {
		t.Error("the file holds the key")
	}
	next, kn, err := f.Rotate(k.ID, noon, time.Hour)
	if err != nil || kn.Subject != "shop" || len(kn.Scopes) != 1 || next == text {
		t.Fatalf("%+v, %v", kn, err)
	}
	save()
	verify(next, noon, nil)
	verify(text, noon.Add(59*time.Minute), nil)
	verify(text, noon.Add(time.Hour), apikey.ErrExpired)
	if err := f.Revoke(kn.ID, noon); err != nil {
		t.Fatal(err)
	}
	save()
	verify(next, noon, apikey.ErrRevoked)
	if _, _, err := f.Rotate(kn.ID, noon, 0); !errors.Is(err, apikey.ErrRevoked) {
		t.Errorf("rotating a revoked key: %v", err)
	}
	if err := f.Revoke("none", noon); !errors.Is(err, apikey.ErrUnknown) {
		t.Errorf("revoking no key: %v", err)
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left behind: %v", left)
	}
}

func TestBrokenFiles(t *testing.T) {
	good := "- id: a\n  hash: " + apikey.Hash("x") + "\n  subject: s\n"
	for name, c := range map[string]struct{ text, want string }{
		"not a list":   {"a: b\n", "list of keys"},
		"unknown name": {good + "  scope: [read]\n", "scope"},
		"no id":        {strings.Replace(good, "id: a", "id: ''", 1), "no id"},
		"no subject":   {strings.Replace(good, "subject: s", "subject: ''", 1), "no subject"},
		"bad hash":     {strings.Replace(good, "sha256:", "md5:", 1), "hash"},
		"short hash":   {"- {id: a, hash: 'sha256:00', subject: s}\n", "hash"},
		"id twice":     {good + strings.Replace(good, apikey.Hash("x"), apikey.Hash("y"), 1), "twice"},
		"hash twice":   {good + strings.Replace(good, "id: a", "id: b", 1), "hash of another"},
		"no YAML":      {"- [", "list of keys"},
	} {
		path := t.TempDir() + "/keys.yaml"
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := apikey.Load(path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	empty := t.TempDir() + "/keys.yaml"
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := apikey.Load(empty); err != nil || len(f.Keys) != 0 {
		t.Errorf("an empty file: %v", err)
	}
}
