package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/call"
	"github.com/crenel-project/crenel/internal/value"
)

const (
	pace      = 60 * time.Millisecond // between two calls: the visitor's API has other things to do
	mostCalls = 150                   // honest ones; as many attacks
	// authorization and headerField are the environment's names of what is sent along
	// for operations that need credentials: "Bearer …", or a whole field, such as
	// "X-API-Key: …" or "Cookie: …". It is sent to the target and to nobody else.
	authorization = "AUTHORIZATION"
	headerField   = "HEADER"
)

// visit is the gateway in front of a visitor's own API.
type visit struct {
	*page
	options
	doc      *spec.API
	gateway  *gateway
	straight *http.Client
	rng      *rand.Rand
	learned  map[string]value.Value // resource: an id that an answer has shown
	shadowed int                    // honest calls that work straight and not through
}

// ownAPI puts the gateway in front of the target and compares honest reads.
func ownAPI(ctx context.Context, o options, p *page) (err error) {
	v := &visit{page: p, options: o, rng: rand.New(rand.NewPCG(1, 2)), learned: map[string]value.Value{}, //nolint:gosec // test data, the same in each run
		straight: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{Proxy: http.ProxyFromEnvironment},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	v.target = strings.TrimRight(o.target, "/")
	u, err := url.Parse(v.target)
	if err != nil || u.Host == "" || u.Path != "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("TARGET=%s: give the API's address without a path, such as http://127.0.0.1:9000; paths come from the document", o.target)
	}
	dir, err := os.MkdirTemp("", "crenel-demo-")
	if err != nil {
		return fmt.Errorf("making the demo's directory: %w", err)
	}
	defer func() {
		err = errors.Join(err, v.gateway.stop(), os.RemoveAll(dir))
		v.straight.CloseIdleConnections()
	}()
	err = v.begin(ctx, dir)
	if err == nil {
		err = v.reads(ctx)
	}
	if err == nil && o.attack == consent {
		err = v.nearMisses(ctx)
	}
	if ctx.Err() != nil {
		return o.interrupted()
	}
	if err != nil {
		return err
	}
	if o.attack == "" {
		p.linef("\nNothing was attacked. If the API is yours: ATTACK=%s", consent)
	}
	if !o.once {
		p.linef("\nThe gateway stays up at %s (curl --cacert %s).", v.gateway.url(), v.gateway.rootCA)
		p.linef("Its config, loaded as soon as it is saved: %s. Ctrl-C ends it.", v.gateway.config())
		<-ctx.Done()
		return nil
	}
	if v.shadowed > 0 {
		return errWrong
	}
	return nil
}

// begin writes a config as a user would, and runs a gateway with it.
func (v *visit) begin(ctx context.Context, dir string) error {
	if u, err := url.Parse(v.spec); err != nil || u.Scheme != "http" && u.Scheme != "https" {
		if v.spec, err = filepath.Abs(v.spec); err != nil {
			return fmt.Errorf("finding the document: %w", err)
		}
	}
	var err error
	v.doc, err = spec.Load(ctx, v.spec, spec.LoadOptions{})
	if err != nil {
		return err
	}
	v.gateway, err = newGateway(v.crenel, dir)
	if err != nil {
		return err
	}
	v.linef("%s", v.bold("Crenel in front of "+v.target))
	v.section("crenel init")
	out, err := v.gateway.run(ctx, "init", "--spec", v.spec, "--upstream", v.target)
	if err != nil {
		return err
	}
	report, _, _ := strings.Cut(out, "\nNext:")
	for line := range strings.Lines(report) {
		v.linef("  %s", strings.TrimRight(line, "\n"))
	}
	// Ports that are free here: the default one may be another gateway's.
	f, err := os.OpenFile(v.gateway.config(), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = fmt.Fprintf(f, "\nadmin:\n  listen: \"%s\"\n", v.gateway.admin)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("writing the config: %w", err)
	}
	return v.gateway.start(ctx)
}

// answer is what a call was answered.
type answer struct {
	status int
	body   string
	code   string // of the gateway's own denial
	event  string
}

func (v *visit) send(ctx context.Context, client *http.Client, origin string, r *call.Request, anonymous bool) (answer, error) {
	select {
	case <-ctx.Done():
		return answer{}, ctx.Err()
	case <-time.After(pace):
	}
	req, err := r.HTTP(ctx, origin)
	if err != nil {
		return answer{}, fmt.Errorf("making a request: %w", err)
	}
	if name, credential := credentials(); credential != "" && !anonymous {
		req.Header[name] = []string{credential} // as it was written: some APIs look for api_key
	}
	status, body, header, err := send(client, req)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: status, body: body, event: header.Get("X-Crenel-Request-Id")}
	if a.event != "" {
		a.code = denial(exchangeOf(status, body))
	}
	return a, nil
}

// reads sends honest GETs, made from the document, straight and through.
func (v *visit) reads(ctx context.Context) error {
	v.section("Honest reads, made from the document, straight and through the gateway",
		"  GET only, one at a time. Answers teach which ids exist. "+credentialsNote())
	rows := [][]cell{{{"operation", v.dim}, {"straight", v.dim}, {"through", v.dim}, {"", nil}}}
	same, worked, bare := 0, 0, 0
	ops := v.readable()
	for _, op := range ops[:min(len(ops), mostCalls)] {
		r, err := call.New(v.doc, op, v.rng, call.Options{Examples: true, Optional: -1, Values: v.values(op)})
		if err != nil {
			rows = append(rows, []cell{plainCell(printable(op.Method+" "+op.Path, 60)), {"-", v.dim}, {"-", v.dim}, {printable(err.Error(), 70), v.dim}})
			continue
		}
		straight, err := v.send(ctx, v.straight, v.target, r, false)
		if err != nil {
			return err
		}
		through, err := v.send(ctx, v.gateway.client, v.gateway.url(), r, false)
		if err != nil {
			return err
		}
		v.learn(op, straight)
		note, color := cell{printable(through.code, 60), v.dim}, v.green
		switch {
		case !succeeded(straight):
		case succeeded(through):
			worked++
		case through.code == "authn.missing" && credentialsFrom() == "":
			// The gateway does what the document says. It is the API that does not.
			bare++
			note, color = cell{"the document demands credentials, and the API answers without", v.yellow}, v.yellow
		default:
			v.shadowed++
			note, color = cell{"NOT AS STRAIGHT: " + v.why(through), v.red}, v.red
		}
		if straight.status == through.status {
			same++
		}
		rows = append(rows, []cell{plainCell(printable(op.Method+" "+r.Path, 60)), plainCell(strconv.Itoa(straight.status)), {strconv.Itoa(through.status), color}, note})
	}
	v.table(rows)
	v.linef("")
	v.linef("  %d calls, %d answered with the same status. Of those that work straight, %d work through the gateway and %d do not.", len(rows)-1, same, worked, v.shadowed)
	if bare > 0 {
		v.linef("  %s", v.yellow(fmt.Sprintf("%d more are answered by the API without the credentials that its document demands; the gateway demands them.", bare)))
	}
	return nil
}

func succeeded(a answer) bool { return a.status >= 200 && a.status < 300 }

// why is what the gateway's operator is told of a refusal.
func (v *visit) why(a answer) string {
	rec, err := record(v.gateway.events(), a.event)
	if err != nil {
		return fmt.Sprintf("%s (%v)", a.code, err)
	}
	text := strings.TrimSpace(rec.Decision.Code + " " + rec.Decision.At + " " + rec.Decision.Reason)
	for _, r := range rec.Completion.Rulings {
		if r.Code != "" {
			text = strings.TrimSpace(text + " " + r.Code + " " + r.At + " " + r.Reason)
		}
	}
	return printable(text, 160) + " (event " + a.event + ")"
}

// credentials are the header field that the environment gives, if any.
func credentials() (name, value string) {
	switch credentialsFrom() {
	case authorization:
		return "Authorization", os.Getenv(authorization)
	case headerField:
		name, value, _ = strings.Cut(os.Getenv(headerField), ":")
		return strings.TrimSpace(name), strings.TrimSpace(value)
	}
	return "", ""
}

func credentialsFrom() string {
	for _, name := range []string{authorization, headerField} {
		if os.Getenv(name) != "" {
			return name
		}
	}
	return ""
}

func credentialsNote() string {
	if from := credentialsFrom(); from != "" {
		return "Sent with " + from + " of the environment."
	}
	return authorization + "='Bearer …' or " + headerField + "='X-API-Key: …' in the environment is sent along."
}

// readable are the operations that only read, those first that need no id.
func (v *visit) readable() []*spec.Operation {
	var ops []*spec.Operation
	for _, op := range v.doc.Operations {
		if op.Method == http.MethodGet && op.Unroutable == "" {
			ops = append(ops, op)
		}
	}
	slices.SortStableFunc(ops, func(a, b *spec.Operation) int { return len(a.PathParams) - len(b.PathParams) })
	return ops
}

// values are ids that answers have shown, for the parameters that ask for them.
func (v *visit) values(op *spec.Operation) map[string]value.Value {
	out := map[string]value.Value{}
	for _, p := range op.PathParams {
		if p.Object == nil {
			continue
		}
		if id, ok := v.learned[p.Object.Resource]; ok {
			out["path."+p.Name] = id
		}
	}
	return out
}

// learn keeps the first id of a list.
func (v *visit) learn(op *spec.Operation, a answer) {
	if a.status != http.StatusOK || op.Resource == "" {
		return
	}
	if _, known := v.learned[op.Resource]; known {
		return
	}
	root, err := value.JSON([]byte(a.body), value.Limits{})
	if err != nil {
		return // not JSON: nothing to learn from
	}
	if id := firstID(root, op.Resource); id != nil {
		v.learned[op.Resource] = *id
	}
}

// firstID finds the id of the first object in a list, or of the object itself.
func firstID(v *value.Value, resource string) *value.Value {
	switch v.Kind {
	case value.Array:
		if len(v.Kids) > 0 {
			return firstID(&v.Kids[0], resource)
		}
	case value.Object:
		for _, name := range []string{"id", resource + "_id", resource + "Id", "uuid", "code", "name"} {
			if id := v.Get(name); id != nil && (id.Kind == value.String || id.Kind == value.Number) {
				return id
			}
		}
		for i := range v.Kids {
			if v.Kids[i].Kind == value.Array {
				return firstID(&v.Kids[i], resource)
			}
		}
	}
	return nil
}
