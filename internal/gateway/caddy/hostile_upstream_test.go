package caddy_test

import (
	"bytes"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/gateway/caddy"
)

// One who knows a request on which the only server hangs up must not take it from
// everyone else.
func TestHangingUpDoesNotMarkTheOnlyServerDown(t *testing.T) {
	up := raw(t, func(c net.Conn) { readHead(c) })
	cfg := plain(t, up)
	gw := &passing{}
	p := start(t, cfg, gw)
	for range 5 {
		res, err := http.Get("http://" + cfg.Server.Listen[0])
		body(t, res, err)
		if gw.code() != "gateway.upstream_unreachable" {
			t.Fatalf("code %s", gw.code())
		}
	}
	if s := p.Upstreams(); s[0].Fails != 0 || !s[0].Healthy {
		t.Errorf("state %+v", s)
	}
}

func TestSwitchingProtocolsUnaskedIsNoSuccess(t *testing.T) {
	up := raw(t, func(c net.Conn) {
		readHead(c)
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
	})
	cfg := plain(t, up)
	gw := &passing{}
	start(t, cfg, gw)
	res, err := http.Get("http://" + cfg.Server.Listen[0])
	if got := body(t, res, err); res.StatusCode != 502 || gw.code() != "gateway.upstream_unreachable" || strings.Contains(got, "hello") {
		t.Errorf("%d %s %s", res.StatusCode, gw.code(), got)
	}
}

func TestTrailersOfAnswersAreNotPassedOn(t *testing.T) {
	for name, announced := range map[string]string{"announced": "Trailer: Set-Cookie\r\n", "unannounced": ""} {
		t.Run(name, func(t *testing.T) {
			up := raw(t, func(c net.Conn) {
				readHead(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"+announced+"\r\n2\r\n{}\r\n0\r\nSet-Cookie: a=b\r\n\r\n")
			})
			cfg := plain(t, up)
			start(t, cfg, &passing{})
			res, err := http.Get("http://" + cfg.Server.Listen[0])
			if got := body(t, res, err); got != "{}" || len(res.Trailer) > 0 || res.Header.Get("Trailer") != "" {
				t.Errorf("%q with trailers %v, header %v", got, res.Trailer, res.Header)
			}
		})
	}
}

// net/http quotes what an upstream sends out of turn: it may be anybody's data.
func TestStrayAnswersAreNotLogged(t *testing.T) {
	old, flags := stdlog.Writer(), stdlog.Flags()
	t.Cleanup(func() { stdlog.SetOutput(old); stdlog.SetFlags(flags) })
	var out bytes.Buffer
	p := caddy.New(caddy.Options{Log: slog.New(slog.NewTextHandler(&out, nil))})
	cfg := plain(t, echo(t).URL)
	if err := p.Load(cfg, &passing{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	stdlog.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=%v", "card 4111", nil)
	if got := out.String(); !strings.Contains(got, "Unsolicited response") || strings.Contains(got, "4111") {
		t.Errorf("logged %s", got)
	}
}
