package scan

import (
	"crypto/rand"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// haulage is an API of hauliers, each in a tenant of their own: sums have fractions,
// changes name the revision that they were written after, roles are a list, and
// money goes from one purse to another.
type haulage struct {
	open map[string]bool

	mu      sync.Mutex
	people  map[string]*haulier // by e-mail
	tokens  map[string]*haulier
	hauls   []*haul
	remarks []map[string]any
	purses  []*haulier // by number
	sent    []map[string]any
}

type haulier struct {
	id, email, password string
	roles               []string
	purse               int
	cents               int
	card                string
	used                bool
}

type haul struct {
	of             *haulier
	cargo, state   string
	rate, rebate   float64
	days, revision int
}

const haulageSpec = `openapi: 3.0.1
info: {title: Haulage, version: v1}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer, bearerFormat: JWT}}
  schemas:
    Haul: {type: object, properties: {haul_id: {type: integer}, carrier_id: {type: string}, cargo: {type: string}, days: {type: integer}, day_rate: {type: number}, rebate: {type: number}, state: {type: string, enum: [PLANNED, UNDERWAY, SETTLED]}, revision: {type: integer}}}
    Remark: {type: object, properties: {remark_id: {type: integer}, haul_id: {type: integer}, comment: {type: string}}}
    Transfer: {type: object, properties: {id: {type: integer}, from_purse_id: {type: integer}, to_purse_id: {type: integer}, amount: {type: number}, note: {type: string}}}
    Me: {type: object, properties: {id: {type: string}, email: {type: string}, display: {type: string}, roles: {type: array, items: {type: string}}}}
    Purse: {type: object, properties: {purse_id: {type: integer}, owner_id: {type: string}, balance: {type: number}}}
security: [{bearer: []}]
paths:
  /signup:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {"*/*": {schema: {$ref: '#/components/schemas/Me'}}}}}
  /login:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {"*/*": {schema: {type: object, properties: {access_token: {type: string}}}}}}}
  /me:
    get:
      responses: {"200": {description: me, content: {"*/*": {schema: {$ref: '#/components/schemas/Me'}}}}}
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [display], properties: {display: {type: string}}}}}}
      responses: {"200": {description: me, content: {"*/*": {schema: {$ref: '#/components/schemas/Me'}}}}}
  /lorries:
    get:
      responses: {"200": {description: all, content: {"*/*": {schema: {type: array, items: {type: object, properties: {lorry_id: {type: integer}, plate: {type: string}}}}}}}}
  /hauls:
    get:
      responses: {"200": {description: own, content: {"*/*": {schema: {type: object, properties: {rows: {type: array, items: {$ref: '#/components/schemas/Haul'}}, total: {type: integer}}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [lorry_id, cargo, days], properties: {lorry_id: {type: integer}, cargo: {type: string, maxLength: 80}, days: {type: integer, minimum: 1, maximum: 30}, day_rate: {type: number}}}}}}
      responses: {"201": {description: made, content: {"*/*": {schema: {$ref: '#/components/schemas/Haul'}}}}}
  /hauls/{haul_id}:
    parameters: [{name: haul_id, in: path, required: true, schema: {type: integer}}]
    get:
      responses: {"200": {description: it, content: {"*/*": {schema: {$ref: '#/components/schemas/Haul'}}}}}
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [cargo, revision], properties: {cargo: {type: string, maxLength: 80}, revision: {type: integer}}}}}}
      responses: {"200": {description: it, content: {"*/*": {schema: {$ref: '#/components/schemas/Haul'}}}}}
  /hauls/{haul_id}/remarks:
    parameters: [{name: haul_id, in: path, required: true, schema: {type: integer}}]
    get:
      responses: {"200": {description: them, content: {"*/*": {schema: {type: array, items: {$ref: '#/components/schemas/Remark'}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [comment], properties: {comment: {type: string, maxLength: 200}}}}}}
      responses: {"201": {description: made, content: {"*/*": {schema: {$ref: '#/components/schemas/Remark'}}}}}
  /hauls/{haul_id}/remarks/{remark_id}:
    parameters: [{name: haul_id, in: path, required: true, schema: {type: integer}}, {name: remark_id, in: path, required: true, schema: {type: integer}}]
    get:
      responses: {"200": {description: it, content: {"*/*": {schema: {$ref: '#/components/schemas/Remark'}}}}}
  /hauls/{haul_id}/gift-card:
    parameters: [{name: haul_id, in: path, required: true, schema: {type: integer}}]
    post:
      operationId: redeemGiftCard
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [gift_card_code], properties: {gift_card_code: {type: string}}}}}}
      responses: {"200": {description: it, content: {"*/*": {schema: {$ref: '#/components/schemas/Haul'}}}}}
  /gift-cards:
    get:
      responses: {"200": {description: own, content: {"*/*": {schema: {type: array, items: {type: object, properties: {gift_card_code: {type: string}, percent: {type: integer}}}}}}}}
  /purse:
    get:
      responses: {"200": {description: own, content: {"*/*": {schema: {$ref: '#/components/schemas/Purse'}}}}}
  /purse/transfers:
    get:
      responses: {"200": {description: in and out, content: {"*/*": {schema: {type: array, items: {$ref: '#/components/schemas/Transfer'}}}}}}
    post:
      operationId: transferMoney
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [from_purse_id, to_purse_id, amount], properties: {from_purse_id: {type: integer}, to_purse_id: {type: integer}, amount: {type: number, minimum: 0.01}, note: {type: string, maxLength: 80}}}}}}
      responses: {"201": {description: done, content: {"*/*": {schema: {$ref: '#/components/schemas/Transfer'}}}}}
`

func newHaulage(open string) *haulage {
	s := &haulage{open: map[string]bool{}, people: map[string]*haulier{}, tokens: map[string]*haulier{}}
	for _, hole := range strings.Fields(open) {
		s.open[hole] = true
	}
	return s
}

func (h *haul) shown(n int) map[string]any {
	return map[string]any{"haul_id": n, "carrier_id": h.of.id, "cargo": h.cargo, "days": h.days, "day_rate": h.rate, "rebate": h.rebate, "state": h.state, "revision": h.revision}
}

func (d *haulier) shown() map[string]any {
	return map[string]any{"id": d.id, "email": d.email, "display": "A haulier", "roles": d.roles}
}

func (s *haulage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int, text string) {
		answer(status, map[string]any{"timestamp": time.Now().Format(time.RFC3339Nano), "status": status, "error": http.StatusText(status), "message": text, "path": r.URL.Path})
	}
	var in struct {
		Email, Password, Display, Cargo, State, Comment, Note string
		Roles                                                 []string
		Lorry                                                 int `json:"lorry_id"`
		Days                                                  int
		Revision                                              *int
		Amount                                                float64
		Rate                                                  *float64 `json:"day_rate"`
		Code                                                  string   `json:"gift_card_code"`
		From                                                  int      `json:"from_purse_id"`
		To                                                    int      `json:"to_purse_id"`
	}
	if r.Method != http.MethodGet && json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(400, "JSON parse error")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch r.Method + " " + path[0] {
	case "POST signup":
		if len(in.Password) < 8 || !strings.Contains(in.Email, "@") || s.people[in.Email] != nil {
			fail(400, "email or password is not valid")
			return
		}
		d := &haulier{id: rand.Text(), email: in.Email, password: in.Password, roles: []string{"ROLE_CARRIER"}, cents: 8050, card: "GIFT-" + rand.Text()[:8], purse: 700 + len(s.purses)}
		s.people[in.Email], s.purses = d, append(s.purses, d)
		answer(201, d.shown())
		return
	case "POST login":
		d := s.people[in.Email]
		if d == nil || d.password != in.Password {
			fail(401, "Bad credentials")
			return
		}
		t := rand.Text()
		s.tokens[t] = d
		answer(200, map[string]any{"access_token": t})
		return
	}
	if me == nil {
		fail(401, "Unauthorized")
		return
	}
	switch r.Method + " " + path[0] {
	case "GET me":
		answer(200, me.shown())
	case "PUT me":
		if in.Display == "" {
			fail(400, "display must not be blank")
			return
		}
		if s.open["roles"] && in.Roles != nil {
			me.roles = in.Roles
		}
		answer(200, me.shown())
	case "GET lorries":
		answer(200, []any{map[string]any{"lorry_id": 11, "plate": "L-OR 11"}, map[string]any{"lorry_id": 12, "plate": "L-OR 12"}})
	case "GET gift-cards":
		answer(200, []any{map[string]any{"gift_card_code": me.card, "percent": 10}})
	case "GET purse":
		if len(path) == 2 { // who is sent money sees it as its sender does
			list := []any{}
			for _, m := range s.sent {
				if m["from_purse_id"] == me.purse || m["to_purse_id"] == me.purse {
					list = append(list, m)
				}
			}
			answer(200, list)
			return
		}
		answer(200, map[string]any{"purse_id": me.purse, "owner_id": me.id, "balance": float64(me.cents) / 100})
	case "POST purse":
		from, to, cents := s.purse(in.From), s.purse(in.To), int(math.Round(in.Amount*100))
		switch {
		case from == nil || to == nil || from != me && !s.open["purse"]:
			fail(404, "Purse not found")
		case from == to:
			fail(422, "from_purse_id and to_purse_id must differ")
		case cents <= 0 || from.cents < cents:
			fail(422, "Insufficient funds")
		default:
			left := from.cents - cents
			if s.open["race"] {
				s.mu.Unlock()
				time.Sleep(20 * time.Millisecond)
				s.mu.Lock()
			}
			from.cents = left
			to.cents += cents
			s.sent = append(s.sent, map[string]any{"id": 90 + len(s.sent), "from_purse_id": in.From, "to_purse_id": in.To, "amount": in.Amount, "note": in.Note})
			answer(201, s.sent[len(s.sent)-1])
		}
	case "POST hauls":
		if len(path) == 1 && in.Lorry != 11 && in.Lorry != 12 {
			fail(422, "lorry_id is not known")
			return
		}
		fallthrough
	default:
		s.haul(r.Method, path, me, in.Cargo, in.State, in.Comment, in.Code, in.Days, in.Revision, in.Rate, answer, fail)
	}
}

func (s *haulage) purse(n int) *haulier {
	if n -= 700; n < 0 || n >= len(s.purses) {
		return nil
	}
	return s.purses[n]
}

func (s *haulage) haul(method string, path []string, me *haulier, cargo, state, comment, code string, days int, revision *int, rate *float64, answer func(int, any), fail func(int, string)) {
	if path[0] != "hauls" {
		fail(404, "No such page")
		return
	}
	if len(path) == 1 {
		if method == http.MethodGet {
			rows := []any{}
			for n, h := range s.hauls {
				if h.of == me {
					rows = append(rows, h.shown(n))
				}
			}
			answer(200, map[string]any{"rows": rows, "total": len(rows)})
			return
		}
		if cargo == "" || days < 1 || days > 30 {
			fail(400, "days must be between 1 and 30")
			return
		}
		h := &haul{of: me, cargo: cargo, days: days, rate: 61.5, state: "PLANNED"}
		if s.open["rate"] && rate != nil {
			h.rate = *rate
		}
		if s.open["state"] && slices.Contains([]string{"PLANNED", "UNDERWAY", "SETTLED"}, state) {
			h.state = state
		}
		s.hauls = append(s.hauls, h)
		answer(201, h.shown(len(s.hauls)-1))
		return
	}
	n, err := strconv.Atoi(path[1])
	if err != nil || n < 0 || n >= len(s.hauls) {
		fail(404, "Haul not found")
		return
	}
	h := s.hauls[n]
	if h.of != me && !(s.open["write"] && method == http.MethodPut) {
		fail(404, "Haul not found")
		return
	}
	switch {
	case len(path) == 2 && method == http.MethodGet:
		answer(200, h.shown(n))
	case len(path) == 2 && method == http.MethodPut:
		if revision == nil || *revision != h.revision {
			fail(409, "Row was updated by another transaction")
			return
		}
		h.cargo, h.revision = cargo, h.revision+1
		answer(200, h.shown(n))
	case len(path) == 3 && path[2] == "remarks" && method == http.MethodGet:
		list := []any{}
		for _, m := range s.remarks {
			if m["haul_id"] == n {
				list = append(list, m)
			}
		}
		answer(200, list)
	case len(path) == 3 && path[2] == "remarks":
		s.remarks = append(s.remarks, map[string]any{"remark_id": 40 + len(s.remarks), "haul_id": n, "comment": comment})
		answer(201, s.remarks[len(s.remarks)-1])
	case len(path) == 4 && method == http.MethodGet:
		k, err := strconv.Atoi(path[3])
		if k -= 40; err != nil || k < 0 || k >= len(s.remarks) || s.remarks[k]["haul_id"] != n && !s.open["nested"] {
			fail(404, "Remark not found")
			return
		}
		answer(200, s.remarks[k])
	case len(path) == 3 && path[2] == "gift-card":
		if code != me.card || me.used && !s.open["card"] {
			fail(409, "The card is not valid")
			return
		}
		me.used = true
		h.rebate += math.Round((h.rate*float64(h.days)-h.rebate)*10) / 100
		h.revision++
		answer(200, h.shown(n))
	default:
		fail(404, "No such page")
	}
}

// TestHaulage: holes behind locks, lists, fractions and references are found, and none where they are shut.
func TestHaulage(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"write nested roles state", []string{
			"bola-read GET /hauls/{haul_id}/remarks/{remark_id} path.remark_id", "bola-write PUT /hauls/{haul_id} path.haul_id",
			"mass-assignment POST /hauls body./state", "mass-assignment PUT /me body./roles",
		}},
		{"purse rate card race", []string{
			"bola-reference POST /purse/transfers body./from_purse_id", "client-price POST /hauls body./day_rate",
			"race POST /purse/transfers race", "single-use POST /hauls/{haul_id}/gift-card repeat",
		}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			if got := rows(t, haulageSpec, newHaulage(c.open), "bola-read", "bola-write", "bola-list", "bola-reference", "mass-assignment", "client-price", "single-use", "race"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
