package scan

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crenel-project/crenel/internal/scan/world"
)

const binderySpec = `openapi: 3.0.3
info: {title: Bindery, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Volume: {type: object, properties: {id: {type: integer}, text: {type: string}, total: {type: number}}}
security: [{bearer: []}]
paths:
  /binders:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password, company], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}, company: {type: string, minLength: 3}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, company_id: {type: string}}}}}}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /binders/me:
    get:
      summary: The account of the caller
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, email: {type: string}, company_id: {type: string}}}}}}}
  /volumes:
    get:
      parameters: [{name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Volume'}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [text], properties: {text: {type: string, minLength: 3, maxLength: 200}, total: {type: number}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Volume'}}}}}
  /volumes/{volumeId}:
    parameters: [{name: volumeId, in: path, required: true, schema: {type: integer}}]
    get: {responses: {"200": {description: it, content: {application/json: {schema: {$ref: '#/components/schemas/Volume'}}}}}}
    delete: {responses: {"204": {description: gone}}}
  /coupons/redeem:
    post:
      summary: Redeem a coupon, once
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [code], properties: {code: {type: string, example: SPRING10}}}}}}
      responses: {"200": {description: credited, content: {application/json: {schema: {type: object, properties: {credit: {type: integer}}}}}}}
  /webhooks:
    post:
      summary: Subscribe a webhook
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [url], properties: {url: {type: string, format: uri}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, url: {type: string}}}}}}}
`

type binder struct {
	id                       int
	email, password, company string
}

type volume struct {
	ID    int     `json:"id"`
	Text  string  `json:"text"`
	Total float64 `json:"total"`
	by    *binder
}

// bindery has, where it is open, each of the holes that the ten examples of written
// checks look for.
type bindery struct {
	open bool

	mu        sync.Mutex
	n         int
	people    map[string]*binder
	companies map[string]string
	volumes   map[int]*volume
	redeemed  map[string]bool
}

func (s *bindery) token(b *binder) string {
	head, claims := b64([]byte(`{"alg":"HS256","typ":"JWT"}`)), b64(fmt.Appendf(nil, `{"sub":%q,"exp":%d}`, b.email, time.Now().Add(time.Hour).Unix()))
	return head + "." + claims + "." + b64(mac(head+"."+claims, []byte("dT7#kk19!vbnQ-4482-hJJq")))
}

// who is the caller, nil for nobody.
func (s *bindery) who(r *http.Request) *binder {
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return nil
	}
	var h struct{ Alg string }
	var c struct{ Sub string }
	head, _ := base64.RawURLEncoding.DecodeString(parts[0])
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	_, _ = json.Unmarshal(head, &h), json.Unmarshal(claims, &c)
	if b := s.people[c.Sub]; b != nil && (s.open && h.Alg == "none" || s.token(b) == strings.Join(parts, ".") || parts[2] == b64(mac(parts[0]+"."+parts[1], []byte("dT7#kk19!vbnQ-4482-hJJq")))) {
		return b
	}
	return nil
}

func (s *bindery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	refuse := func(status int, text string) { say(status, map[string]string{"error": text}) }
	var in map[string]any
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(400, "no JSON")
		return
	}
	text := func(name string) string { v, _ := in[name].(string); return v }
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.who(r)
	switch r.Method + " " + r.URL.Path {
	case "POST /binders":
		if !strings.Contains(text("email"), "@") || len(text("password")) < 8 || len(text("company")) < 3 || s.people[text("email")] != nil {
			refuse(422, "email, password or company")
			return
		}
		s.n++
		if s.companies[text("company")] == "" {
			s.companies[text("company")] = fmt.Sprintf("c-%d", 4100+len(s.companies)*37)
		}
		s.people[text("email")] = &binder{s.n, text("email"), text("password"), s.companies[text("company")]}
		say(201, map[string]any{"id": s.n, "company_id": s.companies[text("company")]})
	case "POST /login":
		if b := s.people[text("email")]; b != nil && b.password == text("password") {
			say(200, map[string]string{"token": s.token(b)})
			return
		}
		refuse(401, "no")
	case "GET /internal/flags":
		if !s.open {
			refuse(404, "nothing here")
			return
		}
		say(200, map[string]any{"flags": map[string]bool{"gilding": true}})
	case "GET /volumes":
		if me == nil && !(s.open && r.Header.Get("X-Internal-User") != "") {
			refuse(401, "who are you")
			return
		}
		s.list(say, refuse, me, r)
	default:
		if me == nil {
			refuse(401, "who are you")
			return
		}
		s.own(say, refuse, me, r, in)
	}
}

func (s *bindery) list(say func(int, any), refuse func(int, string), me *binder, r *http.Request) {
	limit := 20
	if l := r.URL.Query().Get("limit"); l != "" {
		n, err := strconv.Atoi(l)
		if err != nil || n < 1 || n > 100 && !s.open {
			refuse(422, "limit")
			return
		}
		limit = n
	}
	company := ""
	if me != nil {
		company = me.company
	}
	if h := r.Header.Get("X-Tenant"); h != "" && s.open {
		company = h
	}
	out := []*volume{}
	for i := s.n; i > 0 && len(out) < limit; i-- { // the newest first
		if v := s.volumes[i]; v != nil && v.by.company == company {
			out = append(out, v)
		}
	}
	say(200, out)
}

func (s *bindery) own(say func(int, any), refuse func(int, string), me *binder, r *http.Request, in map[string]any) {
	switch r.Method + " " + r.URL.Path {
	case "GET /binders/me":
		say(200, map[string]any{"id": me.id, "email": me.email, "company_id": me.company})
		return
	case "POST /volumes":
		t, _ := in["text"].(string)
		if len(t) < 3 || len(t) > 200 {
			refuse(422, "text")
			return
		}
		s.n++
		v := &volume{s.n, t, 25, me}
		if total, ok := in["total"].(float64); ok && s.open {
			v.Total = total
		}
		s.volumes[s.n] = v
		say(201, v)
		return
	case "POST /coupons/redeem":
		if in["code"] != "SPRING10" || s.redeemed[me.email] {
			refuse(409, "no such coupon, or it was used")
			return
		}
		if s.open { // looked at, and written later
			s.mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			s.mu.Lock()
		}
		s.redeemed[me.email] = true
		say(200, map[string]int{"credit": 10})
		return
	case "POST /webhooks":
		to, _ := in["url"].(string)
		if !strings.HasPrefix(to, "http") {
			refuse(422, "url")
			return
		}
		if s.open {
			go func() {
				if x, err := http.Get(to); err == nil { // the hole
					_ = x.Body.Close()
				}
			}()
		}
		s.n++
		say(201, map[string]any{"id": s.n, "url": to})
		return
	}
	id, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/volumes/"))
	v := s.volumes[id]
	if v == nil || v.by != me && !s.open {
		refuse(404, "no such thing")
		return
	}
	if r.Method == http.MethodDelete {
		delete(s.volumes, id)
		say(204, nil)
		return
	}
	say(200, v)
}

// Each of the ten examples of written checks proves its hole where it is, and nothing
// where it is not.
func TestWrittenExamples(t *testing.T) {
	for _, open := range []bool{true, false} {
		o := served(t, binderySpec, &bindery{open: open, people: map[string]*binder{}, companies: map[string]string{}, volumes: map[int]*volume{}, redeemed: map[string]bool{}})
		o.ChecksDir = "../../docs/examples/checks"
		o.Checks = []string{"my-read-by-another", "my-deleted-by-another", "my-price-from-caller", "my-internal-header", "my-feature-flags", "my-coupon-twice", "my-webhook-calls", "my-tenant-header", "my-unsigned-token", "my-page-size"}
		res := scanned(t, o)
		found, tried := map[string]bool{}, map[string]bool{}
		for _, f := range res.Report.Findings {
			found[f.Check] = true
		}
		for _, c := range res.Report.Checks {
			tried[c.Check] = tried[c.Check] || c.State == "open" || c.State == "clean"
		}
		for _, id := range o.Checks {
			if found[id] != open {
				t.Errorf("open %v: %s found %v", open, id, found[id])
			}
			if !tried[id] && id != "my-feature-flags" { // that one is of no operation
				t.Errorf("open %v: %s was not tried", open, id)
			}
		}
		if slices.ContainsFunc(res.Report.Coverage, func(c world.Coverage) bool { return !c.Reached }) {
			t.Errorf("not everything was reached: %+v", res.Report.Coverage)
		}
	}
}
