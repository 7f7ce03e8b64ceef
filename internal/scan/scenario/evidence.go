package scenario

import (
	"cmp"
	"encoding/base64"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/scan/target"
)

// maxShown bounds each body in evidence, in bytes.
const maxShown = 8 << 10

// Evidence is an outcome's exchanges as a finding carries them, without credentials.
func (o *Outcome) Evidence(origin string) []finding.Evidence {
	hide := o.secrets()
	var out []finding.Evidence
	for _, r := range o.Results {
		all := r.Exchanges
		if len(all) > 3 {
			all = all[:3] // of a step sent many times, three show what it is
		}
		for _, x := range all {
			part := r.Step.Part
			if part == "" {
				part = Attack
			}
			out = append(out, finding.Evidence{
				Step: r.Step.ID, Part: string(part), Note: r.Step.Note, As: r.Step.As,
				Request: request(x.Request, origin, hide), Response: answer(x, hide),
				Millis: float64(x.Duration.Microseconds()) / 1000, Sent: x.Sent.UTC(),
			})
		}
	}
	return out
}

// secrets maps every credential of the outcome's actors to what stands for it.
func (o *Outcome) secrets() *strings.Replacer {
	known := map[string]string{}
	for _, r := range o.Results {
		if r.As == nil {
			continue
		}
		addSecrets(known, r.As)
	}
	keys := slices.SortedFunc(maps.Keys(known), func(a, b string) int { return len(b) - len(a) })
	var pairs []string
	for _, k := range keys {
		pairs = append(pairs, k, known[k])
	}
	return strings.NewReplacer(pairs...)
}

func addSecrets(known map[string]string, a *actor.Actor) {
	note := func(value, what string) {
		if len(value) >= 4 {
			known[value] = "‹" + a.Name + "'s " + what + "›"
		}
	}
	if a.Session != nil {
		for _, p := range a.Session.Snapshot() {
			note(p.Value, "credential")
		}
		note(a.Session.Refresh, "refresh token")
	}
	note(a.Facts["password"], "password")
}

// reJWT finds tokens that are no actor's: forged or foreign ones. Without its
// signature a token opens nothing.
var reJWT = regexp.MustCompile(`(eyJ[A-Za-z0-9_+/-]{5,}={0,2}\.[A-Za-z0-9_+/-]+={0,2}\.)[A-Za-z0-9_+/-]{8,}={0,2}`)

func conceal(text string, hide *strings.Replacer) string {
	return reJWT.ReplaceAllString(hide.Replace(text), "$1‹signature›")
}

func request(q *target.Request, origin string, hide *strings.Replacer) finding.Message {
	if q.Origin != "" {
		origin = q.Origin
	}
	m := finding.Message{Method: q.Method, URL: origin + conceal(q.Path, hide)}
	if q.Query != "" {
		m.URL += "?" + conceal(q.Query, hide)
	}
	for _, f := range q.Header {
		m.Header = append(m.Header, [2]string{f.Name, conceal(f.Value, hide)})
	}
	m.Body, m.Truncated = shown(q.Body, hide)
	return m
}

func answer(x *target.Exchange, hide *strings.Replacer) finding.Message {
	m := finding.Message{Status: cmp.Or(x.Wire, x.Status)}
	if x.Raw != nil && len(x.Raw.Bytes) > 0 {
		// The body is all that came, the heads with it.
		m.Body, m.Truncated = shown(x.Body, hide)
		return m
	}
	for _, name := range slices.Sorted(maps.Keys(x.Header)) {
		for _, v := range x.Header[name] {
			m.Header = append(m.Header, [2]string{name, conceal(v, hide)})
		}
	}
	var cut bool
	m.Body, cut = shown(x.Body, hide)
	m.Truncated = cut || x.Truncated
	return m
}

func shown(body []byte, hide *strings.Replacer) (text string, cut bool) {
	if len(body) > maxShown {
		body, cut = body[:maxShown], true
		for len(body) > 0 && !utf8.Valid(body[max(0, len(body)-4):]) && !utf8.RuneStart(body[len(body)-1]) {
			body = body[:len(body)-1]
		}
	}
	if !utf8.Valid(body) {
		return "base64:" + base64.StdEncoding.EncodeToString(body), cut
	}
	return conceal(string(body), hide), cut
}

// Hide takes out of evidence what text takes out of a text: the credentials of those,
// too, who take no part in a scenario, such as another account's password in an answer.
func Hide(list []finding.Evidence, text func(string) string) []finding.Evidence {
	for i := range list {
		for _, m := range []*finding.Message{&list[i].Request, &list[i].Response} {
			m.URL, m.Body = text(m.URL), text(m.Body)
			for j := range m.Header {
				m.Header[j][1] = text(m.Header[j][1])
			}
		}
	}
	return list
}
