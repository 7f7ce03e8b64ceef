package bundle

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
)

// answer is what a place said to "is there news since etag?".
type answer struct {
	unchanged bool
	archive   []byte
	dir       string // a folder instead of an archive
	etag      string // of what there is now
	held      bool   // the place holds a question until there is news: ask again at once
}

// place is where a bundle is.
type place interface {
	// ask waits for no longer than ctx, and reads no more than the config's size.
	ask(ctx context.Context, etag string) (*answer, error)
	close()
}

const (
	maxRedirects = 3
	bundleType   = "application/vnd.openpolicyagent.bundles" // of a server that can hold a request
)

// server is a bundle on an HTTP server (OPA's bundle service API).
type server struct {
	cfg    *config.Bundle
	client *http.Client
	holds  bool // it has said that it can hold a request
}

func newServer(c *config.Bundle) (*server, error) {
	client, err := newClient(c)
	if err != nil {
		return nil, err
	}
	return &server{cfg: c, client: client, holds: c.LongPoll > 0}, nil
}

// newClient makes the HTTP client of one bundle: nothing is shared with others,
// neither connections nor credentials.
func newClient(c *config.Bundle) (*http.Client, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 2, IdleConnTimeout: 5 * time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		DisableCompression: true, // an archive is one already
		TLSClientConfig:    &tls.Config{MinVersion: tls.VersionTLS12},
	}
	if s := c.TLS; s != nil {
		t.TLSClientConfig.ServerName = s.Name
		if s.CA != "" {
			pem, err := os.ReadFile(s.CA)
			if err != nil {
				return nil, fmt.Errorf("reading tls.ca: %w", err)
			}
			t.TLSClientConfig.RootCAs = x509.NewCertPool()
			if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("tls.ca %s holds no certificate", s.CA)
			}
		}
		if s.Cert != "" {
			pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
			if err != nil {
				return nil, fmt.Errorf("loading tls.cert and tls.key: %w", err)
			}
			t.TLSClientConfig.Certificates = []tls.Certificate{pair}
		}
	}
	return &http.Client{Transport: t, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		switch {
		case len(via) > maxRedirects:
			return fmt.Errorf("more than %d redirects", maxRedirects)
		case via[0].URL.Scheme == "https" && r.URL.Scheme != "https":
			return errors.New("a redirect from https to the clear")
		}
		return nil
	}}, nil
}

func (s *server) close() { s.client.CloseIdleConnections() }

func (s *server) ask(ctx context.Context, etag string) (*answer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := s.cfg.Timeout
	prefer := "modes=snapshot,delta"
	if s.holds {
		wait += s.cfg.LongPoll
		prefer += ";wait=" + strconv.Itoa(int(s.cfg.LongPoll.Seconds()))
	}
	// The head may take as long as the server was told that it may; the body then
	// has the time of a download.
	late := time.AfterFunc(wait, cancel)
	defer late.Stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.cfg.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", err)
	}
	r.Header.Set("Prefer", prefer)
	r.Header.Set("User-Agent", "crenel")
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	if !s.cfg.Token.IsZero() {
		r.Header.Set("Authorization", "Bearer "+s.cfg.Token.Reveal())
	} else if b := s.cfg.Basic; b != nil {
		r.SetBasicAuth(b.User, b.Password.Reveal())
	}
	begin := time.Now()
	resp, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the server: %w", tooLate(err, begin, wait))
	}
	defer resp.Body.Close()
	late.Reset(s.cfg.Timeout)
	switch resp.StatusCode {
	case http.StatusNotModified:
		if etag == "" {
			return nil, errors.New("the server says that nothing has changed, to one who has nothing")
		}
		// Its head need not name the type: who held before holds again.
		return &answer{unchanged: true, etag: etag, held: s.holds}, nil
	case http.StatusOK:
		s.holds = s.cfg.LongPoll > 0 && strings.HasPrefix(resp.Header.Get("Content-Type"), bundleType)
	default:
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	if resp.ContentLength > int64(s.cfg.Size) {
		return nil, fmt.Errorf("the archive is %d bytes, more than size allows (%s)", resp.ContentLength, s.cfg.Size)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(s.cfg.Size)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("downloading: %w", tooLate(err, begin, wait))
	case int64(len(data)) > int64(s.cfg.Size):
		return nil, fmt.Errorf("the archive is more than size allows (%s)", s.cfg.Size)
	case len(data) == 0:
		return nil, errors.New("the server answered 200 with nothing in it")
	}
	return &answer{archive: data, etag: resp.Header.Get("ETag"), held: s.holds}, nil
}

// tooLate says so when an error is our own end of waiting. The address is left
// out: its query may be a key.
func tooLate(err error, begin time.Time, wait time.Duration) error {
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err
	}
	if errors.Is(err, context.Canceled) && time.Since(begin) >= wait {
		return fmt.Errorf("it took longer than %s", wait)
	}
	return err
}
