package scan

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// till is an API of a shop whose customers have a purse with fractions, redeem
// promotions, buy gift cards for each other, book what is refunded, and rate.
type till struct {
	open map[string]bool

	mu     sync.Mutex
	n      int
	people map[string]*tillCustomer // by e-mail address
	tokens map[string]*tillCustomer
	cards  map[string]*tillCard
	trips  map[int]*tillTrip
	polls  map[int]*tillPoll
}

type tillCustomer struct {
	id       int
	email    string
	password string
	cents    int
	used     map[string]int
	redeemed map[int]string // identifier → code
	voted    map[int]int
}

type tillCard struct {
	id     int
	by     *tillCustomer
	code   string
	amount int
	spent  bool
}

type tillTrip struct {
	by    *tillCustomer
	to    string
	state string
}

type tillPoll struct {
	by       *tillCustomer
	question string
	votes    int
}

const tillSpec = `openapi: 3.0.3
info: {title: Till, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  schemas:
    Trip: {type: object, properties: {id: {type: integer}, destination: {type: string}, status: {type: string}}}
    GiftCard: {type: object, properties: {id: {type: integer}, code: {type: string}, amount: {type: string}}}
    Poll: {type: object, properties: {id: {type: integer}, question: {type: string}, votes: {type: integer}}}
security: [{bearer: []}]
paths:
  /customers:
    post:
      summary: Register
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {id: {type: integer}}}}}}}
  /sessions:
    post:
      summary: Log in
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"201": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /purse:
    get:
      summary: The caller's own purse
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {email: {type: string}, balance: {type: string, example: "12.50"}}}}}}}
  /promotions/redemptions:
    post:
      summary: Redeem a promotion
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [promo_code], properties: {promo_code: {type: string, example: SPRING-10}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {id: {type: integer}, promo_code: {type: string}}}}}}}
  /promotions/redemptions/{redemption_id}:
    delete:
      summary: Take a redemption back
      parameters: [{name: redemption_id, in: path, required: true, schema: {type: integer}}]
      responses: {"204": {description: gone}}
  /gift-cards:
    get:
      summary: The gift cards that the caller has bought
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/GiftCard"}}}}}}
    post:
      summary: Buy a gift card
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [amount], properties: {amount: {type: string, enum: ["5.00", "10.00"]}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/GiftCard"}}}}}
  /gift-cards/redeem:
    post:
      summary: Redeem a gift card
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [code], properties: {code: {type: string}}}}}}
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {redeemed: {type: boolean}}}}}}}
  /trips:
    get:
      summary: The caller's own trips
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Trip"}}}}}}
    post:
      summary: Book a trip
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [destination], properties: {destination: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Trip"}}}}}
  /trips/{trip_id}:
    parameters: [{name: trip_id, in: path, required: true, schema: {type: integer}}]
    get:
      summary: One trip
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Trip"}}}}}
  /trips/{trip_id}/cancel:
    parameters: [{name: trip_id, in: path, required: true, schema: {type: integer}}]
    post:
      summary: Cancel a trip
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Trip"}}}}}
  /polls:
    get:
      summary: What is asked
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Poll"}}}}}}
    post:
      summary: Ask something
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [question], properties: {question: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Poll"}}}}}
  /polls/{poll_id}:
    parameters: [{name: poll_id, in: path, required: true, schema: {type: integer}}]
    get:
      summary: One question
      responses: {"200": {description: it, content: {application/json: {schema: {$ref: "#/components/schemas/Poll"}}}}}
  /polls/{poll_id}/vote:
    parameters: [{name: poll_id, in: path, required: true, schema: {type: integer}}]
    post:
      summary: Vote for a question
      responses: {"200": {description: done, content: {application/json: {schema: {type: object, properties: {ok: {type: boolean}}}}}}}
    delete:
      summary: Take the vote back
      responses: {"204": {description: done}}
`

func newTill(open string) *till {
	s := &till{open: map[string]bool{}, people: map[string]*tillCustomer{}, tokens: map[string]*tillCustomer{}, cards: map[string]*tillCard{}, trips: map[int]*tillTrip{}, polls: map[int]*tillPoll{}}
	for _, hole := range strings.Fields(open) {
		s.open[hole] = true
	}
	return s
}

const tripCents = 450

// pause is where a hole of time lies: what was looked at is not what is changed.
func (s *till) pause(hole string) {
	if s.open[hole] {
		s.mu.Unlock()
		time.Sleep(30 * time.Millisecond)
		s.mu.Lock()
	}
}

func euros(cents int) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

func (s *till) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int) { answer(status, map[string]any{"error": http.StatusText(status)}) }
	in := map[string]any{}
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
	text := func(name string) string { v, _ := in[name].(string); return v }
	s.mu.Lock()
	defer s.mu.Unlock()
	me := s.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if me == nil && r.URL.Path != "/customers" && r.URL.Path != "/sessions" {
		fail(401)
		return
	}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	id := 0
	if len(parts) > 1 {
		if n, err := strconv.Atoi(parts[1]); err == nil {
			id, parts[1] = n, "*"
		}
	}
	trip := func(n int, t *tillTrip) any {
		return map[string]any{"id": n, "destination": t.to, "status": t.state}
	}
	poll := func(n int, t *tillPoll) any {
		return map[string]any{"id": n, "question": t.question, "votes": t.votes}
	}
	switch r.Method + " /" + strings.Join(parts, "/") {
	case "POST /customers":
		if s.people[text("email")] != nil || len(text("password")) < 8 || !strings.Contains(text("email"), "@") {
			fail(422)
			return
		}
		s.n++
		s.people[text("email")] = &tillCustomer{id: s.n, email: text("email"), password: text("password"), cents: 5000, used: map[string]int{}, redeemed: map[int]string{}, voted: map[int]int{}}
		answer(201, map[string]any{"id": s.n})
	case "POST /sessions":
		p := s.people[text("email")]
		if p == nil || p.password != text("password") {
			fail(401)
			return
		}
		t := rand.Text()
		s.tokens[t] = p
		answer(201, map[string]any{"token": t})
	case "GET /purse":
		answer(200, map[string]any{"email": me.email, "balance": euros(me.cents)})
	case "POST /promotions/redemptions":
		code := text("promo_code")
		if code != "SPRING-10" {
			fail(422)
			return
		}
		if me.used[code] > 0 && !s.open["repeat"] {
			fail(409)
			return
		}
		s.pause("race-promo")
		me.used[code]++
		s.n++
		me.redeemed[s.n] = code
		me.cents += 1025
		answer(201, map[string]any{"id": s.n, "promo_code": code})
	case "GET /gift-cards":
		out := []any{}
		for _, code := range slices.Sorted(maps.Keys(s.cards)) {
			if c := s.cards[code]; c.by == me {
				out = append(out, map[string]any{"id": c.id, "code": c.code, "amount": euros(c.amount)})
			}
		}
		answer(200, out)
	case "POST /gift-cards":
		amount := map[string]int{"5.00": 500, "10.00": 1000}[text("amount")]
		if amount == 0 || me.cents < amount {
			fail(422)
			return
		}
		s.n++
		c := &tillCard{id: s.n, by: me, code: rand.Text()[:12], amount: amount}
		me.cents -= amount
		s.cards[c.code] = c
		answer(201, map[string]any{"id": c.id, "code": c.code, "amount": euros(c.amount)})
	case "POST /gift-cards/redeem":
		c := s.cards[text("code")]
		key := "card " + text("code")
		if c == nil || c.spent && !s.open["another"] || me.used[key] > 0 {
			fail(422)
			return
		}
		s.pause("race-card")
		c.spent = true
		me.used[key]++
		me.cents += c.amount
		answer(200, map[string]any{"redeemed": true})
	case "GET /trips":
		out := []any{}
		for _, n := range slices.Sorted(maps.Keys(s.trips)) {
			if s.trips[n].by == me {
				out = append(out, trip(n, s.trips[n]))
			}
		}
		answer(200, out)
	case "POST /trips":
		if text("destination") == "" || me.cents < tripCents {
			fail(422)
			return
		}
		s.n++
		me.cents -= tripCents
		s.trips[s.n] = &tillTrip{me, text("destination"), "booked"}
		answer(201, trip(s.n, s.trips[s.n]))
	case "POST /polls":
		if text("question") == "" {
			fail(422)
			return
		}
		s.n++
		s.polls[s.n] = &tillPoll{by: me, question: text("question")}
		answer(201, poll(s.n, s.polls[s.n]))
	case "GET /polls":
		out := []any{}
		for _, n := range slices.Sorted(maps.Keys(s.polls)) {
			out = append(out, poll(n, s.polls[n]))
		}
		answer(200, out)
	default:
		s.onObject(r.Method+" /"+strings.Join(parts, "/"), id, parts, me, answer, fail, trip, poll, w)
	}
}

// onObject is what is done with one trip, question or redemption.
func (s *till) onObject(key string, id int, parts []string, me *tillCustomer, answer func(int, any), fail func(int), trip func(int, *tillTrip) any, poll func(int, *tillPoll) any, w http.ResponseWriter) {
	if n, err := strconv.Atoi(parts[len(parts)-1]); err == nil && strings.HasPrefix(key, "DELETE /promotions/redemptions/") {
		if me.redeemed[n] == "" {
			fail(404)
			return
		}
		if s.open["undone"] {
			delete(me.used, me.redeemed[n]) // and the money stays
		} else {
			me.cents -= 1025
			delete(me.used, me.redeemed[n])
		}
		delete(me.redeemed, n)
		w.WriteHeader(204)
		return
	}
	t, q := s.trips[id], s.polls[id]
	if len(parts) < 2 || parts[0] == "trips" && (t == nil || t.by != me) || parts[0] == "polls" && q == nil {
		fail(404)
		return
	}
	switch key {
	case "GET /trips/*":
		answer(200, trip(id, t))
	case "POST /trips/*/cancel":
		if t.state == "cancelled" && !s.open["refunds"] {
			if s.open["quiet"] {
				answer(200, trip(id, t)) // as if it had been done, and it was
				return
			}
			fail(409)
			return
		}
		s.pause("race-refund")
		t.state = "cancelled"
		me.cents += tripCents
		answer(200, trip(id, t))
	case "GET /polls/*":
		answer(200, poll(id, q))
	case "POST /polls/*/vote":
		if me.voted[id] > 0 && !s.open["votes"] {
			answer(200, map[string]any{"ok": true})
			return
		}
		s.pause("race-vote")
		me.voted[id]++
		q.votes++
		answer(200, map[string]any{"ok": true})
	case "DELETE /polls/*/vote":
		if me.voted[id] > 0 && !s.open["unvoted"] {
			q.votes--
		}
		me.voted[id] = 0
		w.WriteHeader(204)
	default:
		fail(404)
	}
}

// TestTill: what is good for once is proven to be good for more by a purse or a
// count: again, after it was taken back, for another, at one moment.
func TestTill(t *testing.T) {
	for _, c := range []struct {
		open string
		want []string
	}{
		{"", nil},
		{"quiet", nil},
		{"repeat", []string{"single-use POST /promotions/redemptions repeat"}},
		{"undone", []string{"single-use POST /promotions/redemptions undone"}},
		{"another", []string{"single-use POST /gift-cards/redeem another"}},
		{"refunds", []string{"single-use POST /trips/{trip_id}/cancel repeat"}},
		{"votes", []string{"single-use POST /polls/{poll_id}/vote repeat"}},
		{"unvoted", []string{"single-use POST /polls/{poll_id}/vote undone"}},
		{"race-promo", []string{"race POST /promotions/redemptions race"}},
		{"race-refund", []string{"race POST /trips/{trip_id}/cancel race"}},
		{"race-vote", []string{"race POST /polls/{poll_id}/vote race"}},
		{"race-card", []string{"race POST /gift-cards/redeem race"}},
	} {
		t.Run("open="+c.open, func(t *testing.T) {
			t.Parallel()
			if got := rows(t, tillSpec, newTill(c.open), "single-use", "race"); !slices.Equal(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}
