package failclosed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"go.uber.org/goleak"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/gateway"
	"github.com/crenel-project/crenel/internal/guard/authn/revocation"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/trail"
)

// The clock of the pattern engine ends by itself, a while after the last match.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dlclark/regexp2.runClock"))
}

func TestFailClosed(t *testing.T) {
	t.Setenv("FAIL_SECRET", secret)
	for _, g := range table {
		for _, r := range g.rows {
			t.Run(g.title+"/"+r.what, r.run)
		}
	}
}

// A row proves nothing on a stand that refuses everything.
func TestTheStandItselfLetsPass(t *testing.T) {
	t.Setenv("FAIL_SECRET", secret)
	for name, r := range map[string]row{
		"GET":  {},
		"POST": {request: func(s *stand) *http.Request { return s.post(`{"a":"b"}`) }},
		"PUT":  {request: func(s *stand) *http.Request { return s.put("application/octet-stream", "abc") }},
	} {
		passes := &row{request: r.request, upstream: func(w http.ResponseWriter, r *http.Request) error {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return err
			}
			w.WriteHeader(204)
			return nil
		}, status: 204, called: true}
		t.Run(name, func(t *testing.T) {
			s := &stand{t: t, dir: t.TempDir()}
			cfg, err := passes.config(s, "127.0.0.1:8080", "http://127.0.0.1:1")
			if err != nil {
				t.Fatal(err)
			}
			log, err := trail.Open(trail.Options{File: filepath.Join(s.dir, "events.jsonl")})
			if err != nil {
				t.Fatal(err)
			}
			gw, err := gateway.New(t.Context(), cfg, gateway.Deps{Trail: log})
			if err != nil {
				t.Fatal(err)
			}
			s.handler = gw.Handler(func(string) gateway.Upstream { return passes.upstream })
			w := httptest.NewRecorder()
			if cut := s.serve(w, passes.make(s)); cut || w.Code != 204 {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			if err := errors.Join(gw.Close(), log.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A limit that the config gains needs a row that shows what comes of passing it.
func TestEveryLimitHasARow(t *testing.T) {
	has := map[string]bool{}
	for _, g := range table {
		for _, r := range g.rows {
			has[strings.TrimPrefix(r.setting, "server.")] = true
		}
	}
	limits := reflect.TypeFor[config.Limits]()
	for i := range limits.NumField() {
		if name := "limits." + limits.Field(i).Tag.Get("yaml"); !has[name] {
			t.Errorf("%s has no row", name)
		}
	}
}

func TestDocument(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "fail-closed.md")
	want := markdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("docs/fail-closed.md is not what the table says (%v); run go test ./test/failclosed -update", err)
	}
}

func posting(body string) func(*stand) *http.Request {
	return func(s *stand) *http.Request { return s.post(body) }
}

func chunked(r *http.Request) *http.Request {
	r.ContentLength = -1
	return r
}

func encoded(r *http.Request, encoding, body string) *http.Request {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Encoding", encoding)
	return r
}

func zipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		panic(err)
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

// asked makes the authn guard ask an authorization server.
const asked = "    authn: {methods: [{introspection: {url: \"https://issuer.test/introspect\", auth: {client_id: t, client_secret: \"${FAIL_SECRET}\"}}}]}\n"

// revokedState is a shared state in which the subject of the stand's tokens is revoked.
func revokedState(*stand) state.Store {
	s := state.NewMemory(nil)
	if err := revocation.Put(context.Background(), s, revocation.ForSubject("https://issuer.test", "alice"), revocation.Entry{}, time.Time{}); err != nil {
		panic(err)
	}
	return s
}

// awayState is a shared state that cannot be asked.
type awayState struct{ state.Store }

func (awayState) View(context.Context, string) (state.View, error) {
	return nil, errors.New("connection refused")
}

// fetchingOnce gives a good key set to the first who asks, and then fails.
func fetchingOnce() *http.Client {
	var asked atomic.Int32
	return &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		if asked.Add(1) > 1 {
			return nil, errors.New("connection refused")
		}
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`))}, nil
	})}
}

// hoursLater is a clock that goes on by two hours whenever it is asked.
func hoursLater() func() time.Time {
	var asked atomic.Int64
	begin := time.Now()
	return func() time.Time { return begin.Add(time.Duration(asked.Add(1)) * 2 * time.Hour) }
}

// keys makes the authn guard fetch the issuer's keys.
const keys = "    authn: {methods: [{jwt: {issuer: \"https://issuer.test\", jwks: \"https://issuer.test/jwks.json\", audience: [t]}}]}\n"

func elliptical(s *stand) *http.Request {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.get("/things")
	r.Header.Set("Authorization", "Bearer "+s.token(jwa.ES256(), key))
	return r
}

func policy(rego string) map[string]string {
	return map[string]string{"p.rego": "package crenel.authz\n" + rego + "\n"}
}

// sourced is a policy with a source of data.
func sourced(setting string) string {
	if setting != "" {
		setting = ", " + setting
	}
	return "    authz: {policies: [p.rego], sources: [{at: x, file: {path: data.json}" + setting + "}]}\n"
}

// reading is a policy that reads all that its source gives.
func reading(data string) map[string]string {
	files := policy(`decision := count(data.x) > 0`)
	files["data.json"] = data
	return files
}

// walking is a policy that looks at every member: a large collection may be
// counted and looked into, not walked.
func walking(data string) map[string]string {
	files := policy("decision if {\n\tsome v in data.x\n\tv == 1\n}")
	files["data.json"] = data
	return files
}

func members(n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%q: 1", fmt.Sprint("k", i))
	}
	return strings.Join(out, ", ")
}

// leap is a clock that a row sets forward while it runs.
type leap struct{ ahead atomic.Int64 }

var later leap

func (l *leap) Now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

func (l *leap) jump(t *testing.T, d time.Duration) {
	l.ahead.Store(int64(d))
	t.Cleanup(func() { l.ahead.Store(0) })
}

const filtered = "    authz: {policies: [p.rego], filters: [{operations: [list], list: /items}]}\n"

const policies = "    authz: {policies: [p.rego]}\n"

// fullAt is the size that every event file begins with, and beyond which no file
// may grow on a full disk. It is not 0: the test program has a small log of its own.
const fullAt = 1 << 20

// jam lets no event file grow until the returned function is called: what a full disk does.
func jam(s *stand) (release func()) {
	signal.Ignore(syscall.SIGXFSZ)
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		s.t.Fatal(err)
	}
	full := old
	full.Cur = fullAt
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		s.t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			s.t.Fatal(err)
		}
	}
}

func jammed(s *stand) {
	s.jammed = true
	s.t.Cleanup(jam(s))
}

// panicking is a clock that panics when a guard asks it, not the gateway itself.
func panicking() time.Time {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "/guard/limit.(*Guard).rule") {
			panic("a mistake in a guard")
		}
		if !more {
			return time.Now()
		}
	}
}

func answering(status int, header map[string]string, body string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/json")
		for name, text := range header {
			w.Header().Set(name, text)
		}
		w.WriteHeader(status)
		_, err := io.WriteString(w, body)
		return err
	}
}

const refuseAnswers = "    contract: {responses: refuse}\n"
const stripAnswers = "    contract: {responses: strip}\n"

func readHead(c net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(c)) }

var table = []struct {
	title string
	rows  []*row
}{
	{"The request's head", []*row{
		{what: "a target longer than the limit", setting: "server.limits.uri", server: "limits: {uri: 64}", request: func(s *stand) *http.Request { return s.get("/things?" + strings.Repeat("n", 80)) }, status: 414, code: "gateway.uri_too_long"},
		{what: "more header fields than the limit", setting: "server.limits.header_count", server: "limits: {header_count: 5}", request: func(s *stand) *http.Request {
			r := s.get("/things")
			r.Header["X-A"] = []string{"1", "2", "3", "4", "5"}
			return r
		}, status: 431, code: "gateway.headers_too_large"},
		{what: "a header section larger than the limit", setting: "server.limits.header_bytes", server: "limits: {header_bytes: 1KiB}", request: func(s *stand) *http.Request {
			r := s.get("/things")
			r.Header.Set("X-A", strings.Repeat("a", 1000))
			return r
		}, status: 431, code: "gateway.headers_too_large"},
		{what: "a path that servers read in two ways", request: func(s *stand) *http.Request { return s.get("/x%2f..%2fthings") }, status: 400, code: "gateway.ambiguous_path"},
		{what: "a host that nobody serves", setting: "apis.hosts", api: "  hosts: [other.test]\n", status: 421, code: "gateway.unknown_host"},
		{what: "a path that the document lacks", setting: "guards.contract.undocumented", request: func(s *stand) *http.Request { return s.get("/debug") }, status: 404, code: "contract.unknown_path"},
	}},
	{"The request's body", []*row{
		{what: "a declared length over the limit", setting: "limits.body", server: "limits: {body: 1KiB}", request: posting(`{"a":"` + strings.Repeat("a", 2000) + `"}`), status: 413, code: "body.too_large"},
		{what: "more bytes than the limit, their number not declared", setting: "limits.body", server: "limits: {body: 1KiB}", request: func(s *stand) *http.Request { return chunked(s.post(`{"a":"` + strings.Repeat("a", 2000) + `"}`)) }, status: 413, code: "body.too_large"},
		{what: "a body over its operation's limit", setting: "operations.body_limit", api: "  operations: [{operation: create, body_limit: 10}]\n", request: posting(`{"a":"0123456789"}`), status: 413, code: "body.too_large"},
		{what: "an upload over the limit", setting: "limits.upload", server: "limits: {upload: 20KiB}", request: func(s *stand) *http.Request {
			return s.put("application/octet-stream", strings.Repeat("a", 30_000))
		}, status: 413, code: "body.too_large"},
		{what: "an upload over the limit, its length not declared", note: "the call breaks off, so the upstream never sees a whole request", setting: "limits.upload", server: "limits: {upload: 20KiB}", request: func(s *stand) *http.Request {
			return chunked(s.put("application/octet-stream", strings.Repeat("a", 30_000)))
		}, status: 413, code: "body.too_large", called: true},
		{what: "a body that breaks off", request: func(s *stand) *http.Request {
			r := s.post(`{"a":"b"}`)
			r.ContentLength += 5
			return r
		}, status: 400, code: "body.incomplete"},
		{what: "a chunked body that breaks off", request: func(s *stand) *http.Request {
			r := s.post("")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"a":"b"}`), iotest.ErrReader(io.ErrUnexpectedEOF)))
			return chunked(r)
		}, status: 400, code: "body.incomplete"},
		{what: "a body that does not arrive in time", setting: "server.timeouts.read_body", request: func(s *stand) *http.Request {
			r := s.post("")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"a"`), iotest.ErrReader(os.ErrDeadlineExceeded)))
			return chunked(r)
		}, status: 408, code: "gateway.timeout"},
		{what: "a document nested too deeply", setting: "limits.depth", server: "limits: {depth: 5}", request: posting(`{"free":[[[[[1]]]]]}`), status: 413, code: "body.depth"},
		{what: "an object with too many members", setting: "limits.keys", server: "limits: {keys: 3}", request: posting(`{"free":{"a":1,"b":1,"c":1,"d":1}}`), status: 413, code: "body.keys"},
		{what: "a multipart body with too many parts", setting: "limits.keys", server: "limits: {keys: 3}", request: func(s *stand) *http.Request {
			return s.put("multipart/form-data; boundary=b", strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"p\"\r\n\r\nx\r\n", 4)+"--b--\r\n")
		}, status: 413, code: "body.keys"},
		{what: "a document with too many values", setting: "limits.values", server: "limits: {values: 10}", request: posting(`{"free":[[1,2,3],[4,5,6],[7,8,9]]}`), status: 413, code: "body.keys"},
		{what: "an array with too many elements", setting: "limits.items", server: "limits: {items: 3}", request: posting(`{"free":[1,2,3,4]}`), status: 413, code: "body.items"},
		{what: "a string that is too long", setting: "limits.string", server: "limits: {string: 10}", request: posting(`{"a":"0123456789a"}`), status: 413, code: "body.string_length"},
		{what: "a number that no float holds", request: posting(`{"free":1e999}`), status: 400, code: "body.number_range"},
		{what: "a name twice in one object", request: posting(`{"a":"b","a":"c"}`), status: 400, code: "body.duplicate_key"},
		{what: "text that is not UTF-8", request: posting("{\"a\":\"\xff\"}"), status: 400, code: "body.invalid_utf8"},
		{what: "decompressed over the limit", setting: "limits.body", server: "limits: {body: 1KiB}", request: func(s *stand) *http.Request {
			return encoded(s.post(""), "gzip", zipped(`{"a":"`+strings.Repeat("a", 2000)+`"}`))
		}, status: 413, code: "body.decompression"},
		{what: "a decompression ratio over the limit", setting: "limits.ratio", server: "limits: {ratio: 5}", request: func(s *stand) *http.Request {
			return encoded(s.post(""), "gzip", zipped(`{"a":"`+strings.Repeat("a", 200_000)+`"}`))
		}, status: 413, code: "body.decompression"},
		{what: "an encoding that is not decoded", request: func(s *stand) *http.Request { return encoded(s.post(""), "br", "x") }, status: 415, code: "body.encoding"},
		{what: "compressed data that is broken", request: func(s *stand) *http.Request { return encoded(s.post(""), "gzip", `{"a":"this is not compressed"}`) }, status: 400, code: "body.syntax"},
		{what: "a pattern that does not finish in time", request: posting(`{"word":"` + strings.Repeat("a", 60) + `b"}`), status: 422, code: "contract.pattern_timeout"},
		{what: "a media type that has no tree where the schema wants one", note: "it cannot be checked", files: map[string]string{"api.yaml": strings.ReplaceAll(document, "application/json: {schema: {type: object, properties: {a: {type: string}, word", "\"*/*\": {schema: {type: object, properties: {a: {type: string}, word")},
			request: func(s *stand) *http.Request {
				r := s.post(`{"a":1}`)
				r.Header.Set("Content-Type", "application/octet-stream")
				return r
			}, status: 422, code: "contract.body"},
	}},
	{"Memory and concurrency", []*row{
		{what: "the memory for bodies is used up", setting: "server.limits.memory", server: "limits: {memory: 1MiB, body: 4MiB, string: 4MiB}", request: posting(`{"a":"` + strings.Repeat("a", 2<<20) + `"}`), status: 503, code: "gateway.overloaded"},
		{what: "the memory for trees is used up", setting: "server.limits.memory", server: "limits: {memory: 1MiB, items: 100000}", request: posting(`{"free":[` + strings.Repeat("1,", 50_000) + `1]}`), status: 503, code: "gateway.overloaded"},
		{what: "the memory for held answers is used up", setting: "server.limits.memory", server: "limits: {memory: 1MiB}", guards: refuseAnswers, upstream: answering(200, nil, `{"a":"`+strings.Repeat("a", 2<<20)+`"}`), status: 503, code: "gateway.overloaded", called: true},
		{what: "too many requests at once", setting: "server.limits.concurrent", server: "limits: {concurrent: 1}", before: occupy, status: 503, code: "gateway.overloaded"},
		{what: "a rate is used up", setting: "guards.limit.rates", guards: "    limit: {rates: [{rate: 1/h}]}\n", before: func(s *stand) { s.serve(httptest.NewRecorder(), s.get("/things")) }, status: 429, code: "limit.rate"},
		{what: "a guard panics", clock: panicking, status: 500, code: "gateway.internal"},
		{what: "the handler that calls the upstream panics", upstream: func(http.ResponseWriter, *http.Request) error { panic("a mistake") }, status: 500, code: "gateway.internal", called: true},
	}},
	{"Rates, logins, flows and overload", limitRows},
	{"Identity", []*row{
		{what: "no credentials", request: func(*stand) *http.Request { return httptest.NewRequest(http.MethodGet, "/things", nil) }, status: 401, code: "authn.missing"},
		{what: "the issuer cannot be reached", setting: "guards.authn.methods.jwt.jwks", guards: keys, client: fetching("", errors.New("connection refused")), request: elliptical, status: 503, code: "authn.unavailable"},
		{what: "the issuer's keys cannot be discovered", setting: "guards.authn.methods.jwt.issuer", guards: "    authn: {methods: [{jwt: {issuer: \"https://issuer.test\", audience: [t]}}]}\n", client: fetching("", errors.New("connection refused")), request: elliptical, status: 503, code: "authn.unavailable"},
		{what: "the issuer's keys are rubbish", setting: "guards.authn.methods.jwt.jwks", guards: keys, client: fetching("<html>", nil), request: elliptical, status: 503, code: "authn.unavailable"},
		{what: "the issuer has no keys", setting: "guards.authn.methods.jwt.jwks", guards: keys, client: fetching(`{"keys":[]}`, nil), request: elliptical, status: 401, code: "authn.unknown_key"},
		{what: "a token that nobody signed", request: func(s *stand) *http.Request {
			r := s.get("/things")
			r.Header.Set("Authorization", "Bearer eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0In0.")
			return r
		}, status: 401, code: "authn.algorithm"},
		{what: "the last keys are older than max_age", setting: "guards.authn.methods.jwt.max_age", guards: keys, client: fetchingOnce(), clock: hoursLater(), request: elliptical, status: 503, code: "authn.unavailable"},
		{what: "the authorization server cannot be reached", setting: "guards.authn.methods.introspection.url", guards: asked, client: fetching("", errors.New("connection refused")), status: 503, code: "authn.unavailable"},
		{what: "the authorization server answers rubbish", setting: "guards.authn.methods.introspection.url", guards: asked, client: fetching("<html>", nil), status: 503, code: "authn.unavailable"},
		{what: "the authorization server says neither yes nor no", setting: "guards.authn.methods.introspection.url", guards: asked, client: fetching(`{"sub":"ann"}`, nil), status: 503, code: "authn.unavailable"},
		{what: "the authorization server says no", setting: "guards.authn.methods.introspection.url", guards: asked, client: fetching(`{"active":false}`, nil), status: 401, code: "authn.inactive"},
		{what: "a token that was revoked", state: revokedState, status: 401, code: "authn.revoked"},
		{what: "a logout at the API cannot be kept", note: "the API has ended the session", setting: "operations.ends", api: "  operations: [{operation: list, ends: credential}]\n", state: func(*stand) state.Store { return unwritable{state.NewMemory(nil)} }, status: 503, code: "authn.unavailable", called: true},
		{what: "what was revoked cannot be known", setting: "state.max_age", state: func(*stand) state.Store { return awayState{state.NewMemory(nil)} }, status: 503, code: "authn.unavailable"},
		{what: "a sign-in that is not strong or fresh enough", setting: "operations.step_up", api: "  operations: [{operation: list, step_up: {max_age: 5m}}]\n", status: 401, code: "authn.step_up"},
		{what: "a credential that is too large", setting: "guards.authn.token_size", request: func(s *stand) *http.Request {
			r := s.get("/things")
			r.Header.Set("Authorization", "Bearer "+strings.Repeat("a", 20_000))
			return r
		}, status: 401, code: "authn.too_large"},
		{what: "a token bound to a key, without its proof", setting: "guards.authn.methods.jwt.dpop", request: boundToken, status: 401, code: "authn.binding"},
		{what: "whether a signed request is new cannot be known", setting: "guards.authn.methods.signature.replay", guards: signers, state: forgetful, request: signed(`{"a":"b"}`, `{"a":"b"}`), status: 503, code: "authn.unavailable"},
		{what: "a body is not the one that was signed", setting: "guards.authn.methods.signature", guards: signers, request: signed(`{"a":"b"}`, `{"a":"c"}`), status: 400, code: "authn.digest"},
		{what: "an upload that is passed on is not the one that was signed", setting: "guards.authn.methods.signature.streams", note: "the upstream never gets its end", guards: signers, request: signedUpload, status: 400, code: "authn.digest", called: true},
		{what: "a partner's keys cannot be fetched", setting: "guards.authn.methods.signature.keys.jwks", guards: strings.Replace(signers, "id: p, subject: p, secret: \"${FAIL_SECRET}\"", "subject: p, jwks: \"https://partner.test/keys\"", 1), client: fetching("", errors.New("connection refused")), request: signed(`{"a":"b"}`, `{"a":"b"}`), status: 503, code: "authn.unavailable"},
		{what: "the list of revoked certificates is out of date", setting: "guards.authn.methods.mtls.crl", server: certificates, guards: holders, files: staleList(), request: withCertificate, status: 503, code: "authn.unavailable"},
	}},
	{"Login of browsers, tokens for the upstream", logins},
	{"Shared state and open connections", sharedState},
	{"Policy", []*row{
		{what: "the policy is undefined for the call", setting: "guards.authz.policies", guards: policies, files: policy(`decision := true if input.operation.id == "other"`), status: 403, code: "authz.undefined"},
		{what: "the policy fails", setting: "guards.authz.policies", guards: policies, files: policy("decision := true if input.operation.id != \"\"\ndecision := {\"allow\": true} if input.operation.id != \"x\""), status: 503, code: "authz.error"},
		{what: "the policy decides something that is no decision", setting: "guards.authz.policies", guards: policies, files: policy(`decision := "yes"`), status: 503, code: "authz.error"},
		{what: "the policy demands what is not known", setting: "guards.authz.policies", guards: policies, files: policy(`decision := {"allow": true, "obligations": {"stripp": ["/a"]}}`), status: 503, code: "authz.error"},
		{what: "the policy's condition on rows cannot be translated", setting: "guards.authz.filters", guards: filtered, files: policy("decision := true\nfilter if lower(input.row.a) == \"x\""), status: 503, code: "authz.filter"},
		{what: "the policy's condition on rows is one that none fulfils", setting: "guards.authz.filters", guards: filtered, files: policy("decision := true\nfilter if { input.row.a == 1; input.operation.id == \"other\" }"), status: 403, code: "authz.denied"},
		{what: "the policy's condition on rows takes too long", setting: "guards.authz.timeout", guards: "    authz: {policies: [p.rego], timeout: 1ms, filters: [{operations: [list], list: /items}]}\n", files: policy("decision := true\nfilter if { some i in numbers.range(1, 100000); input.row.a == i }"), status: 503, code: "authz.timeout"},
		{what: "the policy takes too long", setting: "guards.authz.timeout", guards: "    authz: {policies: [p.rego], timeout: 1ms}\n", files: policy(`decision := count([1 | some i in numbers.range(1, 3000); some j in numbers.range(1, 3000); i * j == -1]) == 0`), status: 503, code: "authz.timeout"},
		{what: "the decision cannot be kept: the decision log's folder is gone or its disk full", setting: "decision_log.when_full: refuse", guards: policies, files: policy("decision := true"), decisions: true, before: withoutDecisions, status: 503, code: "authz.unrecorded"},
		{what: "a source of the policy's data has never answered", setting: "guards.authz.sources", guards: sourced(""), files: reading(`{"a":`), status: 503, code: "authz.unavailable"},
		{what: "a source of the policy's data is silent for too long", setting: "guards.authz.sources.max_age", guards: sourced("max_age: 1m"), files: reading(`{"a": 1}`), clock: later.Now, before: func(s *stand) {
			if err := os.Remove(filepath.Join(s.dir, "data.json")); err != nil {
				s.t.Fatal(err)
			}
			later.jump(s.t, time.Hour)
		}, status: 503, code: "authz.unavailable"},
		{what: "a source of the policy's data has more rows than the limit", setting: "guards.authz.sources.max_rows", guards: sourced("max_rows: 1"), files: reading(`{"a": 1, "b": 2}`), status: 503, code: "authz.unavailable"},
		{what: "the policy reads too much of a source's data at once", setting: "guards.authz.sources.max_read", guards: sourced("max_read: 100"), files: walking("{" + members(200) + "}"), status: 503, code: "authz.error"},
		{what: "the bundle's server cannot be reached and no bundle is kept", setting: "guards.authz.bundles", guards: "    authz: {bundles: [{name: b, url: \"http://127.0.0.1:1/b.tar.gz\"}]}\n", status: 503, code: "authz.unavailable"},
		{what: "the bundle is not signed", setting: "guards.authz.bundles.signing", guards: "    authz: {bundles: [{name: b, url: b, signing: {keys: [{id: k, algorithm: HS256, secret: \"file:secret\"}]}}]}\n",
			files: map[string]string{"b/p.rego": "package crenel.authz\ndecision := true", "secret": strings.Repeat("s", 32)}, status: 503, code: "authz.unavailable"},
		{what: "the bundle does not compile", setting: "guards.authz.bundles", guards: bundled, files: map[string]string{"b/p.rego": "package crenel.authz\ndecision if x"}, status: 503, code: "authz.unavailable"},
		{what: "the bundle's own tests fail", setting: "guards.authz.bundles", guards: bundled, files: map[string]string{"b/p.rego": "package crenel.authz\ndecision := true", "b/p_test.rego": "package crenel.authz\ntest_no if not decision"}, status: 503, code: "authz.unavailable"},
	}},
	{"Inspection", []*row{
		{what: "a value longer than is inspected", setting: "guards.waf.value", guards: "    waf: {value: 64}\n", request: posting(`{"a":"` + strings.Repeat("word ", 40) + `"}`), status: 413, code: "waf.too_long"},
		{what: "more values than are inspected", setting: "guards.waf.values", guards: "    waf: {values: 10}\n", request: posting(`{"free":["a","b","c","d","e","f","g","h","i","j","k"]}`), status: 413, code: "waf.too_many"},
		{what: "an inspection that would take longer than its budget", setting: "guards.waf.budget", guards: "    waf: {budget: 1ms}\n", request: posting(`{"a":"` + strings.Repeat("x' UNION SELECT word FROM words ", 1500) + `"}`), status: 413, code: "waf.too_many"},
		{what: "128 KB of one value that looks like an attack, with the defaults but for value", setting: "guards.waf.budget", guards: "    waf: {value: 1MiB}\n", request: posting(`{"a":"` + strings.Repeat("x' UNION SELECT word FROM words ", 4000) + `"}`), status: 413, code: "waf.too_many"},
		{what: "a sample for which the budget leaves nothing", setting: "guards.waf.over: sample", guards: "    waf: {budget: 1ms, over: sample}\n", request: posting(`{"a":"` + strings.Repeat("x' UNION SELECT word FROM words ", 1500) + `"}`), status: 413, code: "waf.too_many"},
		{what: "a file that is not what it says", request: func(s *stand) *http.Request { return s.put("image/gif", "#!/bin/sh\necho") }, status: 415, code: "upload.type"},
	}},
	{"The decision point", pointRows},
	{"The audit trail", []*row{
		{what: "the queue of records is full", setting: "trail.queue", trail: &trail.Options{Queue: 1}, before: flood, status: 503, code: "gateway.overloaded"},
		{what: "the disk is full and the answer waits for the record", setting: "trail.audit: strict", trail: &trail.Options{Audit: "strict"}, before: jammed, status: 503, code: "gateway.overloaded", called: true},
		{what: "the disk is full and records are queued", note: "from the next request on", setting: "trail.audit: default", before: func(s *stand) {
			jammed(s)
			for range 200 {
				w := httptest.NewRecorder()
				if s.serve(w, s.get("/things")); w.Code == 503 {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			s.t.Error("requests are served for two seconds though nothing can be recorded")
		}, status: 503, code: "gateway.overloaded"},
	}},
	{"The upstream", []*row{
		{what: "nobody listens", real: func(s *stand) string { return "http://" + freeport.Address(s.t) }, status: 502, code: "gateway.upstream_unreachable"},
		{what: "it closes the connection", real: raw(readHead), status: 502, code: "gateway.upstream_unreachable"},
		{what: "it answers rubbish", real: raw(func(c net.Conn) { readHead(c); _, _ = io.WriteString(c, "220 smtp ready\r\n") }), status: 502, code: "gateway.upstream_unreachable"},
		{what: "it does not answer in time", setting: "upstream.response_timeout", real: raw(func(c net.Conn) { readHead(c); _, _ = io.Copy(io.Discard, c) }), status: 504, code: "gateway.upstream_timeout"},
		{what: "its answer breaks off", real: raw(func(c net.Conn) {
			readHead(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"a\":\"b")
		}), status: 200, cut: true},
	}},
	{"The upstream's answer", []*row{
		{what: "it is not what the document says", setting: "guards.contract.responses: refuse", guards: refuseAnswers, upstream: answering(200, nil, `{"password":"x"}`), status: 502, code: "contract.response", called: true},
		{what: "it is larger than what is held", setting: "limits.response", server: "limits: {response: 1KiB}", guards: refuseAnswers, upstream: answering(200, nil, `{"a":"`+strings.Repeat("a", 2000)+`"}`), status: 502, code: "contract.response_unchecked", called: true},
		{what: "it is compressed", setting: "guards.contract.responses: refuse", guards: refuseAnswers, upstream: answering(200, map[string]string{"Content-Encoding": "gzip"}, zipped(`{"a":"b"}`)), status: 502, code: "contract.response_unchecked", called: true},
		{what: "it is compressed and fields are to be stripped", setting: "guards.contract.responses: strip", guards: stripAnswers, upstream: answering(200, map[string]string{"Content-Encoding": "gzip"}, zipped(`{"a":"b"}`)), status: 502, code: "contract.response_unchecked", called: true},
		{what: "it is not the JSON that it says", setting: "guards.contract.responses: strip", guards: stripAnswers, upstream: answering(200, nil, `oops`), status: 502, code: "contract.response_unchecked", called: true},
		{what: "it stops being JSON on its way", setting: "guards.contract.responses: strip", guards: stripAnswers, upstream: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/json")
			if _, err := io.WriteString(w, `{"a":"b"`); err != nil {
				return err
			}
			_, err := io.WriteString(w, ` oops`)
			return err
		}, status: 200, cut: true},
		{what: "it is an error that the document does not declare", setting: "guards.contract.responses: strip", guards: stripAnswers, upstream: answering(500, nil, `{"trace":"x"}`), status: 502, code: "contract.response", called: true},
		{what: "it switches protocols unasked", upstream: answering(101, nil, ""), status: 502, code: "gateway.upstream_unreachable", called: true},
		{what: "it has no list where the policy says which elements may pass", setting: "guards.authz.filters", guards: filtered, files: policy("decision := true\nfilter if input.row.a == 1"), upstream: answering(200, nil, `{"results":[{"a":2}]}`), status: 403, code: "authz.not_owner", called: true},
		{what: "it is no JSON, and the policy says which elements may pass", setting: "guards.authz.filters", guards: filtered, files: policy("decision := true\nfilter if input.row.a == 1"), upstream: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Content-Type", "application/xml")
			_, err := io.WriteString(w, "<items/>")
			return err
		}, status: 502, code: "contract.response_unchecked", called: true},
		{what: "it holds somebody else's object", setting: "guards.authz.policies", guards: policies, files: policy(`decision := {"allow": true, "obligations": {"answer": [{"at": "/a", "in": ["mine"]}]}}`), status: 403, code: "authz.not_owner", called: true},
	}},
	{"At the start", []*row{
		{what: "a setting that is not known", api: "  gaurds: {}\n", start: "gaurds"},
		{what: "the document cannot be read", files: map[string]string{"api.yaml": "openapi: [\n"}, start: "api.yaml"},
		{what: "a policy that does not compile", guards: policies, files: policy(`decision if`), start: "p.rego"},
		{what: "a policy that calls the network", guards: policies, files: policy(`decision if http.send({"method": "GET", "url": "http://169.254.169.254/"})`), start: "http.send"},
		{what: "an override that matches no operation", api: "  operations: [{operation: deleteEverything, roles: [admin]}]\n", start: "deleteEverything"},
		{what: "WAF rules that do not compile", guards: "    waf: {rules: [extra.conf]}\n", files: map[string]string{"extra.conf": "SecRule rubbish\n"}, start: "waf"},
		{what: "a key file that is broken", guards: "    authn: {methods: [{api_key: {file: keys.yaml}}]}\n", files: map[string]string{"keys.yaml": "- {id: a}\n"}, start: "keys.yaml"},
	}},
}

const bundled = "    authz: {bundles: [{name: b, url: b}]}\n"

// occupy keeps one request inside until the row has ended.
func occupy(s *stand) {
	inside, leave := make(chan bool), make(chan bool)
	handler := s.handler
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		r := s.post("")
		r.Body, r.ContentLength = io.NopCloser(blocking{inside, leave, new(atomic.Bool)}), -1
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-inside
	s.t.Cleanup(func() { close(leave); wg.Wait() })
}

// blocking is a body that says when it is read, and then waits.
type blocking struct {
	inside, leave chan bool
	told          *atomic.Bool
}

func (b blocking) Read([]byte) (int, error) {
	if b.told.CompareAndSwap(false, true) {
		b.inside <- true
	}
	<-b.leave
	return 0, io.EOF
}

// flood keeps the queue full until the row has ended.
func flood(s *stand) {
	stop := make(chan bool)
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := s.trail.Decide(s.t.Context(), &exchange.Decision{Type: "decision", ID: fmt.Sprint("flood-", i), Reason: strings.Repeat("x", 2000)}); err != nil {
					return
				}
			}
		}()
	}
	for s.trail.Admit() {
		s.trail.Complete(&exchange.Completion{Type: "completion", ID: "flood"})
	}
	s.t.Cleanup(func() { close(stop); wg.Wait() })
}
