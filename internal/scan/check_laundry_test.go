package scan

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// laundry is an API where everybody who registers has a shop of their own: its loads, and
// vouchers that take something off a load of the same shop, once. Open, a voucher stays
// good, and a page for its keepers, which nobody described, shows everybody's address.
type laundry struct {
	open bool

	mu       sync.Mutex
	n        int
	shops    map[string]string // password by address
	loads    map[string]*load
	vouchers map[string]string // whose, by code
}

type load struct {
	of  string
	off int
}

const laundrySpec = `openapi: 3.0.3
info: {title: Laundry, version: "1"}
security: [{bearer: []}]
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Entry: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}
    Load: {type: object, properties: {id: {type: string}, discount: {type: integer}}}
paths:
  /register: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Entry"}}}}, responses: {"201": {description: ok}}}}
  /login: {post: {security: [], requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Entry"}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}}}
  /me: {get: {responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}}}
  /loads: {post: {responses: {"201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Load"}}}}}}}
  /loads/{load_id}: {get: {parameters: [{name: load_id, in: path, required: true, schema: {type: string}}], responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Load"}}}}}}}
  /loads/{load_id}/voucher: {post: {parameters: [{name: load_id, in: path, required: true, schema: {type: string}}], requestBody: {required: true, content: {application/json: {schema: {type: object, required: [code], properties: {code: {type: string}}}}}}, responses: {"200": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Load"}}}}}}}
  /vouchers: {post: {responses: {"201": {description: ok, content: {application/json: {schema: {type: object, properties: {code: {type: string}}}}}}}}}
`

func (s *laundry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	say := func(code int, v any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(v)
	}
	in := map[string]string{}
	if r.Method == http.MethodPost && r.ContentLength > 0 && json.NewDecoder(r.Body).Decode(&in) != nil {
		say(400, map[string]string{"error": "JSON of texts, please"})
		return
	}
	s.n++
	switch what := r.Method + " " + r.URL.Path; {
	case what == "GET /internal/vouchers" && s.open:
		all := []any{}
		for email := range s.shops {
			all = append(all, map[string]string{"email": email})
		}
		say(200, all)
		return
	case what == "POST /register" && s.shops[in["email"]] == "" && strings.Contains(in["email"], "@") && len(in["password"]) > 7:
		s.shops[in["email"]] = in["password"]
		say(201, map[string]string{"email": in["email"]})
		return
	case what == "POST /login" && in["password"] != "" && s.shops[in["email"]] == in["password"]:
		say(200, map[string]string{"token": fmt.Sprintf("%s:%020x", in["email"], s.n*7919)})
		return
	}
	me, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ":")
	if s.shops[me] == "" {
		say(401, map[string]string{"error": "log in"})
		return
	}
	at := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case r.URL.Path == "/me":
		say(200, map[string]string{"email": me})
	case r.Method == http.MethodPost && r.URL.Path == "/loads":
		id := fmt.Sprintf("ld%05x", s.n*104729%1048576)
		s.loads[id] = &load{of: me}
		say(201, map[string]any{"id": id, "discount": 0})
	case r.Method == http.MethodPost && r.URL.Path == "/vouchers":
		code := fmt.Sprintf("SOAP%05X", s.n*7919%1048576)
		s.vouchers[code] = me
		say(201, map[string]string{"code": code})
	case at[0] == "loads" && len(at) > 1 && s.loads[at[1]] != nil && s.loads[at[1]].of == me:
		l := s.loads[at[1]]
		if len(at) == 3 && r.Method == http.MethodPost {
			if s.vouchers[in["code"]] != me {
				say(422, map[string]string{"error": "code is not a voucher of this shop"})
				return
			}
			l.off += 5
			if !s.open {
				delete(s.vouchers, in["code"])
			}
		}
		say(200, map[string]any{"id": at[1], "discount": l.off})
	default:
		say(404, map[string]string{"error": "no such thing"})
	}
}

// What a shop gives out is good in that shop alone, and once; what its keepers made for
// themselves lies where keepers put such things, under the names of what there is.
func TestLaundry(t *testing.T) {
	t.Parallel()
	twins(t, laundrySpec, func(_ *testing.T, open bool) http.Handler {
		return &laundry{open: open, shops: map[string]string{}, loads: map[string]*load{}, vouchers: map[string]string{}}
	}, []hole{
		{"single-use", "POST", "/loads/{load_id}/voucher", ""},
		{"undocumented", "GET", "/internal/vouchers", ""},
	}, "single-use", "undocumented")
}
