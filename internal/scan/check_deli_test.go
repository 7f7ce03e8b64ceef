package scan

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// deli is an API whose orders are lists of lines, whose answers to orders say
// nothing of money, and whose prices are in cents of a catalogue of its own.
type deli struct {
	open map[string]bool

	mu     sync.Mutex
	people map[string]*deliGuest
	tokens map[string]*deliGuest
	orders map[string]*deliOrder
}

type deliGuest struct {
	email, password string
	cart            int64
}

type deliOrder struct {
	by       *deliGuest
	total    float64
	currency string
}

const deliSpec = `openapi: 3.1.0
info: {title: Deli, version: "1"}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Session}}
security: [{key: []}]
paths:
  /account/new:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"200": {description: made, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /account/login:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {session: {type: string}}}}}}}
  /account:
    get:
      summary: The caller
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}}
  /dishes:
    get:
      summary: What there is
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: object, properties: {dish_id: {type: integer}, name: {type: string}, cents: {type: integer}}}}}}}}
  /cart/lines:
    post:
      summary: Put a dish into the cart
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [dish_id, quantity], properties: {dish_id: {type: integer, enum: [1, 2]}, quantity: {type: integer}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
  /cart:
    get:
      summary: The caller's own cart
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {total_cents: {type: integer}}}}}}}
  /orders:
    post:
      summary: Order dishes
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: object
              required: [lines]
              properties:
                lines: {type: array, minItems: 1, items: {type: object, required: [dish_id, quantity], properties: {dish_id: {type: integer, enum: [1, 2]}, quantity: {type: integer}}}}
                discount_percent: {type: integer}
                total_cents: {type: integer}
                currency: {type: string, enum: [EUR, JPY]}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {order_id: {type: string}}}}}}}
  /orders/{order_id}:
    get:
      summary: One order
      parameters: [{name: order_id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {order_id: {type: string}, total_cents: {type: number}, currency: {type: string}}}}}}}
`

func newDeli(open string) *deli {
	s := &deli{open: map[string]bool{}, people: map[string]*deliGuest{}, tokens: map[string]*deliGuest{}, orders: map[string]*deliOrder{}}
	for _, hole := range strings.Fields(open) {
		s.open[hole] = true
	}
	return s
}

func (s *deli) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	type line struct {
		DishID   int         `json:"dish_id"`
		Quantity json.Number `json:"quantity"`
	}
	var in struct {
		Email, Password string
		line
		Lines           []line
		DiscountPercent *float64 `json:"discount_percent"`
		TotalCents      *float64 `json:"total_cents"`
		Currency        string
	}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(400)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.tokens[r.Header.Get("X-Session")]
	if me == nil && r.URL.Path != "/account/new" && r.URL.Path != "/account/login" {
		fail(401)
		return
	}
	cents := map[int]float64{1: 850, 2: 1290}
	// costs is what a line comes to, and whether that can be ordered.
	costs := func(l line) (float64, bool) {
		price := cents[l.DishID]
		if f, err := l.Quantity.Float64(); err == nil && s.open["fraction"] && f > 0 && f <= 99 {
			return price * f, price > 0
		}
		n, err := strconv.ParseInt(l.Quantity.String(), 10, 64)
		switch {
		case err != nil || price == 0:
			return 0, false
		case s.open["negative"] && n < 0:
			return price * float64(n), true
		case s.open["overflow"] && n > 0:
			return float64(int32(n) * int32(price)), true // that it overflows is the hole
		}
		return price * float64(n), n > 0 && n < 100
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /account/new":
		if s.people[in.Email] != nil || len(in.Password) < 8 || !strings.Contains(in.Email, "@") {
			fail(422)
			return
		}
		s.people[in.Email] = &deliGuest{email: in.Email, password: in.Password}
		answer(200, map[string]any{"ok": true})
	case "POST /account/login":
		p := s.people[in.Email]
		if p == nil || p.password != in.Password {
			fail(401)
			return
		}
		t := rand.Text()
		s.tokens[t] = p
		answer(200, map[string]any{"session": t})
	case "GET /account":
		answer(200, map[string]any{"email": me.email})
	case "GET /dishes":
		answer(200, []any{map[string]any{"dish_id": 1, "name": "soup", "cents": 850}, map[string]any{"dish_id": 2, "name": "pie", "cents": 1290}})
	case "POST /cart/lines":
		c, ok := costs(in.line)
		if n, err := strconv.ParseInt(in.Quantity.String(), 10, 64); err == nil && s.open["cart"] && n < 0 && n > -100 {
			c, ok = cents[in.DishID]*float64(n), true
		}
		if !ok || s.open["negative"] && c < 0 || s.open["fraction"] || s.open["overflow"] && c <= 0 {
			fail(422)
			return
		}
		me.cart += int64(c)
		answer(200, map[string]any{"ok": true})
	case "GET /cart":
		answer(200, map[string]any{"total_cents": me.cart})
	case "POST /orders":
		total := 0.0
		for _, l := range in.Lines {
			c, ok := costs(l)
			if !ok {
				fail(422)
				return
			}
			total += c
		}
		if len(in.Lines) == 0 || in.Currency != "" && in.Currency != "EUR" && in.Currency != "JPY" {
			fail(422)
			return
		}
		if in.DiscountPercent != nil && s.open["discount"] {
			total -= total * *in.DiscountPercent / 100
		}
		if in.TotalCents != nil && s.open["total"] {
			total = *in.TotalCents
		}
		if in.Currency == "JPY" && !s.open["currency"] {
			total *= 1.63
		}
		if in.Currency == "" {
			in.Currency = "EUR"
		}
		id := "ord-" + rand.Text()[:10]
		s.orders[id] = &deliOrder{me, total, in.Currency}
		answer(201, map[string]any{"order_id": id})
	default:
		id, _ := strings.CutPrefix(r.URL.Path, "/orders/")
		o := s.orders[id]
		if o == nil || o.by != me || r.Method != http.MethodGet {
			fail(404)
			return
		}
		answer(200, map[string]any{"order_id": id, "total_cents": o.total, "currency": o.currency})
	}
}

// TestDeli: strange quantities, discounts, totals and currencies are proven by the
// order that is read back, or by the cart.
func TestDeli(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"negative", []string{"negative-amount POST /orders body./lines/*/quantity"}},
		{"overflow", []string{"negative-amount POST /orders body./lines/*/quantity"}},
		{"fraction", []string{"negative-amount POST /orders body./lines/*/quantity"}},
		{"cart", []string{"negative-amount POST /cart/lines body./quantity"}},
		{"total", []string{"client-price POST /orders body./total_cents"}},
		{"discount", []string{"client-price POST /orders body./discount_percent"}},
		{"currency", []string{"client-price POST /orders body./currency"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			if got := rows(t, deliSpec, newDeli(c.open), "negative-amount", "client-price"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
