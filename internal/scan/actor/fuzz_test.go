package actor

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/target"
)

// What answers hold must neither break those who read it nor lead to a request that cannot be sent.
func FuzzAnswers(f *testing.F) {
	f.Add(200, []byte(`{"data":{"token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.AAAA","csrf":"abcdefgh"}}`), "sid=1; Path=/", "Bearer x")
	f.Add(422, []byte(`{"detail":[{"loc":["body","password"],"msg":"must be at least 900000 characters"}]}`), "", "")
	f.Add(400, []byte(`{"errors":{"email":["already taken"],"/a~1b":["is required"]},"message":"password must be between 3 and 1 characters"}`), "a=b", "")
	f.Add(400, []byte(`"username" must be one of [admin, user]; 'foo.bar' is required`), "", "")
	f.Add(403, []byte(`<html><meta name="csrf-token" content="12345678901">page expired`), "XSRF-TOKEN=a%3D", "")
	g := graphOf(f, shapeOf{register: "{email: {type: string}, password: {type: string, maxLength: 30}, role: {type: string}, n: {type: integer}, nested: {type: object, properties: {a: {type: string}}}}", login: emailPassword}.yaml())
	f.Fuzz(func(t *testing.T, status int, body []byte, cookie, header string) {
		ex := &target.Exchange{Status: status, Body: body, Request: &target.Request{Method: "POST", Path: "/register"}, Header: http.Header{"Set-Cookie": {cookie}, "Authorization": {header}, "X-Csrf-Token": {header}}}
		_ = shape(ex)
		_ = firstComplaint(ex)
		a := &Actor{Facts: map[string]string{}}
		learnFacts(a, ex)
		who := newPersona("f", "user", 1)
		fm := newForm(g.Op("POST", "/register"))
		guide := &adviser{f: fm, who: who}
		for range 3 {
			guide.obey(ex)
			r, err := fm.request(who.facts, rand.New(rand.NewPCG(1, 2)))
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(r.Path+r.Query, " \r\n") || len(r.Body) > 1<<16 {
				t.Fatalf("%q %q, %d bytes", r.Path, r.Query, len(r.Body))
			}
		}
		j := &jar{}
		j.take(ex)
		r := &target.Request{Method: "GET", Path: "/"}
		for _, s := range secretsIn(ex, nil) {
			single, together := carriersFor(s, nil, tokenTypeIn(ex), schemesAsked([]*target.Exchange{ex}))
			for _, c := range append(single, together...) {
				(&Session{Parts: append(j.parts(g), c.part(s.value))}).Apply(r)
			}
		}
		for _, h := range r.Header {
			if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") || h.Name == "" {
				t.Fatalf("%q: %q", h.Name, h.Value)
			}
		}
	})
}

func FuzzWFC(f *testing.F) {
	f.Add([]byte("authTemplate: {loginEndpointAuth: {verb: POST}}\nauth: [{name: a, loginEndpointAuth: {endpoint: /l, expectCookies: true}, createUsers: {verb: POST, endpoint: /u, payloadRaw: x, generators: [{placeHolder: x, maxLength: 3}]}}]"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		w, err := parseWFC(b)
		if err != nil {
			return
		}
		accounts := map[string]Account{}
		for _, name := range w.place(accounts) {
			_ = accounts[name].drawn(rand.New(rand.NewPCG(1, 2)))
		}
		_ = Config{Accounts: accounts}.Validate()
	})
}

func FuzzPrinted(f *testing.F) {
	f.Add([]byte(`{"headers":{"A":"b"},"expires_in":3}`))
	f.Add([]byte("Authorization: Bearer x\nX: y"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := printed(b)
		if err != nil {
			return
		}
		r := &target.Request{Method: "GET", Path: "/"}
		s.Apply(r)
		for _, h := range r.Header {
			if strings.ContainsAny(h.Value, "\r\n\x00") {
				t.Fatalf("%q", h.Value)
			}
		}
	})
}
