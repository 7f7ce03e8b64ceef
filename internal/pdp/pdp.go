package pdp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/authn/apikey"
	"github.com/crenel-project/crenel/internal/guard/authz"
	"github.com/crenel-project/crenel/internal/value"
)

// Trail is where the records of questions go.
type Trail interface {
	Admit() bool
	Decide(ctx context.Context, d *exchange.Decision) error
	Complete(c *exchange.Completion)
}

// Options are what a decision point is made from.
type Options struct {
	Config config.DecisionPoint
	// Policies returns the authz guard of an API as it is now; nil when there is none.
	Policies func(api string) *authz.Guard
	Trail    Trail
	Version  string
	Log      *slog.Logger
	Now      func() time.Time // default time.Now
}

// Handler answers questions. It is immutable and safe for concurrent use.
type Handler struct {
	cfg      config.DecisionPoint
	keys     *apikey.Verifier
	clients  map[string]*client
	policies func(api string) *authz.Guard
	trail    Trail
	version  string
	log      *slog.Logger
	now      func() time.Time
	room     chan struct{}
	values   value.Limits
}

type client struct {
	config.DecisionClient
	data [][]string // paths that may be asked for; an empty one is all data
}

// New reads the key file and compiles who may ask what.
func New(o Options) (*Handler, error) {
	h := &Handler{
		cfg: o.Config, clients: map[string]*client{}, policies: o.Policies, trail: o.Trail, version: o.Version, log: o.Log, now: o.Now,
		room: make(chan struct{}, max(o.Config.Concurrent, 1)), values: value.Limits{Depth: o.Config.Depth}.WithDefaults(),
	}
	if h.now == nil {
		h.now = time.Now
	}
	f, err := apikey.Load(o.Config.Keys)
	if err != nil {
		return nil, fmt.Errorf("decision_point: %w", err)
	}
	if h.keys, err = apikey.NewVerifier(f.Keys); err != nil {
		return nil, fmt.Errorf("decision_point: %w", err)
	}
	for _, c := range o.Config.Clients {
		one := &client{DecisionClient: c}
		for _, path := range c.Data {
			one.data = append(one.data, split(path))
		}
		h.clients[c.Subject] = one
	}
	return h, nil
}

func split(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// may reports whether the client may ask for a document.
func (c *client) may(path []string) bool {
	return slices.ContainsFunc(c.data, func(own []string) bool {
		return len(path) >= len(own) && slices.Equal(path[:len(own)], own)
	})
}

// question is one request on its way.
type question struct {
	h        *Handler
	w        http.ResponseWriter
	r        *http.Request
	api      string
	path     string // behind the API's name
	client   *client
	guard    *authz.Guard
	x        exchange.Exchange
	rulings  []exchange.RecordedRuling
	key      *apikey.Key
	begin    time.Time
	bytesIn  int64
	endpoint string // "data" or "authzen"
}

// failure is why a question was not answered. What a client is told never says
// more than message.
type failure struct {
	code    string // of internal/exchange
	message string
	why     error // for the record; may be nil
}

func (f *failure) Error() string { return f.message }

func fail(code, format string, args ...any) *failure {
	return &failure{code: code, message: fmt.Sprintf(format, args...)}
}

// answer is what a question is answered with.
type answer struct {
	body any
}

// ServeHTTP answers one question.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &question{h: h, w: w, r: r, begin: h.now()}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if id := r.Header.Get("X-Request-ID"); id != "" && len(id) <= 128 && printable(id) {
		w.Header().Set("X-Request-ID", id) // AuthZEN 1.0: request identification
	}
	if r.URL.Path == "/health" && r.Method == http.MethodGet {
		q.health()
		return
	}
	if strings.HasPrefix(r.URL.Path, wellKnown) {
		q.metadata()
		return
	}
	if !h.trail.Admit() {
		q.write(http.StatusServiceUnavailable, q.problem(fail("decision.unavailable", "the audit queue is full")))
		return
	}
	q.x.ID = newID()
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.Timeout)
	defer cancel()
	a, f := q.answer(ctx)
	q.finish(ctx, a, f)
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x21 || r > 0x7e })
}

func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

// answer does everything up to the answer, and returns it or why there is none.
func (q *question) answer(ctx context.Context) (a *answer, f *failure) {
	defer func() {
		if p := recover(); p != nil {
			q.h.log.Error("decision point panicked", "request_id", q.x.ID, "panic", fmt.Sprint(p))
			a, f = nil, fail("decision.failed", "internal error")
		}
	}()
	q.route()
	if f := q.identify(); f != nil {
		return nil, f
	}
	select {
	case q.h.room <- struct{}{}:
		defer func() { <-q.h.room }()
	default:
		return nil, fail("decision.unavailable", "too many questions at once")
	}
	switch {
	case q.endpoint == "data":
		return q.data(ctx)
	case q.endpoint == "authzen":
		return q.authzen(ctx)
	}
	return nil, fail("decision.not_found", "there is nothing at this path")
}

// route finds what is asked: /v1/data/… or /access/v1/…, of the API that
// /apis/NAME before it names, else of the client's first.
func (q *question) route() {
	q.path = q.r.URL.EscapedPath()
	if rest, ok := strings.CutPrefix(q.path, "/apis/"); ok {
		q.api, q.path, _ = strings.Cut(rest, "/")
		q.path = "/" + q.path
	}
	switch {
	case q.path == "/v1/data" || strings.HasPrefix(q.path, "/v1/data/"):
		q.endpoint = "data"
	case strings.HasPrefix(q.path, "/access/v1/"):
		q.endpoint = "authzen"
	}
}

// identify finds out who asks, and whether they may ask this API's policies.
func (q *question) identify() *failure {
	scheme, text, _ := strings.Cut(q.r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(q.r.Header["Authorization"]) != 1 || len(text) > 1024 {
		return fail("decision.credentials", "send a key: Authorization: Bearer …")
	}
	key, _, err := q.h.keys.Verify(text, q.begin)
	if err != nil {
		f := fail("decision.credentials", "the key does not hold")
		f.why = err
		return f
	}
	q.key = key
	q.x.Identity = exchange.Identity{Subject: key.Subject, Method: "api_key", Verified: true, Credential: key.ID}
	c := q.h.clients[key.Subject]
	if c == nil {
		return fail("decision.forbidden", "the key's holder may ask nothing here")
	}
	q.client = c
	if q.api == "" {
		q.api = c.APIs[0]
	}
	if !slices.Contains(c.APIs, q.api) {
		q.api = ""
		return fail("decision.forbidden", "the key's holder may not ask that API's policies")
	}
	if q.guard = q.h.policies(q.api); q.guard == nil {
		return fail("decision.unavailable", "there is no such API now")
	}
	q.x.API, q.x.Endpoint, q.x.Start = q.api, q.endpoint, q.begin
	return nil
}

// body reads and decodes the question; nil when there is none.
func (q *question) body() (*value.Value, *failure) {
	if e := q.r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, fail("decision.request", "a compressed body is not read")
	}
	limit := int64(q.h.cfg.Body)
	if q.r.ContentLength > limit {
		return nil, fail("decision.too_large", "request body too large")
	}
	data, err := io.ReadAll(http.MaxBytesReader(q.w, q.r.Body, limit))
	q.bytesIn = int64(len(data))
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, fail("decision.too_large", "request body too large")
		}
		return nil, fail("decision.request", "the body could not be read")
	}
	if len(data) == 0 {
		return nil, nil
	}
	return q.decode(data)
}

func (q *question) decode(data []byte) (*value.Value, *failure) {
	v, err := value.JSON(data, q.h.values)
	if err != nil {
		return nil, &failure{code: "decision.request", message: "the body is not strict JSON within the limits: " + err.Error()}
	}
	return v, nil
}

// ruled notes an evaluation for the record.
func (q *question) ruled(allow bool, code, reason string, took time.Duration, detail map[string]any) {
	action := "deny"
	if allow {
		action = "allow"
	}
	q.rulings = append(q.rulings, exchange.RecordedRuling{
		Guard: authz.Name, Phase: exchange.RequestBody.String(), Mode: "enforce", Action: action,
		Micros: float64(took.Nanoseconds()) / 1000, Code: code, Reason: reason, Detail: detail,
	})
}

// finish records the question and writes its answer.
func (q *question) finish(ctx context.Context, a *answer, f *failure) {
	status := http.StatusOK
	d := &exchange.Decision{
		Type: "decision", ID: q.x.ID, Time: q.begin, API: q.api, Endpoint: "decision_point", Operation: q.endpoint,
		Method: q.r.Method, Host: q.r.Host, Path: recordedPath(q.r.URL.Path), Action: "allow", Rulings: q.rulings,
		Micros: q.h.now().Sub(q.begin).Microseconds(),
	}
	if ap, err := netip.ParseAddrPort(q.r.RemoteAddr); err == nil {
		d.Client = ap.Addr().Unmap().String()
	}
	if q.key != nil {
		d.Identity = &exchange.RecordedIdentity{Subject: q.key.Subject, Method: "api_key", Verified: true, Credential: q.key.ID}
	}
	if f != nil {
		c, _ := exchange.LookupCode(f.code)
		status = c.Status
		d.Action, d.Status, d.Code, d.Guard, d.Reason = "deny", c.Status, c.Code, "decision_point", f.message
		if f.why != nil {
			d.Reason += ": " + f.why.Error()
		}
	}
	if err := q.h.trail.Decide(context.WithoutCancel(ctx), d); err != nil {
		q.h.log.Error("decision not recorded", "request_id", q.x.ID, "error", err)
		status, f = http.StatusServiceUnavailable, fail("decision.unavailable", "the decision could not be recorded")
	}
	var n int64
	if f != nil {
		if status == http.StatusUnauthorized {
			q.w.Header().Set("WWW-Authenticate", `Bearer realm="decision point"`)
		}
		n = q.write(status, q.problem(f))
	} else {
		n = q.write(status, a.body)
	}
	now := q.h.now()
	q.h.trail.Complete(&exchange.Completion{
		Type: "completion", ID: q.x.ID, Time: now, Status: status, BytesIn: q.bytesIn, BytesOut: n, Micros: now.Sub(q.begin).Microseconds(),
	})
}

// recordedPath keeps a path that nobody bounded from filling the record.
func recordedPath(path string) string {
	const most = 512
	return strings.ToValidUTF8(path[:min(len(path), most)], "")
}

// problem is a failure as the API that was asked writes it.
func (q *question) problem(f *failure) any {
	if q.endpoint != "data" {
		return f.message // AuthZEN 1.0, error responses: a string
	}
	code := "internal_error"
	c, _ := exchange.LookupCode(f.code)
	switch c.Status {
	case http.StatusUnauthorized, http.StatusForbidden:
		code = "unauthorized"
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		code = "invalid_parameter"
	case http.StatusNotFound:
		code = "undefined_document"
	}
	return map[string]any{"code": code, "message": f.message}
}

func (q *question) write(status int, body any) int64 {
	w := q.w
	var data []byte
	var err error
	if q.pretty() {
		data, err = json.MarshalIndent(body, "", "  ")
	} else {
		data, err = json.Marshal(body)
	}
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`"internal error"`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	n, _ := w.Write(append(data, '\n'))
	return int64(n)
}

func (q *question) pretty() bool { return flag(q.r, "pretty") }

// flag reads a boolean query parameter as OPA does: there without a value is true.
func flag(r *http.Request, name string) bool {
	list, ok := r.URL.Query()[name]
	return ok && (len(list) == 0 || list[0] == "" || list[0] == "true" || list[0] == "1")
}

// health says whether it can be asked, as OPA's /health does; why not is the
// admin listener's to say.
func (q *question) health() {
	for _, c := range q.h.clients {
		for _, api := range c.APIs {
			if !q.h.decides(api) {
				q.write(http.StatusInternalServerError, map[string]string{"error": "a policy is not ready"})
				return
			}
		}
	}
	q.write(http.StatusOK, struct{}{})
}

func (h *Handler) decides(api string) bool {
	g := h.policies(api)
	if g == nil || g.Engine() == nil {
		return false
	}
	_, err := g.Engine().Current(h.now())
	return err == nil
}

// evaluationFailed is the failure of an evaluation. What went wrong may quote the
// policies: only a client that may see explanations is told.
func (q *question) evaluationFailed(err error) *failure {
	f := fail("decision.failed", "error(s) occurred while evaluating query")
	switch {
	case errors.Is(err, authz.ErrUnavailable), errors.Is(err, authz.ErrNoPolicy):
		f = fail("decision.unavailable", "no policy may decide now")
	case authz.TimedOut(err):
		f = fail("decision.failed", "the evaluation took too long")
	}
	f.why = err
	if q.client != nil && q.client.Explain {
		f.message += ": " + err.Error()
	}
	return f
}
