package target

import (
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

var parameter = regexp.MustCompile(`(\w+)=(?:"([^"]*)"|([^\s,]+))`)

func parametersOf(text string) map[string]string {
	out := map[string]string{}
	for _, m := range parameter.FindAllStringSubmatch(text, -1) {
		out[m[1]] = m[2] + m[3]
	}
	return out
}

// expected is the response of RFC 7616, section 3.4.1, written down once more.
func expected(p map[string]string, password, method, body string) string {
	sum := func(parts ...string) string {
		h := sha256.New()
		if p["algorithm"] == "MD5" || p["algorithm"] == "" {
			h = md5.New()
		}
		_, _ = io.WriteString(h, strings.Join(parts, ":"))
		return hex.EncodeToString(h.Sum(nil))
	}
	second := sum(method, p["uri"])
	if p["qop"] == "auth-int" {
		second = sum(method, p["uri"], sum(body))
	}
	first := sum(p["username"], p["realm"], password)
	if p["qop"] == "" {
		return sum(first, p["nonce"], second)
	}
	return sum(first, p["nonce"], p["nc"], p["cnonce"], p["qop"], second)
}

// The example of RFC 7616, section 3.9.1: what the tests below compare with is right.
func TestDigestExample(t *testing.T) {
	p := map[string]string{
		"username": "Mufasa", "realm": "http-auth@example.org", "uri": "/dir/index.html", "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
		"nc": "00000001", "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", "qop": "auth",
	}
	for algorithm, want := range map[string]string{"MD5": "8ca523f5e9506fed4657c9700eebdbec", "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"} {
		p["algorithm"] = algorithm
		if got := expected(p, "Circle of Life", "GET", ""); got != want {
			t.Errorf("%s: %s, want %s", algorithm, got, want)
		}
	}
}

// lighthouse is a server that keeps to RFC 7616 and is strict about it: a count is taken
// once, and a nonce serves life requests.
type lighthouse struct {
	challenges []string // with %s for the nonce
	life       int
	mu         sync.Mutex
	nonces     map[string]int
	counts     map[string]bool
	asked      []string // Authorization of each request
}

func (l *lighthouse) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	given := r.Header.Get("Authorization")
	l.asked = append(l.asked, given)
	p := parametersOf(given)
	stale := ""
	if left, known := l.nonces[p["nonce"]]; known && !l.counts[p["nonce"]+p["nc"]] && p["uri"] == r.RequestURI && p["response"] == expected(p, "a secret: pass", r.Method, string(body)) {
		if l.counts[p["nonce"]+p["nc"]] = p["nc"] != ""; left > 0 {
			l.nonces[p["nonce"]]--
			return
		}
		stale = ", stale=TRUE"
	}
	nonce := fmt.Sprintf("n%d", len(l.nonces))
	l.nonces[nonce] = l.life
	for _, ch := range l.challenges {
		w.Header().Add("WWW-Authenticate", fmt.Sprintf(ch, nonce)+stale)
	}
	w.WriteHeader(http.StatusUnauthorized)
}

func TestDigest(t *testing.T) {
	for _, c := range []struct {
		name       string
		challenges []string
		password   string
		life       int
		status     int
		sent       int // of three requests, at most
	}{
		{"SHA-256 before MD5", []string{`Digest realm="r", qop="auth, auth-int", algorithm=SHA-256, nonce="%s", opaque="o"`, `Digest realm="r", qop="auth", algorithm=MD5, nonce="%s"`}, "a secret: pass", 99, 200, 4},
		{"with another scheme in the same field", []string{`Basic realm="r", Digest realm="r", nonce="%s", qop="auth", Bearer realm="x"`}, "a secret: pass", 99, 200, 4},
		{"an algorithm that nobody knows first", []string{`Digest realm="r", algorithm=SHAKE, nonce="%s"`, `Digest realm="r", qop="auth", nonce="%s"`}, "a secret: pass", 99, 200, 4},
		{"the body too", []string{`Digest realm="r", qop="auth-int", nonce="%s"`}, "a secret: pass", 99, 200, 4},
		{"as before qop (RFC 2069)", []string{`Digest realm="r", nonce="%s"`}, "a secret: pass", 99, 200, 4},
		{"nonces for one request", []string{`Digest realm="r", qop="auth", nonce="%s"`}, "a secret: pass", 1, 200, 6},
		{"the wrong password", []string{`Digest realm="r", qop="auth", nonce="%s"`}, "another", 99, 401, 6},
		{"no challenge of Digest", []string{`Bearer realm="%s"`}, "a secret: pass", 99, 401, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := &lighthouse{challenges: c.challenges, life: c.life, nonces: map[string]int{}, counts: map[string]bool{}}
			srv := httptest.NewServer(l)
			defer srv.Close()
			client, err := New(Options{Target: srv.URL + "/v1"})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			for _, method := range []string{"GET", "POST", "PUT"} {
				r := &Request{Method: method, Path: "/keepers", Query: "of=night", Header: []Field{{"Authorization", DigestPrefix + "ann:" + c.password}}}
				if method != "GET" {
					r.Body = []byte(`{"name": "Ida"}`)
				}
				x, err := client.Do(context.Background(), "user", r)
				if err != nil || x.Err != nil {
					t.Fatal(err, x.Err)
				}
				if x.Status != c.status {
					t.Errorf("%s: %d, want %d", method, x.Status, c.status)
				}
				if x.Request != r {
					t.Error("the exchange is of another request than the one that was given")
				}
			}
			if len(l.asked) > c.sent || int64(len(l.asked)) != client.Sent() {
				t.Errorf("%d requests, %d of them counted; want %d at most", len(l.asked), client.Sent(), c.sent)
			}
			if slices.ContainsFunc(l.asked, func(a string) bool { return strings.Contains(a, c.password) }) {
				t.Errorf("the password was sent: %q", l.asked)
			}
		})
	}
}

// Many at once, each nonce and count taken once only, and some that leave together.
func TestDigestAtOnce(t *testing.T) {
	l := &lighthouse{challenges: []string{`Digest realm="r", qop="auth", nonce="%s"`}, life: 5, nonces: map[string]int{}, counts: map[string]bool{}}
	srv := httptest.NewServer(l)
	defer srv.Close()
	client, err := New(Options{Target: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Close() }()
	r := &Request{Method: "GET", Path: "/", Header: []Field{{"Authorization", DigestPrefix + "ann:a secret: pass"}}}
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if x, err := client.Do(context.Background(), "user", r); err != nil || x.Status != 200 {
				t.Error(err, x)
			}
		})
	}
	wg.Wait()
	l.mu.Lock()
	for n := range l.nonces {
		l.nonces[n] = 50
	}
	l.mu.Unlock()
	xs, err := client.DoTogether(context.Background(), "user", []*Request{r, r, r})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range xs {
		if x.Status != 200 {
			t.Error("together:", x.Status)
		}
	}
}
