package scan

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// market is an API with goods that everybody offers and orders, and a wallet.
type market struct {
	open map[string]bool

	mu     sync.Mutex
	n      int
	people map[string]map[string]any // by e-mail address
	tokens map[string]map[string]any
	goods  map[int]map[string]any
	orders []map[string]any
}

const marketSpec = `openapi: 3.0.3
info: {title: Market, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Good: {type: object, properties: {id: {type: integer}, name: {type: string}, price: {type: integer}}}
    Order: {type: object, properties: {id: {type: integer}, good_id: {type: integer}, quantity: {type: integer}, price: {type: integer}, total: {type: integer}}}
security: [{bearer: []}]
paths:
  /register:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /wallet:
    get:
      summary: The caller's own wallet
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {email: {type: string}, balance: {type: number}}}}}}}
  /wallet/deposits:
    post:
      summary: Put money into the wallet
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [amount], properties: {amount: {type: integer}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /transfers:
    post:
      summary: Send money to another customer
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [to_email, amount], properties: {to_email: {type: string, format: email}, amount: {type: integer}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /goods:
    get:
      summary: What is offered to all
      responses: {"200": {description: it, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Good"}}}}}}
    post:
      summary: Offer something
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name, price], properties: {name: {type: string}, price: {type: integer, minimum: 3, maximum: 900, example: 40}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Good"}}}}}
  /goods/{good_id}:
    get:
      summary: One of what is offered
      parameters: [{name: good_id, in: path, required: true, schema: {type: integer}}]
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Good"}}}}}
  /orders:
    get:
      summary: The caller's own orders
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Order"}}}}}}
    post:
      summary: Order something
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [good_id, quantity], properties: {good_id: {type: integer}, quantity: {type: integer}, price: {type: integer, description: as it was shown}, total: {type: integer}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}}}
`

func (s *market) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	s.mu.Lock()
	defer s.mu.Unlock()
	in := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	text := func(name string) string { v, _ := in[name].(string); return v }
	whole := func(name string, least int) (int, bool) {
		f, ok := in[name].(float64)
		return int(f), ok && f == float64(int(f)) && int(f) >= least && f <= 1e6
	}
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if me == nil && r.URL.Path != "/register" && r.URL.Path != "/login" {
		fail(401)
		return
	}
	least := 1
	if s.open["negative"] {
		least = -1000
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /register":
		if s.people[text("email")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.n++
		s.people[text("email")] = map[string]any{"id": 40 + s.n, "email": text("email"), "password": text("password"), "balance": 2000}
		answer(201, map[string]any{"id": 40 + s.n})
	case "POST /login":
		p := s.people[text("email")]
		if p == nil || p["password"] != text("password") {
			fail(401)
			return
		}
		t := rand.Text()
		s.tokens[t] = p
		answer(200, map[string]any{"token": t})
	case "GET /wallet":
		answer(200, map[string]any{"email": me["email"], "balance": me["balance"]})
	case "POST /wallet/deposits":
		n, ok := whole("amount", least)
		if !ok {
			fail(422)
			return
		}
		me["balance"] = me["balance"].(int) + n
		answer(200, map[string]any{"ok": true})
	case "POST /transfers":
		n, ok := whole("amount", least)
		to := s.people[text("to_email")]
		if !ok || to == nil || me["balance"].(int) < n {
			fail(422)
			return
		}
		me["balance"], to["balance"] = me["balance"].(int)-n, to["balance"].(int)+n
		answer(200, map[string]any{"ok": true})
	case "GET /goods":
		out := []any{}
		for _, id := range slices.Sorted(maps.Keys(s.goods)) {
			out = append(out, s.goods[id])
		}
		answer(200, out)
	case "POST /goods":
		n, ok := whole("price", 3)
		if !ok || text("name") == "" {
			fail(422)
			return
		}
		s.n++
		s.goods[300+s.n] = map[string]any{"id": 300 + s.n, "name": text("name"), "price": n}
		answer(201, s.goods[300+s.n])
	case "GET /orders":
		out := []any{}
		for _, o := range s.orders {
			if o["by"] == me["id"] {
				out = append(out, o)
			}
		}
		answer(200, out)
	case "POST /orders":
		id, _ := whole("good_id", 1)
		from := 1
		if s.open["quantity"] {
			from = -1000
		}
		n, ok := whole("quantity", from)
		good := s.goods[id]
		if good == nil || !ok || n == 0 {
			fail(422)
			return
		}
		price := good["price"].(int)
		var total int
		if told, some := whole("price", 0); some && s.open["price"] {
			price = told
		} else if some && s.open["compares"] && told != price {
			fail(409)
			return
		}
		s.n++
		if sum, set := in["total"].(float64); set && s.open["total"] {
			total = int(sum)
		} else {
			total = n * price
		}
		o := map[string]any{"id": 800 + s.n, "good_id": id, "quantity": n, "price": price, "total": total, "by": me["id"]}
		s.orders = append(s.orders, o)
		answer(201, o)
	default:
		id, _ := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/goods/"))
		if g := s.goods[id]; g != nil && r.Method == "GET" {
			answer(200, g)
			return
		}
		fail(404)
	}
}

// TestMarket: each gap of the market is found where it is open, and no other.
func TestMarket(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"compares", nil},
		{"negative", []string{"negative-amount POST /transfers body./amount"}},
		{"quantity", []string{"negative-amount POST /orders body./quantity"}},
		{"price", []string{"client-price POST /orders body./price"}},
		{"total", []string{"client-price POST /orders body./total"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			s := &market{open: map[string]bool{}, people: map[string]map[string]any{}, tokens: map[string]map[string]any{}, goods: map[int]map[string]any{}}
			for _, hole := range strings.Fields(c.open) {
				s.open[hole] = true
			}
			if got := rows(t, marketSpec, s, "negative-amount", "client-price", "mass-assignment"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
