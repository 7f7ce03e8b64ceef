package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

// triedFlags say a request, or the rest of one, on the command line: as curl does.
type triedFlags struct {
	file, method, body, as, tenant, claims, client string
	headers, roles, scopes                         []string
}

func (t *triedFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&t.file, "request", "", "the `file` that describes the request: JSON, or an HTTP request as it is sent")
	f.StringVarP(&t.method, "method", "X", "", "the request's `method`")
	f.StringArrayVarP(&t.headers, "header", "H", nil, "a header `field`, \"Name: value\"; may be repeated")
	f.StringVar(&t.body, "body", "", "the body, `JSON`, or @FILE")
	f.StringVar(&t.as, "as", "", "who calls: the verified `subject`")
	f.StringSliceVar(&t.roles, "role", nil, "a `role` of theirs; may be repeated")
	f.StringSliceVar(&t.scopes, "scope", nil, "a `scope` that they were granted; may be repeated")
	f.StringVar(&t.tenant, "tenant", "", "their `tenant`")
	f.StringVar(&t.claims, "claims", "", "their token's claims, a `JSON` object")
	f.StringVar(&t.client, "client-ip", "", "the client's `address`")
}

// read makes the request of the file, the URL and the flags; what a flag says
// comes before what the file does.
func (t *triedFlags) read(target string) (*triedRequest, error) {
	if t.file == "" && target == "" {
		return nil, usagef("which request? name the file with --request, or its path")
	}
	r := &triedRequest{Method: http.MethodGet}
	if t.file != "" {
		var err error
		if r, err = readTried(t.file); err != nil {
			return nil, err
		}
	}
	if target != "" {
		if err := r.aim(target); err != nil {
			return nil, err
		}
	}
	if t.method != "" {
		r.Method = t.method
	}
	for _, h := range t.headers {
		name, text, ok := strings.Cut(h, ":")
		if !ok {
			return nil, usagef("-H %q is not a header field: write \"Name: value\"", h)
		}
		r.header(name, strings.TrimSpace(text))
	}
	if t.body != "" {
		body := []byte(t.body)
		if path, isFile := strings.CutPrefix(t.body, "@"); isFile {
			var err error
			if body, err = os.ReadFile(path); err != nil {
				return nil, fmt.Errorf("reading the body: %w", err)
			}
		}
		r.Body = body
		if t.method == "" && r.Method == http.MethodGet {
			r.Method = http.MethodPost
		}
	}
	if t.client != "" {
		r.ClientIP = t.client
	}
	return r, t.identify(r)
}

// identify puts the caller that the flags name into the request.
func (t *triedFlags) identify(r *triedRequest) error {
	if t.as == "" && t.tenant == "" && t.claims == "" && len(t.roles)+len(t.scopes) == 0 {
		return nil
	}
	if r.Identity == nil {
		r.Identity = &triedIdentity{}
	}
	i := r.Identity
	if t.as != "" {
		i.Subject = t.as
	}
	if t.tenant != "" {
		i.Tenant = t.tenant
	}
	if len(t.roles) > 0 {
		i.Roles = t.roles
	}
	if len(t.scopes) > 0 {
		i.Scopes = t.scopes
	}
	if t.claims != "" {
		if err := json.Unmarshal([]byte(t.claims), &i.Claims); err != nil {
			return usagef("--claims is not a JSON object: %s", err)
		}
	}
	return nil
}

func (r *triedRequest) header(name, text string) {
	if strings.EqualFold(name, "Host") {
		r.Host = text
		return
	}
	if r.Headers == nil {
		r.Headers = map[string]string{}
	}
	r.Headers[textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))] = text
}

// aim takes a path or a whole URL.
func (r *triedRequest) aim(target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return usagef("%q is not a path or URL", target)
	}
	if u.Host != "" {
		r.Host = u.Host
	}
	r.Path = u.EscapedPath()
	if u.RawQuery != "" {
		r.Path += "?" + u.RawQuery
	}
	if !strings.HasPrefix(r.Path, "/") {
		return usagef("%q is not a path or URL: a path begins with a slash", target)
	}
	return nil
}

// readTried reads the file of a request: JSON, or HTTP as it is sent.
func readTried(path string) (*triedRequest, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the request: %w", err)
	}
	r := &triedRequest{Method: http.MethodGet}
	if !bytes.HasPrefix(bytes.TrimSpace(b), []byte("{")) {
		if err := r.readHTTP(b); err != nil {
			return nil, fmt.Errorf("reading the request %s: %w", path, err)
		}
		return r, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("reading the request %s: %w", path, err)
	}
	if !strings.HasPrefix(r.Path, "/") {
		return nil, fmt.Errorf("reading the request %s: path must begin with a slash", path)
	}
	return r, nil
}

// readHTTP reads a request as it is sent (RFC 9112): a request line, with or
// without the version, header fields, an empty line, the body. Lines that begin
// with # or // before the request line are comments, as editors' .http files have them.
func (r *triedRequest) readHTTP(b []byte) error {
	in := bufio.NewReader(bytes.NewReader(b))
	var line string
	for line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//") {
		text, err := in.ReadString('\n')
		line = strings.TrimSpace(text)
		if err != nil && line == "" {
			return errors.New("there is no request line: write GET /path, or a JSON object")
		}
	}
	words := strings.Fields(line)
	if len(words) < 2 || len(words) > 3 || len(words) == 3 && !strings.HasPrefix(words[2], "HTTP/") {
		return fmt.Errorf("%q is not a request line: write GET /path", line)
	}
	r.Method = words[0]
	if err := r.aim(words[1]); err != nil {
		return err
	}
	fields, err := textproto.NewReader(in).ReadMIMEHeader()
	if err != nil && err != io.EOF { //nolint:errorlint // textproto returns it as it is
		return fmt.Errorf("its header: %w", err)
	}
	for name, list := range fields {
		r.header(name, strings.Join(list, ", "))
	}
	body, err := io.ReadAll(in)
	if body = bytes.TrimSpace(body); len(body) > 0 {
		r.Body = body
	}
	return err
}
