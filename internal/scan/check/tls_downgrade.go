package check

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/scenario"
	"github.com/crenel-project/crenel/internal/scan/target"
)

var _ = register(&Check{
	ID: "tls-downgrade", Title: "The API answers without TLS as well",
	OWASP: "API8:2023", CWE: "CWE-319", WSTG: "WSTG-CRYP-03",
	CVSS:  "CVSS:4.0/AV:N/AC:H/AT:P/PR:N/UI:P/VC:H/VI:L/VA:N/SC:N/SI:N/SA:N",
	About: "Asks for a read in plain HTTP: at the port where the target speaks TLS, and at the addresses of the same host with http:// that are in scope. Whether Strict-Transport-Security is there, security-headers says.",
	Proof: "The answer is the one that TLS gives, with data or a refusal of the API's own. Controls: a made-up path is answered otherwise; a redirect or an error of the server's is none.",
	Fix:   "Answer nothing but a redirect, or nothing at all, on ports without TLS: a client that sends its credential there has lost it (RFC 9325, section 3.1).",
	Mode:  Safe,
	Run:   tlsDowngrade,
})

// plainReads is how many reads are tried in plain.
const plainReads = 3

func tlsDowngrade(ctx context.Context, p *Probe) error {
	if !p.overTLS() {
		return nil
	}
	_, own, _ := strings.Cut(p.Client.Origin(), "://")
	var others []string
	for _, o := range p.Client.Origins() {
		u, err := url.Parse(o)
		if err == nil && u.Scheme == "http" && u.Hostname() == hostname(own) {
			others = append(others, o)
		}
	}
	tried := 0
	for _, op := range p.Ops() {
		if op.Method != http.MethodGet || len(op.PathParams) > 0 || op.Has(graph.Hazard) || op.Has(graph.Logout) || tried >= plainReads {
			continue
		}
		call, err := p.World.Call(ctx, op, nil, nil)
		if err != nil {
			continue
		}
		r, err := p.World.Request(call)
		if err != nil || r.Query != "" || r.Body != nil {
			continue
		}
		x, err := p.send(ctx, call)
		if err != nil {
			return err
		}
		if !speaks(x) {
			continue
		}
		tried++
		p.Note(op, Clean)
		for _, o := range append([]string{""}, others...) {
			if done, err := p.inPlain(ctx, op, r.Path, o); err != nil || done {
				return err
			}
		}
	}
	return nil
}

func hostname(hostport string) string {
	u := url.URL{Host: hostport}
	return u.Hostname()
}

// speaks: it is the API that answers, with data or with a refusal of its own.
func speaks(x *target.Exchange) bool {
	media := strings.ToLower(x.Header.Get("Content-Type"))
	return len(x.Body) > 0 && (x.Status/100 == 2 || (x.Status == 401 || x.Status == 403) && strings.Contains(media, "json"))
}

// inPlain asks for a path without TLS: at the port of TLS, or at another origin.
func (p *Probe) inPlain(ctx context.Context, op *graph.Op, path, origin string) (bool, error) {
	step := func(id string, part scenario.Part, note, at string, e ...scenario.Expect) scenario.Step {
		st := scenario.Step{ID: id, Part: part, Note: note, Expect: e}
		if origin != "" {
			st.Send = &scenario.Send{Method: http.MethodGet, Path: p.Client.Base() + at, Origin: origin}
			return st
		}
		st.Raw = plainGet(at)
		for i := range st.Expect {
			st.Expect[i].Answer = 1
		}
		return st
	}
	where, place := "port", "the port where TLS is spoken"
	var x *target.Exchange
	var err error
	if origin != "" {
		where, place = "http", origin
		x, err = p.Do(ctx, nil, &target.Request{Method: http.MethodGet, Path: p.Client.Base() + path, Origin: origin})
	} else {
		x, err = p.plain(ctx, path)
	}
	if err != nil || x == nil || !speaks(x) {
		return false, err
	}
	h := Hypothesis{
		Method: op.Method, Path: op.Path, Where: where, Title: "The API answers in plain HTTP at " + place,
		Description: fmt.Sprintf("%s %s is answered without TLS as it is with it: credentials that a client sends there are read by anybody on the way.", op.Method, op.Path),
		Scenario: &scenario.Scenario{Name: "the API without TLS", Steps: []scenario.Step{
			{ID: "tls", Part: scenario.Control, Note: "over TLS the API answers", Send: &scenario.Send{Method: http.MethodGet, Path: path}, Expect: []scenario.Expect{{Status: "2xx|401|403"}}},
			step("plain", scenario.Attack, "without TLS it answers the same", path, scenario.Expect{Like: "tls"}),
			step("other", scenario.Control, "a made-up path is answered otherwise", path+"${canary.other}", scenario.Expect{Unlike: "tls"}),
		}},
	}
	if p.isNear() {
		h.CVSS = vectorLow
	}
	return p.Prove(ctx, h)
}

func plainGet(path string) *scenario.Raw {
	return &scenario.Raw{Plain: true, Answers: 1, Wait: 3 * time.Second, Lines: []string{
		"GET ${target.base}" + path + " HTTP/1.1", "Host: ${target.host}", "Accept: */*", "Connection: close", "", "",
	}}
}

// plain sends what plainGet says, and gives the first answer; nil where none came.
func (p *Probe) plain(ctx context.Context, path string) (*target.Exchange, error) {
	_, host, _ := strings.Cut(p.Client.Origin(), "://")
	p.quiet.RLock()
	defer p.quiet.RUnlock()
	x, err := p.Client.Raw(ctx, "", &target.RawRequest{Plain: true, Answers: 1, Wait: 3 * time.Second, Chunks: [][]byte{
		[]byte("GET " + p.Client.Base() + path + " HTTP/1.1\r\nHost: " + host + "\r\nAccept: */*\r\nConnection: close\r\n\r\n"),
	}})
	if err != nil {
		return nil, err //nolint:wrapcheck // nothing is added
	}
	return x.Answer(1), nil
}
