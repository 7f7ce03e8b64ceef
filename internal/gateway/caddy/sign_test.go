package caddy_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/gateway/caddy"
)

func TestSignature(t *testing.T) {
	key := []byte(strings.Repeat("0123456789", 4))
	var failed atomic.Value
	check := func(header string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			id, err := verifySignature(r, header, key, time.Now(), time.Minute)
			failed.Store(fmt.Sprintf("%s %v", id, err))
		})
	}
	tests := []struct{ name, header, host, path, target string }{
		{"plain", "X-Crenel-Signature", "", "", "/a/b?x=1&y=%20"},
		{"encoded path", "X-Crenel-Signature", "", "", "/a%20b/%C3%A9"},
		{"own host and header", "X-Gate", "inner.example", "", "/"},
		{"path before every request's", "X-Crenel-Signature", "", "/v1/base", "/x?"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			up := httptest.NewServer(check(tt.header))
			defer up.Close()
			cfg := plain(t, up.URL+tt.path)
			cfg.APIs[0].Upstream.Host = tt.host
			cfg.APIs[0].Upstream.Sign = &config.Sign{Key: config.NewSecret(string(key)), Header: tt.header}
			start(t, cfg, &passing{})
			req, _ := http.NewRequest("PUT", "http://"+cfg.Server.Listen[0]+tt.target, strings.NewReader("b"))
			req.Header.Set(tt.header, "t=1,id=2,sig=00") // forged
			res, err := http.DefaultClient.Do(req)
			body(t, res, err)
			if got := failed.Load(); got != "req-1 <nil>" {
				t.Errorf("verifying: %v", got)
			}
		})
	}
	good := httptest.NewRequest("GET", "/x?y=1", nil)
	good.RequestURI = "/x?y=1"
	now := time.Unix(1700000000, 0)
	value := caddy.Sign(key, now, "id", "GET", good.Host, "/x?y=1")
	for name, change := range map[string]func(r *http.Request){
		"method": func(r *http.Request) { r.Method = "POST" },
		"target": func(r *http.Request) { r.RequestURI = "/x?y=2" },
		"host":   func(r *http.Request) { r.Host = "other" },
		"id":     func(r *http.Request) { r.Header.Set("S", strings.Replace(value, "id=id", "id=ie", 1)) },
		"time":   func(r *http.Request) { r.Header.Set("S", strings.Replace(value, "t=17", "t=18", 1)) },
		"old": func(r *http.Request) {
			r.Header.Set("S", caddy.Sign(key, now.Add(-time.Hour), "id", "GET", r.Host, r.RequestURI))
		},
		"twice": func(r *http.Request) { r.Header.Add("S", value) },
		"none":  func(r *http.Request) { r.Header.Del("S") },
		"more":  func(r *http.Request) { r.Header.Set("S", value+",x=1") },
	} {
		r := good.Clone(context.Background())
		r.RequestURI = good.RequestURI
		r.Header.Set("S", value)
		if _, err := verifySignature(r, "S", key, now, time.Minute); err != nil {
			t.Fatalf("a good signature is refused: %v", err)
		}
		change(r)
		if _, err := verifySignature(r, "S", key, now, time.Minute); err == nil {
			t.Errorf("accepted after a change of %s", name)
		}
	}
}

var errSignature = errors.New("no valid signature of the gateway")

// verifySignature is what an upstream does to refuse whoever comes around the
// gateway: it checks the signed header of a received request against the shared
// key and the time, which may differ by at most skew. It is written from
// docs/upstream-signature.md, and shares nothing with what signs.
func verifySignature(r *http.Request, header string, key []byte, now time.Time, skew time.Duration) (id string, err error) {
	values := r.Header.Values(header)
	if len(values) != 1 {
		return "", errSignature
	}
	var t, sig string
	for i, part := range strings.Split(values[0], ",") {
		name, value, _ := strings.Cut(part, "=")
		if want := [...]string{"t", "id", "sig"}; i >= len(want) || name != want[i] {
			return "", errSignature
		}
		switch i {
		case 0:
			t = value
		case 1:
			id = value
		case 2:
			sig = value
		}
	}
	want := hmac.New(sha256.New, key)
	want.Write([]byte(strings.Join([]string{t, id, r.Method, r.Host, r.RequestURI}, "\n")))
	given, err := hex.DecodeString(sig)
	if err != nil || !hmac.Equal(given, want.Sum(nil)) {
		return "", errSignature
	}
	sec, err := strconv.ParseInt(t, 10, 64)
	if err != nil {
		return "", errSignature
	}
	if d := now.Sub(time.Unix(sec, 0)); d > skew || d < -skew {
		return "", fmt.Errorf("%w: signed %s ago", errSignature, d)
	}
	return id, nil
}
