package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/gateway"
)

// Tracer makes one OpenTelemetry span of each sampled exchange, with an event for
// each step that ran, and passes the trace on to the upstream (W3C Trace Context).
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	carry    propagation.TraceContext
}

var _ gateway.Tracer = (*Tracer)(nil)

// NewTracer starts the exporter, or returns nil when tracing is off.
func NewTracer(ctx context.Context, c config.Tracing, version string) (*Tracer, error) {
	if c.Endpoint == "" {
		return nil, nil //nolint:nilnil // off is no error
	}
	endpoint, err := url.Parse(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("tracing.endpoint: %w", err)
	}
	if endpoint.Path == "" || endpoint.Path == "/" {
		endpoint.Path = "/v1/traces" // where the OTLP specification puts it
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(endpoint.String()), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("starting the trace exporter: %w", err)
	}
	// A client's trace is continued, but whether it is sampled is for us to say:
	// else anybody could have every request of theirs traced.
	ratio := sdktrace.TraceIDRatioBased(c.Sample)
	t := &Tracer{provider: sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter),
		sdktrace.WithSampler(sdktrace.ParentBased(ratio, sdktrace.WithRemoteParentSampled(ratio), sdktrace.WithRemoteParentNotSampled(ratio))),
		sdktrace.WithResource(resource.NewSchemaless(attribute.String("service.name", "crenel"), attribute.String("service.version", version))),
	)}
	t.tracer = t.provider.Tracer("github.com/crenel-project/crenel")
	return t, nil
}

// Start begins an exchange's span and writes its context into the request's
// header, so that the upstream's spans hang below it.
func (t *Tracer) Start(r *http.Request, x *exchange.Exchange) (end func(d *exchange.Decision, c *exchange.Completion)) {
	carrier := propagation.HeaderCarrier(r.Header)
	ctx := t.carry.Extract(r.Context(), carrier)
	ctx, span := t.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(x.Start))
	t.carry.Inject(ctx, carrier)
	if !span.IsRecording() {
		return func(*exchange.Decision, *exchange.Completion) { span.End() }
	}
	return func(d *exchange.Decision, c *exchange.Completion) {
		span.SetAttributes(
			attribute.String("http.request.method", x.Request.Method),
			attribute.String("server.address", x.Request.Host),
			attribute.String("client.address", x.Client.String()),
			attribute.Int("http.response.status_code", c.Status),
			attribute.String("crenel.api", x.API),
			attribute.String("crenel.request_id", x.ID),
		)
		if x.Operation != nil {
			span.SetName(x.Request.Method + " " + x.Operation.Path)
			span.SetAttributes(attribute.String("http.route", x.Operation.Path), attribute.String("crenel.operation", x.Operation.ID))
		}
		if d != nil && d.Code != "" {
			span.SetAttributes(attribute.String("crenel.code", d.Code), attribute.String("crenel.guard", d.Guard))
		}
		if c.Status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		for i := range x.Rulings {
			r := &x.Rulings[i]
			span.AddEvent(r.Guard, trace.WithAttributes(
				attribute.String("phase", r.Phase.String()), attribute.String("mode", r.Mode),
				attribute.String("action", r.Verdict.Action.String()), attribute.String("code", r.Verdict.Code),
				attribute.Int64("nanoseconds", r.Duration.Nanoseconds()),
			))
		}
		span.End()
	}
}

// Close sends what waits and stops the exporter.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("stopping the trace exporter: %w", err)
	}
	return nil
}
