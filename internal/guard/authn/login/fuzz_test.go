package login

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/oauth"
	"github.com/crenel-project/crenel/internal/state"
)

// idToken is of no use anywhere: what is sealed was verified before.
const idToken = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSIsInNpZCI6InMxIiwicm9sZXMiOlsiY3VzdG9tZXIiXX0.AAAA"

func testLogin(t testing.TB) *Login {
	t.Helper()
	now := func() time.Time { return time.Unix(1_800_000_000, 0) }
	store := state.NewMemory(now)
	t.Cleanup(func() { _ = store.Close() })
	l, err := New(Options{
		API: "shop", State: store, Now: now, Log: slog.New(slog.DiscardHandler), Client: &http.Client{}, Keys: authn.NewKeyStore(nil, slog.New(slog.DiscardHandler), now),
		Config: config.Login{
			OAuthClient: config.OAuthClient{Issuer: "http://127.0.0.1:1", ClientID: "front"}, Origin: "https://app.example.com", Path: "/auth", Identity: "id_token",
			Session: config.LoginSession{Keys: []config.Secret{config.NewSecret("a key that is long enough for a test")}, Idle: time.Hour, Absolute: 12 * time.Hour}, AfterLogin: "/",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func testSession(t testing.TB, l *Login) *session {
	t.Helper()
	s, err := l.begin(&tokens{idToken: idToken, answer: &oauth.Token{Access: strings.Repeat("a", 900), Refresh: "r", Life: time.Hour}}, l.now())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cookieHeader is what a browser sends after it got these lines.
func cookieHeader(lines []string) string {
	var out []string
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		out = append(out, pair)
	}
	return strings.Join(out, "; ")
}

// Whatever a Cookie field holds, what comes of it is one of our own sessions, or none.
func FuzzCookie(f *testing.F) {
	l := testLogin(f)
	s := testSession(f, l)
	s.ID = "the one session of these tests" // in each of the fuzzer's processes
	value, err := l.encode(s)
	if err != nil {
		f.Fatal(err)
	}
	lines, err := l.jar.write(nil, value)
	if err != nil {
		f.Fatal(err)
	}
	good := cookieHeader(lines)
	for _, seed := range []string{
		good, good + "; a=b", "a=b; " + good, good + "; " + good, l.jar.session + "=1.", l.jar.session + "=2.x; " + l.jar.session + "-1=y",
		l.jar.session + "-5=x", ";;;=;" + l.jar.session, l.jar.session + "==1.=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, field string) {
		h := http.Header{"Cookie": {field}}
		found := l.find(context.Background(), h)
		if found.session != nil && found.session.ID != s.ID {
			t.Fatalf("%q is a session that was never made", field)
		}
		if found.session == nil && found.present && (found.code == "" || found.reason == "") {
			t.Fatalf("%q is refused without saying why", field)
		}
		if _, err := l.openFlow(field); err == nil {
			t.Fatalf("%q is a login that never began", field)
		}
		StripRequest(h)
		for _, line := range h["Cookie"] {
			for pair := range strings.SplitSeq(line, ";") {
				if strings.HasPrefix(strings.Trim(pair, " \t"), CookiePrefix) {
					t.Fatalf("%q keeps %q", field, pair)
				}
			}
		}
	})
}

// What a login may return to never names another host, as browsers read it.
func FuzzReturnTo(f *testing.F) {
	l := testLogin(f)
	for _, seed := range []string{"/", "/a?b#c", "//evil", `/\evil`, "https://app.example.com/x", "https://app.example.com@evil/", "/\t/evil", "/auth/logout", "/./auth", "/x/../auth/logout", "/%61uth/logout", "/x/%2e%2e/auth/logout", "//auth", "/%2f/evil"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, asked string) {
		to := l.returnTo(asked, "/instead")
		if to[0] != '/' || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t \x00") {
			t.Fatalf("%q gives %q", asked, to)
		}
		place, _, _ := strings.Cut(to, "#") // a fragment may hold anything, and is no path
		u, err := url.Parse("https://app.example.com" + place)
		if err != nil {
			t.Fatalf("%q gives %q: %v", asked, to, err)
		}
		if at := u.JoinPath().Path; to != "/instead" && (at == "/auth" || strings.HasPrefix(at, "/auth/")) {
			t.Fatalf("%q leads back into the login", asked)
		}
	})
}

// A sealed value opens to what it was, for its own purpose and with the ring's
// keys alone, and any change of it is noticed.
func TestSeal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := []string{"first key of at least thirty-two bytes", "second key of at least thirty-two bytes"}
		old, err := newRing("ctx", keys[1:])
		if err != nil {
			t.Fatal(err)
		}
		now, err := newRing("ctx", keys)
		if err != nil {
			t.Fatal(err)
		}
		other, err := newRing("other ctx", keys)
		if err != nil {
			t.Fatal(err)
		}
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plain")
		sealed := old.seal(kindSession, plain)
		if got, err := now.open(kindSession, sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("a key that was rotated: %q, %v", got, err)
		}
		if _, err := old.open(kindSession, now.seal(kindSession, plain)); err == nil {
			t.Fatal("opened without the key")
		}
		if _, err := now.open(kindFlow, sealed); err == nil {
			t.Fatal("opened for another purpose")
		}
		if _, err := other.open(kindSession, sealed); err == nil {
			t.Fatal("opened for another API, origin or issuer")
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "at")
		changed := bytes.Clone(sealed)
		changed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if _, err := now.open(kindSession, changed); err == nil {
			t.Fatalf("a change of byte %d is not noticed", i)
		}
		if _, err := now.open(kindSession, sealed[:i]); err == nil {
			t.Fatalf("cut at %d it opens", i)
		}
	})
}

// A value of any size that fits comes back from its cookies.
func TestCookieParts(t *testing.T) {
	j := newJar("shop", "lax")
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, chunk*maxChunks+100).Draw(t, "size")
		value := strings.Repeat("v", n-1) + "w"
		lines, err := j.write(nil, value)
		if n > chunk*maxChunks {
			if err == nil {
				t.Fatal("too large, and written")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range lines {
			if len(line) > 4096 {
				t.Fatalf("a cookie of %d bytes: browsers drop it", len(line))
			}
		}
		if got, err := j.read(http.Header{"Cookie": {"a=b", cookieHeader(lines) + "; c=d"}}); err != nil || got != value {
			t.Fatalf("%d bytes come back as %d, %v", n, len(got), err)
		}
	})
}

func TestOwnKey(t *testing.T) {
	dir := t.TempDir()
	first, err := ownKey(dir)
	if err != nil || len(first) < 32 {
		t.Fatalf("%q %v", first, err)
	}
	if again, err := ownKey(dir); err != nil || again != first {
		t.Errorf("not kept: %v", err)
	}
	if other, _ := ownKey(t.TempDir()); other == first {
		t.Error("two gateways have one key")
	}
}

// What a call with a session costs, its cookie having been seen before.
func BenchmarkFind(b *testing.B) {
	l := testLogin(b)
	value, err := l.encode(testSession(b, l))
	if err != nil {
		b.Fatal(err)
	}
	lines, err := l.jar.write(nil, value)
	if err != nil {
		b.Fatal(err)
	}
	v := l.Sessions(nil)
	x := &exchange.Exchange{Request: exchange.Request{Method: http.MethodGet, Header: http.Header{"Cookie": {"theme=dark; " + cookieHeader(lines)}, "Sec-Fetch-Site": {"same-origin"}}}}
	if s := v.Find(context.Background(), x); s.Identity == nil {
		b.Fatalf("%+v", s)
	}
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Find(context.Background(), x)
		}
	})
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			l.cache = newCache()
			v.Find(context.Background(), x)
		}
	})
	none := &exchange.Exchange{Request: exchange.Request{Method: http.MethodGet, Header: http.Header{"Cookie": {"theme=dark; other=1"}}}}
	b.Run("none", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.Find(context.Background(), none)
		}
	})
}
