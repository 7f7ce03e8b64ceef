package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
)

const benchDocument = `
openapi: 3.1.0
info: {title: t, version: "1"}
security: [{login: []}]
paths:
  /parcels/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
    get:
      operationId: getParcel
      parameters: [{name: expand, in: query, schema: {enum: [events, none]}}]
      responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Parcel"}}}}}
  /parcels:
    post:
      operationId: addParcel
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Parcel"}}}}
      responses: {"201": {description: made}}
components:
  securitySchemes: {login: {type: http, scheme: bearer}}
  schemas:
    Parcel:
      type: object
      required: [to, items]
      properties:
        to: {type: object, required: [name], properties: {name: {type: string, maxLength: 100}, street: {type: string}, city: {type: string}, zip: {type: string, pattern: "^[0-9]{5}$"}, country: {enum: [DE, FR, PL]}}}
        note: {type: string, maxLength: 500}
        express: {type: boolean}
        items:
          type: array
          items: {type: object, required: [sku], properties: {sku: {type: string, maxLength: 20}, count: {type: integer, minimum: 1}, weight: {type: number, minimum: 0}, tags: {type: array, items: {type: string}}}}
`

// nothing is a Trail that keeps nothing.
type nothing struct{}

func (nothing) Admit() bool                                      { return true }
func (nothing) Decide(context.Context, *exchange.Decision) error { return nil }
func (nothing) Complete(*exchange.Completion)                    {}

// sink is a ResponseWriter that costs next to nothing.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// body is a request body that can be read again.
type body struct{ bytes.Reader }

func (*body) Close() error { return nil }

// BenchmarkExchange is one exchange through contract, authn (the token is
// cached), authz and limit, and through the WAF as well where it says so. The
// upstream answers from memory, and the trail keeps nothing.
func BenchmarkExchange(b *testing.B) {
	document := fmt.Appendf(nil, "{\"to\":{\"name\":\"Ann Example\",\"street\":\"Long Street 5\",\"city\":\"Town\",\"zip\":\"12345\",\"country\":\"DE\"},\"note\":\"%s\",\"express\":true,\"items\":[%s]}",
		"please leave it with the neighbour when nobody is at home", items())
	for _, c := range []struct {
		name, waf, method, path string
		body                    []byte
	}{
		{"GET", "off", "GET", "/parcels/3f2504e0-4f89-11d3-9a0c-0305e82c3301?expand=events", nil},
		{"POST", "off", "POST", "/parcels", document},
		{"GET with WAF", "enforce", "GET", "/parcels/3f2504e0-4f89-11d3-9a0c-0305e82c3301?expand=events", nil},
		{"POST with WAF", "enforce", "POST", "/parcels", document},
	} {
		b.Run(c.name, func(b *testing.B) {
			g, token := benchGateway(b, c.waf)
			answer := []byte(`{"to":{"name":"Ann Example"},"items":[{"sku":"a","count":1}]}`)
			h := g.Handler(func(string) Upstream {
				return func(w http.ResponseWriter, r *http.Request) error {
					if r.Body != nil {
						if _, err := io.Copy(io.Discard, r.Body); err != nil {
							return err
						}
					}
					if c.method == "POST" {
						w.WriteHeader(201)
						return nil
					}
					w.Header()["Content-Type"] = jsonType
					w.WriteHeader(200)
					_, err := w.Write(answer)
					return err
				}
			})
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			var src body
			w := &sink{header: http.Header{}}
			header := http.Header{}
			auth, agent, accept := []string{"Bearer " + token}, []string{"bench/1.0"}, []string{"*/*"}
			begin := cpuTime(b)
			for b.Loop() {
				clear(w.header)
				clear(header)
				header["Authorization"], header["User-Agent"], header["Accept"] = auth, agent, accept
				r, err := http.NewRequest(c.method, c.path, nil)
				if err != nil {
					b.Fatal(err)
				}
				r.Host, r.RemoteAddr, r.RequestURI, r.Header = "api.test", "192.0.2.1:4711", c.path, header
				if c.body != nil {
					src.Reset(c.body)
					r.Body, r.ContentLength = &src, int64(len(c.body))
					header["Content-Type"] = jsonType
				}
				h.ServeHTTP(w, r)
				if w.status >= 300 {
					b.Fatalf("status %d", w.status)
				}
			}
			// Time on the processor says more than time on the wall where others share the machine.
			b.ReportMetric(float64(cpuTime(b)-begin)/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpuTime(b *testing.B) int64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

var jsonType = []string{"application/json"}

func items() string {
	s := ""
	for i := range 10 {
		if i > 0 {
			s += ","
		}
		s += fmt.Sprintf(`{"sku":"SKU-%06d","count":%d,"weight":%d.5,"tags":["fragile","blue"]}`, i*7919, i+1, i)
	}
	return s
}

func benchGateway(b *testing.B, waf string) (*Gateway, string) {
	b.Helper()
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "api.yaml"), []byte(benchDocument), 0o600); err != nil {
		b.Fatal(err)
	}
	const secret = "a-secret-of-the-benchmark-0123456789abcdef"
	b.Setenv("BENCH_SECRET", secret)
	cfg, err := config.Parse([]byte(`version: 1
apis:
- name: t
  spec: api.yaml
  upstream: {urls: ["http://up.test:1"]}
  guards:
    waf: {mode: "`+waf+`"}
    limit: {rates: [{by: address, rate: 10000000/s}, {by: identity, rate: 10000000/s}]}
    authn: {methods: [{jwt: {issuer: "https://issuer.test", secret: "${BENCH_SECRET}", audience: [bench]}}]}
`), filepath.Join(dir, "crenel.yaml"), config.Options{})
	if err != nil {
		b.Fatal(err)
	}
	g, err := New(context.Background(), cfg, Deps{Trail: nothing{}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = g.Close() })
	t, err := jwt.NewBuilder().Issuer("https://issuer.test").Audience([]string{"bench"}).Subject("alice").Expiration(time.Now().Add(time.Hour)).Build()
	if err != nil {
		b.Fatal(err)
	}
	signed, err := jwt.Sign(t, jwt.WithKey(jwa.HS256(), []byte(secret)))
	if err != nil {
		b.Fatal(err)
	}
	return g, string(signed)
}
