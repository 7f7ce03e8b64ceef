package scan

import (
	"context"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/scantest"
)

// Through a proxy that reads what passes, bytes cannot be sent as they are: the check
// that wants to cannot tell anything, and those after it run all the same.
func TestThroughAProxy(t *testing.T) {
	api := httptest.NewServer(&scantest.Notes{Open: true})
	defer api.Close()
	var passed atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) { passed.Add(1) }})
	defer proxy.Close()
	spec := filepath.Join(t.TempDir(), "api.yaml")
	if err := os.WriteFile(spec, []byte(scantest.Spec), 0o600); err != nil {
		t.Fatal(err)
	}
	o := &Options{Spec: spec, Target: api.URL, Seed: 1, Checks: []string{"request-smuggling", "bola-read"}, TLS: TLS{Proxy: proxy.URL}}
	res, err := Run(context.Background(), o, Events{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Report.Ended != "" || passed.Load() < res.Report.Stats.Requests {
		t.Errorf("ended: %q; %d of %d requests through the proxy", res.Report.Ended, passed.Load(), res.Report.Stats.Requests)
	}
	if f := find(res.Report, "bola-read"); f == nil || !told(res.Report, "request-smuggling could not tell anything: ") {
		t.Errorf("finding: %v; problems: %+v", f, res.Report.Problems)
	}
	proxy.Close()
	res, err = Run(context.Background(), o, Events{})
	if err == nil || res == nil || !strings.Contains(res.Report.Doctor[len(res.Report.Doctor)-2].Advice+res.Report.Doctor[0].Advice, "start the proxy") {
		t.Errorf("%v: %+v", err, res.Report.Doctor)
	}
}
