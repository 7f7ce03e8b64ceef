package state_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/freeport"
	"github.com/crenel-project/crenel/internal/state"
	"github.com/crenel-project/crenel/internal/state/statetest"
)

// authority makes certificates.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, dir: t.TempDir(), key: key}
	a.cert = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, Subject: pkix.Name{CommonName: "test authority"}}, &key.PublicKey, "ca")
	return a
}

func (a *authority) sign(c *x509.Certificate, pub *ecdsa.PublicKey, name string) *x509.Certificate {
	a.t.Helper()
	a.n++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.n), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".pem", "CERTIFICATE", der)
	out, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return out
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// issue makes a certificate and its key, NAME.pem and NAME.key, for a host's name or address.
func (a *authority) issue(name, host string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	a.sign(c, &key.PublicKey, name)
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".key", "EC PRIVATE KEY", der)
}

// config is a client's, with a certificate unless name is "".
func (a *authority) config(name string) *tls.Config {
	a.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	c := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if name != "" {
		pair, err := tls.LoadX509KeyPair(a.path(name+".pem"), a.path(name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c
}

// serveTLS starts a server that speaks TLS alone, wants client certificates, and
// knows one user, whose rights are those that the operator's page names.
func serveTLS(t testing.TB, a *authority) *server {
	t.Helper()
	a.issue("server", "127.0.0.1")
	users := a.path("users.acl")
	if err := os.WriteFile(users, []byte(nobody+"\n"+acl("p")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, path: binary(t), dir: t.TempDir(), port: strconv.Itoa(freeport.Port(t))}
	s.whole = []string{
		"--port", "0", "--tls-port", s.port, "--bind", "127.0.0.1", "--dir", s.dir, "--save", "", "--aclfile", users,
		"--tls-cert-file", a.path("server.pem"), "--tls-key-file", a.path("server.key"), "--tls-ca-cert-file", a.path("ca.pem"), "--tls-auth-clients", "yes",
	}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func TestTLSConformance(t *testing.T) {
	a := newAuthority(t)
	s := serveTLS(t, a)
	a.issue("gateway", "gateway.test")
	var n atomic.Int64
	statetest.Run(t, func(testing.TB) statetest.Shared {
		return named{state.RedisOptions{
			URL: "rediss://127.0.0.1:" + s.port, TLS: a.config("gateway"), Username: "gateway", Password: "password-of-the-gateway",
			Prefix: fmt.Sprint("p-conformance-", n.Add(1)), Timeout: 500 * time.Millisecond,
		}}
	})
}

// Who is not whom they should be, on either side, is not spoken to.
func TestTLSWrong(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	s := serveTLS(t, a)
	a.issue("gateway", "gateway.test")
	other.issue("gateway", "gateway.test")
	right := state.RedisOptions{URL: "rediss://127.0.0.1:" + s.port, TLS: a.config("gateway"), Username: "gateway", Password: "password-of-the-gateway", Prefix: "p", Timeout: 200 * time.Millisecond}
	if err := openRedis(t, right).Ready(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*state.RedisOptions){
		"the server's authority is not trusted": func(o *state.RedisOptions) { o.TLS = other.config("gateway") },
		"the system's authorities":              func(o *state.RedisOptions) { o.TLS = nil },
		"the server has another name":           func(o *state.RedisOptions) { o.TLS = o.TLS.Clone(); o.TLS.ServerName = "redis.test" },
		"no client certificate":                 func(o *state.RedisOptions) { o.TLS = a.config("") },
		"the client's of another authority": func(o *state.RedisOptions) {
			o.TLS = a.config("")
			o.TLS.Certificates = other.config("gateway").Certificates
		},
		"in the clear":       func(o *state.RedisOptions) { o.URL, o.TLS = "redis://127.0.0.1:"+s.port, nil },
		"no password":        func(o *state.RedisOptions) { o.Username, o.Password = "", "" },
		"the wrong password": func(o *state.RedisOptions) { o.Password = "guess" },
		"another user":       func(o *state.RedisOptions) { o.Username = "default" },
	} {
		t.Run(name, func(t *testing.T) {
			o := right
			change(&o)
			r := openRedis(t, o)
			if err := r.Ready(); err == nil || strings.Contains(err.Error(), "guess") || strings.Contains(err.Error(), "password-of") {
				t.Errorf("Ready says %v", err)
			}
			if _, err := r.First(t.Context(), "k", time.Minute); err == nil {
				t.Error("a mark is answered")
			}
			if _, err := r.View(t.Context(), "set"); err == nil {
				t.Error("a view is given")
			}
		})
	}
	o := right
	o.Prefix = "others" // which the user may not touch
	if _, err := openRedis(t, o).First(t.Context(), "k", time.Minute); err == nil {
		t.Error("a mark is made where the user has no rights")
	}
}

// Sentinel and cluster with TLS differ from one server only in how it is named.
func TestConnectRefuses(t *testing.T) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	for name, o := range map[string]state.RedisOptions{
		"two ways":                {URL: "redis://h:1", Cluster: []string{"redis://h:1"}},
		"sentinels and a cluster": {Sentinel: &state.Sentinel{Master: "m", Addresses: []string{"redis://h:1"}}, Cluster: []string{"redis://h:1"}},
		"no master":               {Sentinel: &state.Sentinel{Addresses: []string{"redis://h:1"}}},
		"no sentinel":             {Sentinel: &state.Sentinel{Master: "m"}},
		"some with TLS":           {Cluster: []string{"redis://h:1", "rediss://h:2"}},
		"TLS for none":            {Cluster: []string{"redis://h:1"}, TLS: config},
		"TLS for no sentinel":     {Sentinel: &state.Sentinel{Master: "m", Addresses: []string{"redis://h:1"}}, TLS: config},
		"no port":                 {Cluster: []string{"redis://h"}},
		"no host":                 {Cluster: []string{"redis://:6379"}},
		"a database":              {Cluster: []string{"redis://h:1/2"}},
		"credentials":             {Cluster: []string{"redis://u:secret@h:1"}},
		"no scheme":               {Cluster: []string{"h:1"}},
		"a socket":                {Cluster: []string{"unix:///run/redis.sock"}},
	} {
		r, err := state.OpenRedis(o)
		if err == nil {
			_ = r.Close()
			t.Errorf("%s: was taken", name)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
