package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	caddycore "github.com/caddyserver/caddy/v2"

	_ "github.com/caddyserver/caddy/v2/modules/caddyevents"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
)

// answer is what the upstream answers to everything.
var answer = []byte(`{"id":17,"name":"` + strings.Repeat("n", 80) + `","note":"` + strings.Repeat("t", 380) + `"}`)

// serveUpstream is the API behind the gateway: it does next to nothing.
func serveUpstream(ctx context.Context, addr string) error {
	s := &http.Server{Addr: addr, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_, _ = io.Copy(io.Discard, r.Body) // a short body is seen by whoever sent it
		}
		h := w.Header()
		h["Content-Type"] = []string{"application/json"}
		h["Content-Length"] = []string{strconv.Itoa(len(answer))}
		_, _ = w.Write(answer)
	})}
	go func() {
		<-ctx.Done()
		_ = s.Close() // the run is over
	}()
	if err := s.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// serveCaddy is Caddy's reverse proxy as Crenel embeds it, with nothing of
// Crenel: what is compared with. Before it stand the handlers given.
func serveCaddy(ctx context.Context, addr, upstream string, before ...map[string]any) error {
	type object map[string]any
	handlers := make([]any, 0, len(before)+1)
	for _, h := range before {
		handlers = append(handlers, h)
	}
	handlers = append(handlers, object{
		"handler": "reverse_proxy", "upstreams": []object{{"dial": upstream}},
		"transport": object{"protocol": "http", "compression": false, "keep_alive": object{"max_idle_conns_per_host": 256}},
	})
	doc, err := json.Marshal(object{
		"admin":   object{"disabled": true, "config": object{"persist": false}},
		"logging": object{"logs": object{"default": object{"writer": object{"output": "discard"}, "level": "ERROR"}}},
		"apps": object{
			"tls": object{"disable_storage_clean": true, "disable_storage_check": true},
			"http": object{"servers": object{"bare": object{
				"listen": []string{addr}, "protocols": []string{"h1"}, "automatic_https": object{"disable": true},
				"routes": []object{{"handle": handlers}},
			}}},
		},
	})
	if err != nil {
		return err
	}
	caddycore.BufferedLog() // nothing of Caddy's start on standard error
	if err := caddycore.Load(doc, true); err != nil {
		return err
	}
	<-ctx.Done()
	return caddycore.Stop()
}
