package authn_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn"
	"github.com/crenel-project/crenel/internal/guard/authn/jose"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
)

// Whatever kind of credential it is: revoked by any of its names it is refused
// at once, though it was believed and remembered a moment ago, and let in again
// when the revocation is lifted.
func TestRevoked(t *testing.T) {
	path, keys := keyFile(t, nil, "shop")
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods,
		config.AuthnMethod{APIKey: &config.KeyMethod{File: path, Header: "X-API-Key"}},
		config.AuthnMethod{Own: &config.OwnMethod{Cookie: "sid"}})
	api := petAPI()
	store := state.NewMemory(func() time.Time { return noon })
	t.Cleanup(func() { _ = store.Close() })
	g, err := authn.New(authn.Options{API: api, Config: conf, Now: func() time.Time { return noon }, Client: client(newIssuer(rsaKey())), State: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)

	k := rsaKey()
	tok := k.token("RS256", k.header("RS256"), claims(noon, object{"sid": "s1"}))
	early := k.token("RS256", k.header("RS256"), claims(noon, object{"sid": "s1", "auth_time": noon.Add(-time.Hour).Unix()}))
	mapped := k.token("RS256", k.header("RS256"), claims(noon, object{"jti": nil, "iat": nil}))
	key := keys["shop"]
	cert := &x509.Certificate{Raw: []byte("der"), Subject: pkix.Name{CommonName: "device"}, Issuer: pkix.Name{CommonName: "CA"}, SerialNumber: big.NewInt(0xbeef), NotBefore: noon, NotAfter: noon.Add(time.Hour)}
	minute := noon.Add(-time.Minute).Unix()

	type caller struct {
		op     string
		header http.Header
		cert   *x509.Certificate
	}
	jwt := caller{op: "token", header: bearer(tok)}
	apiKey := caller{op: "keyOnly", header: http.Header{"X-Api-Key": {key}}}
	own := caller{op: "cookie", header: http.Header{"Cookie": {"sid=abc"}}}
	device := caller{op: "cert", cert: cert}
	for name, c := range map[string]struct {
		caller
		key    string
		before int64
		holds  bool
	}{
		"token":                                {caller: jwt, key: revocation.ForToken(tok)},
		"token's id":                           {caller: jwt, key: revocation.ForID(issuerURL, "t1")},
		"token's id at another issuer":         {caller: jwt, key: revocation.ForID("https://other.test", "t1"), holds: true},
		"session":                              {caller: jwt, key: revocation.ForSession(issuerURL, "s1")},
		"id is no session":                     {caller: jwt, key: revocation.ForSession(issuerURL, "t1"), holds: true},
		"subject":                              {caller: jwt, key: revocation.ForSubject(issuerURL, "alice")},
		"subject, before it was issued":        {caller: jwt, key: revocation.ForSubject(issuerURL, "alice"), before: minute, holds: true},
		"subject, after it was issued":         {caller: jwt, key: revocation.ForSubject(issuerURL, "alice"), before: noon.Unix() + 1},
		"refreshed after, signed in before":    {caller: caller{op: "token", header: bearer(early)}, key: revocation.ForSubject(issuerURL, "alice"), before: minute},
		"nobody knows when it was issued":      {caller: caller{op: "token", header: bearer(mapped)}, key: revocation.ForSubject(issuerURL, "alice"), before: minute},
		"subject, whoever issued it":           {caller: jwt, key: revocation.ForSubject(revocation.AnyIssuer, "alice")},
		"session, whoever issued it":           {caller: jwt, key: revocation.ForSession(revocation.AnyIssuer, "s1")},
		"API key by its holder, of any issuer": {caller: apiKey, key: revocation.ForSubject(revocation.AnyIssuer, "shop")},
		"certificate by its subject, any CA":   {caller: device, key: revocation.ForSubject(revocation.AnyIssuer, "device")},
		"another subject of any issuer":        {caller: jwt, key: revocation.ForSubject(revocation.AnyIssuer, "bob"), holds: true},
		"another subject":                      {caller: jwt, key: revocation.ForSubject(issuerURL, "bob"), holds: true},
		"API key":                              {caller: apiKey, key: revocation.ForToken(key)},
		"API key by its id":                    {caller: apiKey, key: revocation.ForID("", strings.Split(key, "_")[1])},
		"API key by its holder":                {caller: apiKey, key: revocation.ForSubject("", "shop")},
		"API key by its holder, made later":    {caller: apiKey, key: revocation.ForSubject("", "shop"), before: minute, holds: true},
		"own":                                  {caller: own, key: revocation.ForToken("abc")},
		"another's own":                        {caller: own, key: revocation.ForToken("abd"), holds: true},
		"certificate":                          {caller: device, key: revocation.ForToken("der")},
		"certificate by its serial number":     {caller: device, key: revocation.ForID("CN=CA", "beef")},
		"certificate by its subject":           {caller: device, key: revocation.ForSubject("CN=CA", "device")},
		"certificate, a subject of another CA": {caller: device, key: revocation.ForSubject("CN=CB", "device"), holds: true},
	} {
		t.Run(name, func(t *testing.T) {
			try := func(op string) (*exchange.Exchange, exchange.Verdict) {
				x := &exchange.Exchange{Operation: operation(api, op), PeerCert: c.cert, Request: exchange.Request{Method: "GET", Header: c.header.Clone()}}
				return x, g.Step().Rule(t.Context(), x)
			}
			for range 2 { // the second time from memory
				if _, v := try(c.op); v.Action != exchange.Allow {
					t.Fatalf("refused before it was revoked: %+v", v)
				}
			}
			if err := revocation.Put(t.Context(), store, c.key, revocation.Entry{Before: c.before, Reason: "stolen \x1b["}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			x, v := try(c.op)
			if c.holds {
				want(t, v, exchange.Allow, "")
			} else {
				want(t, v, exchange.Deny, "authn.revoked")
				if !x.Identity.Anonymous() || !strings.Contains(v.Reason, "stolen") || strings.Contains(v.Reason, "\x1b") {
					t.Errorf("identity %+v, reason %q", x.Identity, v.Reason)
				}
				if c.op == "token" && !strings.Contains(v.Header["WWW-Authenticate"], `error="invalid_token", error_description="The access token was revoked"`) {
					t.Errorf("challenge %q", v.Header["WWW-Authenticate"])
				}
				// A public operation knows nobody, and the upstream does not see it.
				x, v = try("public")
				want(t, v, exchange.Allow, "")
				if !x.Identity.Anonymous() || len(c.header) > 0 && !x.Request.Credentials[0].Rejected {
					t.Errorf("public: identity %+v, credentials %+v", x.Identity, x.Request.Credentials)
				}
			}
			if err := store.Drop(t.Context(), revocation.Set, c.key); err != nil {
				t.Fatal(err)
			}
			_, v = try(c.op)
			want(t, v, exchange.Allow, "")
		})
	}
}

// noState is a shared state that cannot be asked.
type noState struct{ state.Store }

func (noState) View(context.Context, string) (state.View, error) {
	return nil, errors.New("connection refused")
}

// What was revoked cannot be known: nobody with a credential is let in.
func TestRevocationsUnknown(t *testing.T) {
	api := petAPI()
	g, err := authn.New(authn.Options{API: api, Config: jwtConfig(nil), Now: func() time.Time { return noon }, Client: client(newIssuer(rsaKey())),
		State: noState{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	tok := rsaKey().token("RS256", rsaKey().header("RS256"), claims(noon, nil))
	_, v := call(t, g, operation(api, "token"), bearer(tok), "")
	want(t, v, exchange.Unable, "authn.unavailable")
	if err := g.Ready(); err == nil || !strings.Contains(err.Error(), "revocations: connection refused") {
		t.Errorf("ready says %v", err)
	}
	_, v = call(t, g, operation(api, "public"), nil, "")
	want(t, v, exchange.Allow, "")
}

// An ECDSA signature (r, s) can be written as (r, n-s) by whoever holds the token:
// another text, which the issuer's key verifies as well. Revoked by its text it is
// refused in both.
func TestRevokedInEitherSpelling(t *testing.T) {
	k := p256Key()
	store := state.NewMemory(func() time.Time { return noon })
	t.Cleanup(func() { _ = store.Close() })
	conf := jwtConfig(nil)
	conf.Methods = append(conf.Methods, config.AuthnMethod{Own: &config.OwnMethod{Cookie: "sid"}})
	api := petAPI()
	g, err := authn.New(authn.Options{API: api, Config: conf, Now: func() time.Time { return noon }, Client: client(newIssuer(k)), State: store})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	tok := k.token("ES256", k.header("ES256"), claims(noon, object{"jti": nil}))
	twin := jose.Twin(tok)
	if twin == "" {
		t.Fatal("there is no other spelling")
	}
	try := func(tok string) []exchange.Verdict {
		var out []exchange.Verdict
		for op, h := range map[string]http.Header{"token": bearer(tok), "cookie": {"Cookie": {"sid=" + tok}}} {
			_, v := call(t, g, operation(api, op), h, "")
			out = append(out, v)
		}
		return out
	}
	for _, v := range append(try(tok), try(twin)...) {
		want(t, v, exchange.Allow, "")
	}
	if err := revocation.Put(t.Context(), store, revocation.ForToken(tok), revocation.Entry{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, v := range append(try(tok), try(twin)...) {
		want(t, v, exchange.Deny, "authn.revoked")
	}
}
