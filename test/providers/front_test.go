package providers_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/test/providers"
)

const fronted = `
openapi: 3.1.0
info: {title: Shop, version: "1"}
paths:
  /orders:
    get: {operationId: list, security: [{login: [read]}], responses: {"200": {description: ok}}}
    post:
      operationId: create
      security: [{login: [read]}]
      requestBody: {content: {application/json: {schema: {type: object, properties: {note: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /depot/{name}:
    get:
      operationId: depot
      security: [{certificate: []}]
      parameters: [{name: name, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
components:
  securitySchemes:
    login: {type: openIdConnect, openIdConnectUrl: "https://id.example.com"}
    certificate: {type: mutualTLS}
`

// A front is a product that is not ours, with the config that docs/gateways has for
// it, in front of a gateway with the config that stands there.
type front struct {
	*stand
	port     int        // of the front
	inside   *authority // of the front and the gateway, for each other
	clients  *authority
	outer    issued // the front's certificate for the world
	proxy    issued // and for the gateway
	provider *providers.Provider
	out      bytes.Buffer
}

// documented reads a file of docs/gateways, with what a reader would change
// changed: old, new, old, new. Each must be there.
func documented(t *testing.T, name string, changes ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../docs/gateways", name))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%s has no %q to change", name, changes[i])
		}
		text = strings.ReplaceAll(text, changes[i], changes[i+1])
	}
	return text
}

// program finds a front's program.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, at := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(at); err == nil {
			return found
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s: install Debian's package", name)
	}
	t.Skipf("SKIPPED: no %s here (Debian: apt-get install %[1]s)", name)
	return ""
}

// newFront runs a provider and the gateway; the front itself is started by launch.
func newFront(t *testing.T, format string) *front {
	t.Helper()
	f := &front{stand: newStand(t), port: freeport.Port(t), inside: newAuthority(t, "inside"), clients: newAuthority(t, "clients")}
	f.outer, f.proxy = f.servers.named("api", "api.example.com"), f.inside.client("proxy")
	ca := newAuthority(t, "provider")
	f.pool.AddCert(ca.cert)
	f.provider = boundTokens(t, ca, f.clients)
	own := f.inside.named("crenel", "crenel.internal")
	f.run(documented(t, "crenel.yaml",
		"127.0.0.1:8443", fmt.Sprintf("127.0.0.1:%d", f.stand.port), "tls/crenel.pem", own.cert, "tls/crenel.key", own.key, "tls/inside-ca.pem", f.inside.file,
		"tls/clients.pem", f.clients.file, "format: pem", "format: "+format, "http://127.0.0.1:9000", f.upstream(),
		`issuer: "https://id.example.com", audience: ["https://api.example.com"]`, fmt.Sprintf(`issuer: %q, ca: %q, audience: ["urn:pets"]`, f.provider.Issuer, ca.file),
	), map[string]string{"openapi.yaml": fronted})
	f.origin = fmt.Sprintf("https://api.example.com:%d", f.port)
	return f
}

// launch runs the front's program until the test ends and waits until it listens.
func (f *front) launch(name string, arguments ...string) {
	t := f.t
	t.Helper()
	cmd := exec.CommandContext(context.Background(), name, arguments...)
	cmd.Stdout, cmd.Stderr = &f.out, &f.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("%s said: %s", name, f.out.String())
		}
	})
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port))
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", name, f.out.String())
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen: %v", name, err)
		}
	}
}

// outside is a program outside, with a certificate or none.
func (f *front) outside(own *issued, http1 bool) *http.Client {
	c := f.caller(own, http1)
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", f.port))
	}
	return c
}

// around connects to the gateway itself, from an address of this machine.
func (f *front) around(own *issued, from string) *http.Client {
	c := f.caller(own, false)
	transport := c.Transport.(*http.Transport)
	transport.TLSClientConfig.ServerName = "crenel.internal"
	transport.TLSClientConfig.RootCAs = f.inside.pool
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", f.stand.port))
	}
	return c
}

// boundTokens is a provider whose tokens are bound to a client's certificate or key.
func boundTokens(t *testing.T, own, clients *authority) *providers.Provider {
	t.Helper()
	var set providers.TLS
	set.Cert, set.Key = own.server().pem(t)
	set.CA, _ = issued{cert: clients.file, key: clients.file}.pem(t)
	return providers.StartOIDC(t, providers.Spec{
		TLS: &set,
		Clients: []map[string]any{
			service("tills", map[string]any{"client_secret": nil, "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "O=Example\nCN=tills", "tls_client_certificate_bound_access_tokens": true}),
			service("plain", nil), service("keyed", map[string]any{"dpop_bound_access_tokens": true}),
		},
		Resources: map[string]providers.Resource{"urn:pets": {Scope: "read write"}},
	})
}

// holds is what must be so behind whatever stands in front.
func (f *front) holds(field string, forged func(issued) string) {
	t, p := f.t, f.provider
	t.Helper()
	tills, other := f.clients.client("tills"), f.clients.client("other")
	strangers := newAuthority(t, "strangers")
	stranger := strangers.client("tills")
	get := func(c *http.Client, path string, fields ...string) *answer {
		t.Helper()
		return f.ask(c, http.MethodGet, path, fields...)
	}
	plain := grant(t, f.caller(nil, false), p.Issuer, "plain", url.Values{"scope": {"read"}, "resource": {"urn:pets"}})
	_, out, _ := form(t, f.caller(&tills, false), p.Issuer+"/token", "", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "resource": {"urn:pets"}, "client_id": {"tills"}})
	bound, _ := out["access_token"].(string)
	if bound == "" {
		t.Fatalf("no bound token: %v", out)
	}
	for _, http1 := range []bool{false, true} {
		nobody, holder, someone := f.outside(nil, http1), f.outside(&tills, http1), f.outside(&other, http1)
		f.want("a bearer token", get(nobody, "/orders", "Authorization", "Bearer "+plain), http.StatusOK, "")
		f.want("none", get(nobody, "/orders"), http.StatusUnauthorized, "authn.missing")

		f.want("a certificate", get(holder, "/depot/a%20b"), http.StatusOK, "")
		if saw := f.seen(); saw.Get("X-Crenel-Subject") != "spiffe://example.org/tills" || saw.Get("X-Forwarded-For") != "127.0.0.1" || saw.Get("X-Forwarded-Proto") != "https" || saw.Get(field) != "" || saw.Get("Client-Cert") != "" {
			t.Errorf("the upstream saw %v", saw)
		}
		f.want("no certificate", get(nobody, "/depot/a"), http.StatusUnauthorized, "authn.missing")
		f.want("a bound token", get(holder, "/orders", "Authorization", "Bearer "+bound), http.StatusOK, "")
		f.want("with another's certificate", get(someone, "/orders", "Authorization", "Bearer "+bound), http.StatusUnauthorized, "authn.binding")
		f.want("with none", get(nobody, "/orders", "Authorization", "Bearer "+bound), http.StatusUnauthorized, "authn.binding")
		if got, err := f.try(f.outside(&stranger, http1), http.MethodGet, "/depot/a"); err == nil && got.status < http.StatusBadRequest {
			t.Errorf("a certificate of a strange authority: %d %s", got.status, got.body)
		}

		// What a client writes for the front is not the front's word.
		for name, value := range map[string]string{field: forged(tills), "Client-Cert": ":" + base64Of(tills.Leaf.Raw) + ":", "Ssl-Client-Cert": escaped(tills), strings.ReplaceAll(field, "-", "_"): forged(tills)} {
			f.want("a client's own "+name, get(nobody, "/depot/a", name, value), http.StatusUnauthorized, "authn.missing")
			f.want("a client's own "+name+" beside its token", get(nobody, "/orders", name, value, "Authorization", "Bearer "+bound), http.StatusUnauthorized, "authn.binding")
		}
		f.want("forwarded by the client", get(nobody, "/orders", "Authorization", "Bearer "+plain, "X-Forwarded-For", "192.0.2.66", "X-Forwarded-Host", "evil.example", "X-Forwarded-Prefix", "/x", "Forwarded", "for=192.0.2.66"), http.StatusOK, "")
		if saw := f.seen(); strings.Contains(fmt.Sprint(saw), "192.0.2.66") || strings.Contains(fmt.Sprint(saw), "evil.example") {
			t.Errorf("the upstream saw %v", saw)
		}
	}

	// A session's cookies are long, and pass.
	f.want("a long cookie", get(f.outside(nil, false), "/orders", "Authorization", "Bearer "+plain, "Cookie", "a="+strings.Repeat("x", 16<<10)), http.StatusOK, "")

	// A proof is for the address that the client called: the front's.
	owner := newHolder(t)
	_, out, _ = form(t, f.caller(nil, false), p.Issuer+"/token", "keyed", url.Values{"grant_type": {"client_credentials"}, "scope": {"read"}, "resource": {"urn:pets"}}, "DPoP", owner.proof(http.MethodPost, p.Issuer+"/token", "", nil))
	keyed, _ := out["access_token"].(string)
	f.want("a proof", get(f.outside(nil, false), "/orders", "Authorization", "DPoP "+keyed, "DPoP", owner.proof(http.MethodGet, f.origin+"/orders", keyed, nil)), http.StatusOK, "")
	f.want("a proof for the gateway's own address", get(f.outside(nil, false), "/orders", "Authorization", "DPoP "+keyed, "DPoP", owner.proof(http.MethodGet, fmt.Sprintf("https://api.example.com:%d/orders", f.stand.port), keyed, nil)), http.StatusUnauthorized, "authn.proof")

	// Around the front: only its certificate connects, and only its address is believed.
	proxy, another := f.proxy, f.inside.client("another service")
	for what, own := range map[string]*issued{"no certificate": nil, "a client's": &tills} {
		if got, err := f.try(f.around(own, "127.0.0.1"), http.MethodGet, "/depot/a", field, forged(tills)); err == nil {
			t.Errorf("around the front with %s: %d %s", what, got.status, got.body)
		}
	}
	f.want("around the front, from elsewhere", get(f.around(&another, "127.0.0.2"), "/depot/a", field, forged(tills)), http.StatusUnauthorized, "authn.issuer")
	f.want("the front's own certificate is nobody's", get(f.around(&proxy, "127.0.0.1"), "/depot/a"), http.StatusUnauthorized, "authn.missing")
	f.want("not verified by the front", get(f.around(&proxy, "127.0.0.1"), "/depot/a", field, forged(stranger)), http.StatusUnauthorized, "authn.invalid")
	f.want("twice", get(f.around(&proxy, "127.0.0.1"), "/depot/a", field, forged(tills), field, forged(other)), http.StatusUnauthorized, "authn.invalid")
	f.want("rubbish", get(f.around(&proxy, "127.0.0.1"), "/depot/a", field, "rubbish"), http.StatusUnauthorized, "authn.invalid")
}

// floods sends more than the front lets through of one address, and wants its word.
func (f *front) floods(most int) {
	t := f.t
	t.Helper()
	client := f.outside(nil, false)
	var mu sync.Mutex
	counts, refused := map[int]int{}, ""
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range most / 4 {
				got, err := f.try(client, http.MethodGet, "/orders")
				mu.Lock()
				switch {
				case err != nil:
					counts[-1]++
				default:
					counts[got.status]++
					if got.status == http.StatusTooManyRequests {
						refused = got.header.Get("Content-Type") + " " + got.body
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if counts[http.StatusTooManyRequests] == 0 || counts[http.StatusUnauthorized] == 0 || counts[-1] > 0 || !strings.HasPrefix(refused, "application/problem+json ") || !strings.Contains(refused, `"status":429`) {
		t.Errorf("a flood is answered with %v, the last refusal %q", counts, refused)
	}
	var problem map[string]any
	if err := json.Unmarshal([]byte(strings.TrimPrefix(refused, "application/problem+json ")), &problem); err != nil {
		t.Errorf("the refusal %q: %v", refused, err)
	}
}

func escaped(c issued) string {
	return url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Leaf.Raw})))
}

func structured(c issued) string { return ":" + base64Of(c.Leaf.Raw) + ":" }

// nginx with the documented config, and the client's certificate in both forms.
func TestBehindNginx(t *testing.T) {
	nginx := program(t, "nginx")
	t.Run("pem", func(t *testing.T) {
		f := newFront(t, "pem")
		f.nginx(nginx, "")
		f.holds("Ssl-Client-Cert", escaped)
		f.elsewhere()
		f.floods(400)
	})
	t.Run("rfc9440", func(t *testing.T) {
		const module = "/usr/lib/nginx/modules/ngx_http_js_module.so"
		if _, err := os.Stat(module); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal("no njs: install Debian's package libnginx-mod-http-js")
			}
			t.Skip("SKIPPED: no njs here (Debian: apt-get install libnginx-mod-http-js)")
		}
		f := newFront(t, "rfc9440")
		script, err := filepath.Abs("../../docs/gateways/crenel.js")
		if err != nil {
			t.Fatal(err)
		}
		f.nginx(nginx, "load_module "+module+";",
			"#js_import", "js_import", "/etc/nginx/crenel.js", script, "#js_set", "js_set",
			"proxy_set_header Ssl-Client-Cert ", "#proxy_set_header Ssl-Client-Cert ", "#proxy_set_header Client-Cert  ", "proxy_set_header Client-Cert  ")
		f.holds("Client-Cert", structured)
	})
}

// elsewhere is what nginx answers by itself: a name that it does not have, and a
// body that is too large for whoever is behind.
func (f *front) elsewhere() {
	t := f.t
	t.Helper()
	if conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", f.port), &tls.Config{ServerName: "other.example.com", RootCAs: f.pool}); err == nil {
		conn.Close()
		t.Error("a handshake for a name that nobody has")
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.origin+"/orders", bytes.NewReader(make([]byte, 33<<20)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := f.outside(nil, true).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusRequestEntityTooLarge || res.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(b), `"status":413`) {
		t.Errorf("a large body: %d %s %s %v", res.StatusCode, res.Header.Get("Content-Type"), b, err)
	}
}

// nginx starts it with the documented file in the place that it is for.
func (f *front) nginx(program, load string, changes ...string) {
	f.t.Helper()
	dir := f.t.TempDir()
	site := documented(f.t, "nginx.conf", append([]string{
		"listen 443 ", fmt.Sprintf("listen 127.0.0.1:%d ", f.port), "127.0.0.1:8443", fmt.Sprintf("127.0.0.1:%d", f.stand.port),
		"/etc/nginx/tls/api.pem", f.outer.cert, "/etc/nginx/tls/api.key", f.outer.key, "/etc/nginx/tls/clients.pem", f.clients.file,
		"/etc/nginx/tls/nginx.pem", f.proxy.cert, "/etc/nginx/tls/nginx.key", f.proxy.key, "/etc/nginx/tls/inside-ca.pem", f.inside.file,
	}, changes...)...)
	main := load + `
daemon off;
worker_processes 1;
pid ` + dir + `/nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path ` + dir + `/body;
    proxy_temp_path ` + dir + `/proxy;
    fastcgi_temp_path ` + dir + `/fastcgi;
    uwsgi_temp_path ` + dir + `/uwsgi;
    scgi_temp_path ` + dir + `/scgi;
    include ` + dir + `/crenel.conf;
}
`
	for name, text := range map[string]string{"crenel.conf": site, "nginx.conf": main} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	f.launch(program, "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
}

// HAProxy with the documented config; it writes RFC 9440's field by itself.
func TestBehindHAProxy(t *testing.T) {
	haproxy := program(t, "haproxy")
	f := newFront(t, "rfc9440")
	dir := t.TempDir()
	together := func(name string, c issued) string {
		cert, key := c.pem(t)
		at := filepath.Join(dir, name)
		f.clients.writeText(at, cert+key)
		return at
	}
	text := documented(t, "haproxy.cfg",
		"bind :443 ", fmt.Sprintf("bind 127.0.0.1:%d ", f.port), "127.0.0.1:8443", fmt.Sprintf("127.0.0.1:%d", f.stand.port),
		"/etc/haproxy/tls/api.pem", together("api.pem", f.outer), "/etc/haproxy/tls/clients.pem", f.clients.file,
		"/etc/haproxy/tls/inside-ca.pem", f.inside.file, "/etc/haproxy/tls/proxy.pem", together("proxy.pem", f.proxy))
	at := filepath.Join(dir, "haproxy.cfg")
	f.clients.writeText(at, text)
	f.launch(haproxy, "-db", "-f", at)
	f.holds("Client-Cert", structured)
	f.floods(400)
}
