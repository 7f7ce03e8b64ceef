package scan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/source"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// maxDescription bounds the bytes of a description that is fetched.
const maxDescription = 64 << 20

// Describe reads what describes the API: the file or address that the options
// name, or, where they name none, what the target itself shows at well-known
// places. Whatever is fetched is fetched from the origin that the user named.
func Describe(ctx context.Context, o *Options) (*source.Result, error) {
	from := o.file(o.Spec)
	if from == "" {
		from = o.Target
	}
	if !strings.Contains(from, "://") {
		return source.Open(ctx, from, source.Options{MaxBytes: maxDescription, Origin: originOf(o.Target)})
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("reading the API description: %q is no address", from)
	}
	c, err := target.New(target.Options{
		Target: u.Scheme + "://" + u.Host, Workers: 1, Rate: o.Limits.Rate, Timeout: o.Limits.Timeout, MaxBody: maxDescription, DownFor: time.Second,
		Proxy: o.TLS.Proxy, CAFile: o.file(o.TLS.CAFile), CertFile: o.file(o.TLS.CertFile), KeyFile: o.file(o.TLS.KeyFile), Insecure: o.TLS.Insecure, ServerName: o.TLS.ServerName,
		UserAgent: "crenel-scan/" + o.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	who, err := o.readers(u)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the API description: %w", err), c.Close())
	}
	get := func(ctx context.Context, address string) (*source.Answer, error) {
		x, err := fetch(ctx, c, address, who.first)
		for i := 0; err == nil && (x.Status == http.StatusUnauthorized || x.Status == http.StatusForbidden) && i < len(who.others); i++ {
			if x, err = fetch(ctx, c, address, who.others[i]); err == nil && x.Status < 300 {
				who.first = who.others[i] // what it names is asked for as the same
			}
		}
		if err != nil {
			return nil, fmt.Errorf("fetching %s: %w", address, err)
		}
		return &source.Answer{Status: x.Status, Header: x.Header, Body: x.Body}, nil
	}
	res, err := source.Open(ctx, from, source.Options{Get: get, MaxBytes: maxDescription, Origin: originOf(o.Target)})
	if cerr := c.Close(); err == nil && cerr != nil {
		return nil, fmt.Errorf("reading the API description: %w", cerr)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return res, nil
}

// readers are who a description is fetched as.
type readers struct {
	first  *actor.Session   // nil: nobody
	others []*actor.Session // where the first may not have it
}

// readers gives credentials for the target's own origin alone: a description may
// lie anywhere.
func (o *Options) readers(at *url.URL) (*readers, error) {
	out := &readers{}
	home, err := url.Parse(o.Target)
	if err != nil || home.Scheme != at.Scheme || !strings.EqualFold(home.Host, at.Host) {
		return out, nil //nolint:nilerr // what is wrong with the target's address is told by who uses it
	}
	who := o.Actors
	who.Dir = o.Dir
	fixed, err := who.Fixed()
	if err != nil {
		return nil, err
	}
	if o.SpecAs != "" {
		out.first = fixed[o.SpecAs]
		return out, nil
	}
	for _, name := range slices.Concat([]string{actor.Admin, actor.User, actor.Peer}, slices.Sorted(maps.Keys(fixed))) {
		if s := fixed[name]; s != nil && len(out.others) < 3 && !slices.Contains(out.others, s) {
			out.others = append(out.others, s)
		}
	}
	return out, nil
}

func fetch(ctx context.Context, c *target.Client, address string, as *actor.Session) (*target.Exchange, error) {
	at, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q: %w", address, err)
	}
	path := at.EscapedPath()
	if path == "" {
		path = "/"
	}
	r := &target.Request{Method: "GET", Path: path, Query: at.RawQuery, Header: []target.Field{{Name: "Accept", Value: "application/json, application/yaml, text/html;q=0.9, */*;q=0.5"}}}
	if as != nil {
		as.Apply(r)
	}
	x, err := c.Do(ctx, "", r)
	if err != nil {
		return nil, err
	}
	return x, x.Err
}

// originOf is an address's scheme, host and port.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}
