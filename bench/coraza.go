package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strings"

	caddycore "github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	txhttp "github.com/corazawaf/coraza/v3/http"
)

// plainCoraza is Coraza as a handler of Caddy, as one would write it: its own
// middleware around whatever comes next, with nothing of Crenel.
type plainCoraza struct{ waf coraza.WAF }

var (
	_ caddycore.Provisioner       = (*plainCoraza)(nil)
	_ caddyhttp.MiddlewareHandler = (*plainCoraza)(nil)
)

func (*plainCoraza) CaddyModule() caddycore.ModuleInfo {
	return caddycore.ModuleInfo{ID: "http.handlers.bench_coraza", New: func() caddycore.Module { return new(plainCoraza) }}
}

func (h *plainCoraza) Provision(caddycore.Context) error {
	cfg := coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(wafDirectives)
	files, err := fs.ReadDir(coreruleset.FS, ruleFolder)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "REQUEST-") {
			cfg = cfg.WithDirectives("Include " + ruleFolder + "/" + f.Name())
		}
	}
	h.waf, err = coraza.NewWAF(cfg)
	return err
}

func (h *plainCoraza) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) (err error) {
	txhttp.WrapHandler(h.waf, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err = next.ServeHTTP(w, r)
	})).ServeHTTP(w, r)
	return err
}

func serveCoraza(ctx context.Context, addr, upstream string) error {
	caddycore.RegisterModule(new(plainCoraza))
	return serveCaddy(ctx, addr, upstream, map[string]any{"handler": "bench_coraza"})
}

// refusesAttack tries whether a target inspects at all.
func refusesAttack(ctx context.Context, t target, host string) error {
	attack := []byte(`{"reference":"ref-000001","title":"a","text":"x' UNION SELECT password FROM users--","owner":"a@example.com"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.url+"/v1/notes", bytes.NewReader(attack))
	if err != nil {
		return err
	}
	req.Host = host
	req.Header = http.Header{"Authorization": {token(0)}, "Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"bench/1"}}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = res.Body.Close() // nothing of it is read
	if res.StatusCode != http.StatusForbidden {
		return fmt.Errorf("%s answers an attack with %s", t.name, res.Status)
	}
	return nil
}
