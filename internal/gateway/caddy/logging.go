package caddy

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	caddycore "github.com/caddyserver/caddy/v2"
	"go.uber.org/zap/zapcore"
)

func init() { caddycore.RegisterModule(&logCore{}) }

// logCore passes Caddy's log on to the operator's. What Caddy calls information
// is detail to whoever runs Crenel.
type logCore struct {
	Plane string `json:"plane"`

	log    *slog.Logger
	fields []zapcore.Field
}

var (
	_ zapcore.Core          = (*logCore)(nil)
	_ caddycore.Provisioner = (*logCore)(nil)
)

// CaddyModule names the module.
func (*logCore) CaddyModule() caddycore.ModuleInfo {
	return caddycore.ModuleInfo{ID: "caddy.logging.cores.crenel", New: func() caddycore.Module { return new(logCore) }}
}

// Provision finds the Plane whose log it is.
func (c *logCore) Provision(caddycore.Context) error {
	p, err := planeOf(c.Plane)
	if err != nil {
		return err
	}
	c.log = p.log
	return nil
}

// Enabled leaves filtering to Caddy's level and to slog.
func (c *logCore) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), slogLevel(l))
}

// With returns a core that adds fields to each entry.
func (c *logCore) With(fields []zapcore.Field) zapcore.Core {
	next := *c
	next.fields = append(append([]zapcore.Field(nil), c.fields...), fields...)
	return &next
}

// Check adds the core to an entry that it takes.
func (c *logCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

// Write logs one entry. The request, with its headers, is left out: it may hold
// credentials.
func (c *logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	enc := zapcore.NewMapObjectEncoder()
	for _, list := range [][]zapcore.Field{c.fields, fields} {
		for _, f := range list {
			if f.Key != "request" && f.Key != "resp_headers" && f.Key != "headers" {
				f.AddTo(enc)
			}
		}
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields)+1)
	attrs = append(attrs, slog.String("component", "caddy."+e.LoggerName))
	for k, v := range enc.Fields {
		if err, ok := v.(error); ok {
			v = err.Error()
		}
		attrs = append(attrs, slog.String(k, fmt.Sprint(v)))
	}
	c.log.LogAttrs(context.Background(), slogLevel(e.Level), e.Message, attrs...)
	return nil
}

// Sync has nothing to flush.
func (c *logCore) Sync() error { return nil }

func slogLevel(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// stdLog takes what libraries write with package log, in place of Caddy's own
// redirection. net/http quotes there what an upstream sent out of turn, which may
// be anybody's data: that part is left out.
type stdLog struct{ log *slog.Logger }

func (w stdLog) Write(p []byte) (int, error) {
	text, _, _ := strings.Cut(strings.TrimSpace(string(p)), " starting with ")
	w.log.Warn(text, "component", "std")
	return len(p), nil
}
