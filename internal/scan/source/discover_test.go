package source_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/source"
)

const tinySpec = `{"openapi": "3.0.0", "info": {"title": "T", "version": "1"}, "servers": [{"url": "/v1"}], "paths": {"/a": {"get": {"responses": {"200": {"description": "ok"}}}}}}`

// site is a web site that answers what it is told to; asked are the addresses it was asked for.
type site struct {
	pages map[string]string // by address; "-> address" redirects
	asked []string
}

func (s *site) get(_ context.Context, address string) (*source.Answer, error) {
	s.asked = append(s.asked, address)
	page, ok := s.pages[address]
	switch {
	case !ok:
		return &source.Answer{Status: 404, Header: http.Header{}, Body: []byte("not found")}, nil
	case strings.HasPrefix(page, "-> "):
		return &source.Answer{Status: 302, Header: http.Header{"Location": {page[3:]}}}, nil
	}
	return &source.Answer{Status: 200, Header: http.Header{}, Body: []byte(page)}, nil
}

func TestDiscover(t *testing.T) {
	const at = "http://127.0.0.1:9000"
	for _, c := range []struct {
		name, from string
		pages      map[string]string
		found      string // address of the description
		others     []string
		most       int // addresses asked for, at most
	}{
		{"the description itself", at + "/x/openapi.json", map[string]string{at + "/x/openapi.json": tinySpec}, at + "/x/openapi.json", nil, 1},
		{"a well-known place", at, map[string]string{at + "/v3/api-docs": tinySpec}, at + "/v3/api-docs", nil, 3},
		{"below the address", at + "/shop/", map[string]string{at + "/shop/swagger.json": tinySpec}, at + "/shop/swagger.json", nil, 5},
		{"at the origin", at + "/shop", map[string]string{at + "/openapi.json": tinySpec}, at + "/openapi.json", nil, 100},
		{"a page of Swagger UI", at, map[string]string{at + "/docs": `<!DOCTYPE html><title>API</title><script>const ui = SwaggerUIBundle({ url: '/hidden/spec-7.json', dom_id: '#ui' })</script>`, at + "/hidden/spec-7.json": tinySpec}, at + "/hidden/spec-7.json", nil, 14},
		{"an initializer", at, map[string]string{at + "/swagger-ui/index.html": `<html><script src="./swagger-initializer.js"></script>`, at + "/swagger-ui/swagger-initializer.js": `window.ui = SwaggerUIBundle({ url: "../hidden.json" })`, at + "/hidden.json": tinySpec}, at + "/hidden.json", nil, 30},
		{"an embedded description", at, map[string]string{at + "/api-docs/": `<html><script src="./swagger-ui-init.js"></script>`, at + "/api-docs/swagger-ui-init.js": `window.onload = function() { var options = {"swaggerDoc": ` + tinySpec + `} }`}, at + "/api-docs/swagger-ui-init.js", nil, 30},
		{"several groups", at, map[string]string{at + "/v3/api-docs/swagger-config": `{"urls": [{"url": "/g/one.json", "name": "one"}, {"url": "/g/two.json", "name": "two"}]}`, at + "/g/one.json": tinySpec, at + "/g/two.json": tinySpec}, at + "/g/one.json", []string{at + "/g/two.json"}, 100},
		{"a redirect", at, map[string]string{at + "/docs": "-> /docs/v2/", at + "/docs/v2/": `<html><redoc spec-url="spec.yaml"></redoc>`, at + "/docs/v2/spec.yaml": "openapi: 3.0.0\ninfo: {title: T, version: '1'}\npaths: {/a: {get: {responses: {'200': {description: ok}}}}}\n"}, at + "/docs/v2/spec.yaml", nil, 14},
		{"an API catalog", at, map[string]string{at + "/.well-known/api-catalog": `{"linkset": [{"anchor": "` + at + `/api", "service-desc": [{"href": "` + at + `/deep/spec", "type": "application/yaml"}]}]}`, at + "/deep/spec": tinySpec}, at + "/deep/spec", nil, 120},
		{"a front page that answers everything", at, map[string]string{at: "<html>app", at + "/openapi.json": "<html>app", at + "/v3/api-docs": "<html>app", at + "/swagger.json": tinySpec}, at + "/swagger.json", nil, 5},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &site{pages: c.pages}
			r, err := source.Open(context.Background(), c.from, source.Options{Get: s.get})
			if err != nil {
				t.Fatalf("%v; asked for %q", err, s.asked)
			}
			if r.From != c.found || !slices.Equal(r.Others, c.others) {
				t.Errorf("found %s, others %q", r.From, r.Others)
			}
			if len(s.asked) > c.most || len(r.Probed) != len(s.asked) {
				t.Errorf("asked for %d addresses, at most %d are needed; %d are told", len(s.asked), c.most, len(r.Probed))
			}
			if r.API.Operations[0].Servers[0].Host != "127.0.0.1:9000" {
				t.Errorf("a relative server is at %+v", r.API.Operations[0].Servers)
			}
		})
	}
}

// TestScope: nothing elsewhere is asked for, whatever pages name.
func TestScope(t *testing.T) {
	const at = "http://127.0.0.1:9000"
	s := &site{pages: map[string]string{
		at + "/docs":         `<html><script>SwaggerUIBundle({ url: 'https://evil.example/openapi.json' })</script><link rel="service-desc" href="//evil.example/x">`,
		at + "/swagger":      "-> https://evil.example/",
		at + "/openapi.json": `{"openapi": "3.0.0", "info": {"title": "T", "version": "1"}, "paths": {"/a": {"$ref": "https://evil.example/path.json"}, "/b": {"get": {"responses": {"200": {"description": "ok"}}}}}}`,
	}}
	r, err := source.Open(context.Background(), at, source.Options{Get: s.get})
	if err != nil || r.From != at+"/openapi.json" {
		t.Fatalf("%v %v", r, err)
	}
	for _, a := range s.asked {
		if !strings.HasPrefix(a, at) {
			t.Errorf("asked for %s", a)
		}
	}
}

func TestNothingFound(t *testing.T) {
	s := &site{pages: map[string]string{}}
	_, err := source.Open(context.Background(), "http://127.0.0.1:9000", source.Options{Get: s.get})
	var none *source.NotFoundError
	if !errors.As(err, &none) || len(none.Probed) < 50 || !strings.Contains(err.Error(), "HAR") {
		t.Errorf("%v", err)
	}
	calls := 0
	_, err = source.Open(context.Background(), "http://127.0.0.1:9000", source.Options{Get: func(context.Context, string) (*source.Answer, error) {
		calls++
		return nil, errors.New("connection refused")
	}})
	if err == nil || !strings.Contains(err.Error(), "does not answer") || calls > 5 {
		t.Errorf("%v after %d calls", err, calls)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err = source.Open(ctx, "http://127.0.0.1:9000", source.Options{Get: func(ctx context.Context, _ string) (*source.Answer, error) { return nil, ctx.Err() }}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
