package scan

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

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
		return source.Open(ctx, from, source.Options{MaxBytes: maxDescription})
	}
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("reading the API description: %q is no address", from)
	}
	c, err := target.New(target.Options{
		Target: u.Scheme + "://" + u.Host, Workers: 1, Rate: o.Limits.Rate, Timeout: o.Limits.Timeout, MaxBody: maxDescription, DownFor: time.Second,
		Proxy: o.TLS.Proxy, CAFile: o.file(o.TLS.CAFile), CertFile: o.file(o.TLS.CertFile), KeyFile: o.file(o.TLS.KeyFile), Insecure: o.TLS.Insecure,
		UserAgent: "crenel-scan/" + o.Version,
	})
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	get := func(ctx context.Context, address string) (*source.Answer, error) {
		at, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("fetching %s: %w", address, err)
		}
		path := at.EscapedPath()
		if path == "" {
			path = "/"
		}
		x, err := c.Do(ctx, "", &target.Request{Method: "GET", Path: path, Query: at.RawQuery, Header: []target.Field{{Name: "Accept", Value: "application/json, application/yaml, text/html;q=0.9, */*;q=0.5"}}})
		if err != nil {
			return nil, fmt.Errorf("fetching %s: %w", address, err)
		}
		if x.Err != nil {
			return nil, fmt.Errorf("fetching %s: %w", address, x.Err)
		}
		return &source.Answer{Status: x.Status, Header: x.Header, Body: x.Body}, nil
	}
	res, err := source.Open(ctx, from, source.Options{Get: get, MaxBytes: maxDescription})
	if cerr := c.Close(); err == nil && cerr != nil {
		return nil, fmt.Errorf("reading the API description: %w", cerr)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTarget, err)
	}
	return res, nil
}
