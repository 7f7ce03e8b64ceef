package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/config"
)

// httpOrigin fetches a URL.
type httpOrigin struct {
	cfg *config.HTTPSource
	bounds
	client *http.Client
}

// tlsConfig reads authorities and a client certificate, where there are any.
func tlsConfig(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("reading authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading authorities: %s holds no certificate", ca)
		}
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("loading the client certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

func newHTTP(c *config.HTTPSource, b bounds) (*httpOrigin, error) {
	t, err := tlsConfig(c.CA, c.Cert, c.CertKey)
	if err != nil {
		return nil, err
	}
	return &httpOrigin{cfg: c, bounds: b, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: t, ForceAttemptHTTP2: true,
			MaxIdleConns: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		},
		// What may decide who may do what is read from where the config says.
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 3 || r.URL.Host != via[0].URL.Host || r.URL.Scheme != via[0].URL.Scheme {
				return errors.New("it redirects to another place: write that in the config")
			}
			return nil
		},
	}}, nil
}

func (o *httpOrigin) close() { o.client.CloseIdleConnections() }

func (o *httpOrigin) look(ctx context.Context, last *version, whole bool) (*version, error) {
	if !whole && o.cfg.Since != "" && last.mark != nil {
		return o.changes(ctx, last)
	}
	tag := ""
	if last != nil {
		tag = last.tag
	}
	resp, err := o.get(ctx, "", tag)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified && last != nil && tag != "" {
		return last, nil
	}
	d, body, err := o.body(ctx, resp)
	if err != nil {
		return nil, err
	}
	doc, mark, n, err := d.document(body)
	if err != nil {
		return nil, o.wrong(err)
	}
	return &version{doc: doc, mark: mark, tag: resp.Header.Get("ETag"), rows: n}, nil
}

// changes asks for what changed since the last cursor.
func (o *httpOrigin) changes(ctx context.Context, last *version) (*version, error) {
	resp, err := o.get(ctx, markText(last.mark), "")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	next := *last
	if resp.StatusCode == http.StatusNoContent {
		return &next, nil
	}
	d, body, err := o.body(ctx, resp)
	if err != nil {
		return nil, err
	}
	t := newChanges(o.cfg.Rows, o.bounds)
	t.mark = last.mark
	if err := d.rows(body, t); err != nil {
		return nil, o.wrong(err)
	}
	next.mark, next.tag = t.mark, ""
	if next.doc, err = t.apply(last.doc); err != nil {
		return nil, o.wrong(err)
	}
	return &next, nil
}

func markText(m any) string {
	switch m := m.(type) {
	case string:
		return m
	case json.Number:
		return string(m)
	}
	return fmt.Sprint(m)
}

// get asks; errors name the place but not the query, which may hold a key.
func (o *httpOrigin) get(ctx context.Context, since, tag string) (*http.Response, error) {
	u, err := url.Parse(o.cfg.URL)
	if err != nil {
		return nil, errors.New("the url does not parse")
	}
	if since != "" {
		q := u.Query()
		q.Set(o.cfg.Since, since)
		u.RawQuery = q.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the url does not parse")
	}
	r.Header.Set("Accept", "application/json, application/x-ndjson, text/csv;q=0.5")
	r.Header.Set("User-Agent", "crenel")
	if tag != "" {
		r.Header.Set("If-None-Match", tag)
	}
	if !o.cfg.Authorization.IsZero() {
		r.Header.Set("Authorization", o.cfg.Authorization.Reveal())
	}
	resp, err := o.client.Do(r)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, o.wrong(err)
	}
	switch {
	case resp.StatusCode == http.StatusOK, resp.StatusCode == http.StatusNotModified && tag != "", resp.StatusCode == http.StatusNoContent && since != "":
		return resp, nil
	}
	_ = resp.Body.Close() // nothing of it is used
	return nil, o.wrong(errors.New("it answers " + strconv.Itoa(resp.StatusCode)))
}

func (o *httpOrigin) wrong(err error) error {
	u, parseErr := url.Parse(o.cfg.URL)
	if parseErr != nil {
		return err
	}
	return fmt.Errorf("asking %s://%s%s: %w", u.Scheme, u.Host, u.Path, err)
}

// body is how to read an answer, and its text, decompressed and limited.
func (o *httpOrigin) body(ctx context.Context, resp *http.Response) (*text, io.Reader, error) {
	if resp.StatusCode != http.StatusOK {
		return nil, nil, o.wrong(errors.New("it answers " + strconv.Itoa(resp.StatusCode)))
	}
	d := &text{o.cfg.Rows, o.bounds, o.cfg.Format, o.cfg.Pointer}
	if d.format == "" {
		media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		switch {
		case err == nil && (media == "application/json" || strings.HasSuffix(media, "+json")):
			d.format = formatJSON
		case err == nil && (media == "application/x-ndjson" || media == "application/jsonl" || media == "application/ndjson"):
			d.format = formatNDJSON
		case err == nil && media == "text/csv":
			d.format = formatCSV
		default:
			return nil, nil, o.wrong(fmt.Errorf("its Content-Type %q is none of JSON, NDJSON and CSV: set format if it is", resp.Header.Get("Content-Type")))
		}
	}
	if resp.ContentLength > int64(o.cfg.MaxBytes) {
		return nil, nil, o.wrong(fmt.Errorf("its answer has %d bytes (max_bytes is %d)", resp.ContentLength, int64(o.cfg.MaxBytes)))
	}
	return d, &limited{r: resp.Body, left: int64(o.cfg.MaxBytes), most: int64(o.cfg.MaxBytes), done: ctx.Done()}, nil
}
