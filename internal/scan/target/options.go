package target

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Options are what the user said of the target. The zero value of each field but
// Target is a good one.
type Options struct {
	// Target is where the API is: scheme, host, port and base path
	// ("http://127.0.0.1:9000/api/v1").
	Target string
	// Also are further origins in scope ("https://login.example.com"): scheme, host
	// and port, each exactly.
	Also []string

	Workers     int           // requests in flight at once; 0: 16
	Rate        float64       // requests a second; 0: no bound
	MaxRequests int64         // over the whole run; 0: no bound
	MaxTime     time.Duration // of the whole run; 0: no bound
	Began       time.Time     // when its time began; zero: with New
	Timeout     time.Duration // of one request; 0: 20 s
	DialTimeout time.Duration // of one connection; 0: 10 s
	MaxBody     int64         // bytes of an answer's body that are kept; 0: 1 MiB
	// DownFor is how long the Client waits for a target that went away; 0: 60 s.
	DownFor time.Duration

	UserAgent string  // "" is "crenel-scan"
	Header    []Field // on each request that has none of that name, such as a run's id

	Proxy string // "http://127.0.0.1:8080" or "socks5://127.0.0.1:1080"; "" none (the environment is not read)

	CAFile     string // PEM: authorities to trust besides the system's
	Insecure   bool   // any certificate will do
	CertFile   string // PEM: client certificate, with KeyFile
	KeyFile    string
	ServerName string // for SNI and the certificate, in place of the host

	// Allow is asked before each request; what it returns is why not.
	Allow func(*Request) error
	// OnExchange is told of every exchange, in no order, by the goroutine that made it.
	OnExchange func(*Exchange)
}

// origin is scheme, host and port, and how to reach it.
type origin struct {
	scheme string
	addr   string // host:port
	host   string // for the Host header: without a port that is the scheme's own
	name   string // host alone
}

func (o *origin) String() string { return o.scheme + "://" + o.host }

// CheckAddress says what is wrong with the address of a target, nil when nothing is.
func CheckAddress(text string) error {
	_, _, err := parseOrigin(text)
	return err
}

// parseOrigin reads "scheme://host[:port][/base]".
func parseOrigin(text string) (*origin, string, error) {
	if !strings.Contains(text, "://") {
		return nil, "", fmt.Errorf("the address %q must begin with http:// or https://, as in http://%s", text, strings.TrimLeft(text, "/:"))
	}
	u, err := url.Parse(text)
	if err != nil {
		var why *url.Error
		if errors.As(err, &why) {
			err = why.Err // the address is not told twice
		}
		return nil, "", fmt.Errorf("the address %q cannot be read: %w", text, err)
	}
	var port string
	switch u.Scheme {
	case "http":
		port = "80"
	case "https":
		port = "443"
	default:
		return nil, "", fmt.Errorf("the address %q must begin with http:// or https://", text)
	}
	name := strings.ToLower(u.Hostname())
	if u.User != nil {
		return nil, "", fmt.Errorf("the address %q must be scheme, host, port and path alone: credentials belong into the configuration (actors.accounts.user.basic)", redactUserinfo(u))
	}
	if name == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, "", fmt.Errorf("the address %q must be scheme, host, port and path alone, as in http://127.0.0.1:9000/api", u)
	}
	o := &origin{scheme: u.Scheme, name: name}
	o.host = name
	if strings.Contains(name, ":") {
		o.host = "[" + name + "]"
	}
	if p := u.Port(); p != "" && p != port {
		o.host += ":" + p
		port = p
	}
	o.addr = net.JoinHostPort(name, port)
	return o, strings.TrimRight(u.EscapedPath(), "/"), nil
}

func redactUserinfo(u *url.URL) string {
	c := *u
	c.User = nil
	return c.String()
}

func (o *Options) defaults() {
	if o.Workers <= 0 {
		o.Workers = 16
	}
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 10 * time.Second
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 1 << 20
	}
	if o.Began.IsZero() {
		o.Began = time.Now()
	}
	if o.DownFor <= 0 {
		o.DownFor = time.Minute
	}
	if o.UserAgent == "" {
		o.UserAgent = "crenel-scan"
	}
}

func (o *Options) tls() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS10, // what is tested is the target, old or not
		//nolint:gosec // the user asked for it
		InsecureSkipVerify: o.Insecure,
		ServerName:         o.ServerName,
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
	if o.CAFile != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the authorities to trust: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM", o.CAFile)
		}
		c.RootCAs = pool
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("a client certificate needs both its file and its key's file")
	}
	if o.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("loading the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
