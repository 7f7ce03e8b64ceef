package scan

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// bazaar is an API with gift cards, messages that are sent to phones, talks
// between two, and stalls where things are bought till they are gone. How it does
// each is its ways': a hole, or one of several honest ones.
type bazaar struct {
	ways map[string]bool

	mu     sync.Mutex
	n      int
	people map[string]*trader // by e-mail address
	cards  map[string]int
	talks  map[string]*talk
	bought []purchase
	left   map[string]int // of each stall
}

type trader struct {
	ID, Email, Password, Phone string
	Points, Sent               int
}

type talk struct {
	a, b string
	text string
}

type purchase struct {
	owner, stall string
	units, price int
}

const bazaarSpec = `openapi: 3.1.0
info: {title: Bazaar, version: "2"}
components:
  securitySchemes: {token: {type: apiKey, in: header, name: X-Bazaar-Token}}
security: [{token: []}]
paths:
  /accounts:
    post:
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {accountId: {type: string}}}}}}}
  /sessions:
    post:
      operationId: logIn
      security: []
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [email, password], properties: {email: {type: string, format: email}, password: {type: string}}}}}}
      responses: {"201": {description: in, content: {application/json: {schema: {type: object, properties: {sessionToken: {type: string}}}}}}}
  /account:
    get:
      operationId: whoAmI
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {accountId: {type: string}, email: {type: string}, points: {type: integer}}}}}}}
    put:
      requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {mobilePhone: {type: string}}}}}}
      responses: {"200": {description: me}}
  /account/mobile/resendVerification:
    post:
      responses: {"202": {description: on its way}}
  /gift-cards:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [points], properties: {points: {type: integer, minimum: 1, maximum: 500}, forAccountId: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {cardNumber: {type: string}, points: {type: integer}}}}}}}
  /gift-cards/redeem:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [cardNumber], properties: {cardNumber: {type: string}}}}}}
      responses: {"200": {description: done}}
  /talks:
    get:
      responses: {"200": {description: mine, content: {application/json: {schema: {type: object, properties: {talks: {type: array, items: {type: object, properties: {talkId: {type: string}}}}}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [recipientId, text], properties: {recipientId: {type: string}, text: {type: string}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {talkId: {type: string}}}}}}}
  /talks/{talkId}:
    get:
      parameters: [{name: talkId, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {talkId: {type: string}, text: {type: string}}}}}}}
  /stalls:
    get:
      responses: {"200": {description: all, content: {application/json: {schema: {type: array, items: {type: object, properties: {stallId: {type: string}, offers: {type: string}}}}}}}}
  /purchases:
    get:
      responses: {"200": {description: mine, content: {application/json: {schema: {type: array, items: {type: object, properties: {purchaseId: {type: integer}, total: {type: integer}}}}}}}}
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [stallId, quantity], properties: {stallId: {type: string}, quantity: {type: integer, minimum: 1, maximum: 9}, total: {type: integer, description: shown to the buyer before}}}}}}
      responses: {"201": {description: it, content: {application/json: {schema: {type: object, properties: {purchaseId: {type: integer}}}}}}}
`

func bazaarToken(id string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte("bazaar "+id))) }

func newBazaar(ways ...string) *bazaar {
	s := &bazaar{ways: map[string]bool{}, people: map[string]*trader{}, cards: map[string]int{}, talks: map[string]*talk{}, left: map[string]int{}}
	for _, w := range ways {
		s.ways[w] = true
	}
	for i := range 12 {
		s.left[fmt.Sprintf("stall-%c", 'a'+i)] = 4
	}
	s.left["stall-a"] = 1 // the first is soon empty
	return s
}

func (s *bazaar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	fail := func(status int, why string) { answer(status, map[string]any{"error": why}) }
	var in struct {
		Email, Password, MobilePhone, ForAccountID, CardNumber, RecipientID, Text, StallID string
		Points, Quantity                                                                   int
		Total                                                                              *int
	}
	if r.Method != http.MethodGet && r.ContentLength != 0 && json.NewDecoder(r.Body).Decode(&in) != nil {
		fail(400, "no JSON")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	var me *trader
	for _, t := range s.people {
		if r.Header.Get("X-Bazaar-Token") == bazaarToken(t.ID) {
			me = t
		}
	}
	key := r.Method + " " + r.URL.Path
	if me == nil && key != "POST /accounts" && key != "POST /sessions" {
		fail(401, "who is it")
		return
	}
	switch key {
	case "POST /accounts":
		if s.people[in.Email] != nil || len(in.Password) < 8 || !strings.Contains(in.Email, "@") {
			fail(422, "email and password")
			return
		}
		s.people[in.Email] = &trader{ID: fmt.Sprintf("acc-%04d", s.n), Email: in.Email, Password: in.Password, Points: 1000}
		answer(201, map[string]any{"accountId": s.people[in.Email].ID})
	case "POST /sessions":
		t := s.people[in.Email]
		if t == nil || t.Password != in.Password {
			fail(401, "wrong")
			return
		}
		answer(201, map[string]any{"sessionToken": bazaarToken(t.ID)})
	case "GET /account":
		answer(200, map[string]any{"accountId": me.ID, "email": me.Email, "points": me.Points})
	case "PUT /account":
		if in.MobilePhone != "" {
			me.Phone = in.MobilePhone
		}
		answer(200, map[string]any{"accountId": me.ID})
	case "POST /account/mobile/resendVerification":
		switch me.Sent++; {
		case me.Phone == "":
			fail(409, "there is no mobile phone to send it to")
		case s.ways["flood limited"] && me.Sent > 5:
			w.Header().Set("Retry-After", "600")
			fail(429, "too many")
		case s.ways["flood silently limited"] && me.Sent > 1:
			answer(202, map[string]any{"sentTo": me.Phone, "alreadySent": true})
		default:
			answer(202, map[string]any{"sentTo": me.Phone})
		}
	case "POST /gift-cards":
		if in.Points < 1 || in.Points > 500 {
			fail(422, "points")
			return
		}
		if s.ways["cards by staff"] {
			fail(403, "for staff")
			return
		}
		if s.ways["cards are bought"] {
			me.Points -= in.Points
		}
		number := fmt.Sprintf("GIFT-%05d", s.n)
		s.cards[number] = in.Points
		answer(201, map[string]any{"cardNumber": number, "points": in.Points})
	case "POST /gift-cards/redeem":
		points, there := s.cards[in.CardNumber]
		if !there {
			fail(404, "no such card")
			return
		}
		delete(s.cards, in.CardNumber)
		me.Points += points
		answer(200, map[string]any{"points": me.Points})
	case "POST /talks":
		if !slices.ContainsFunc(slices.Collect(maps.Values(s.people)), func(t *trader) bool { return t.ID == in.RecipientID }) || in.RecipientID == me.ID || in.Text == "" {
			fail(422, "recipientId: somebody else; text")
			return
		}
		id := fmt.Sprintf("talk-%05d", s.n)
		s.talks[id] = &talk{me.ID, in.RecipientID, in.Text}
		answer(201, map[string]any{"talkId": id})
	case "GET /talks":
		list := []any{}
		for _, id := range slices.Sorted(maps.Keys(s.talks)) {
			if t := s.talks[id]; s.ways["talks are public"] || t.a == me.ID || t.b == me.ID {
				list = append(list, map[string]any{"talkId": id})
			}
		}
		answer(200, map[string]any{"talks": list})
	case "GET /stalls":
		list := []any{}
		for _, id := range slices.Sorted(maps.Keys(s.left)) {
			list = append(list, map[string]any{"stallId": id, "offers": "figs of " + id})
		}
		answer(200, list)
	case "POST /purchases":
		left, there := s.left[in.StallID]
		switch total := 30 * in.Quantity; {
		case !there || in.Quantity < 1 || in.Quantity > 9:
			fail(422, "stallId, quantity")
		case left < in.Quantity:
			fail(409, "sold out")
		case s.ways["price is compared"] && in.Total != nil && *in.Total != total:
			fail(409, "the price has changed")
		default:
			if in.Total != nil && s.ways["price of the client"] {
				total = *in.Total
			}
			s.left[in.StallID] -= in.Quantity
			s.bought = append(s.bought, purchase{me.ID, in.StallID, in.Quantity, total})
			answer(201, map[string]any{"purchaseId": len(s.bought)})
		}
	case "GET /purchases":
		list := []any{}
		for i, b := range s.bought {
			if b.owner == me.ID {
				list = append(list, map[string]any{"purchaseId": i + 1, "stallId": b.stall, "total": b.price})
			}
		}
		answer(200, list)
	default:
		if id, ok := strings.CutPrefix(key, "GET /talks/"); ok {
			if t := s.talks[id]; t != nil && (s.ways["talks are open"] || s.ways["talks are public"] || t.a == me.ID || t.b == me.ID) {
				answer(200, map[string]any{"talkId": id, "text": t.text})
				return
			}
		}
		fail(404, "nothing")
	}
}

// Each way that is a hole is found, by its check and no other; honest ways are not.
func TestBazaar(t *testing.T) {
	checks := []string{"self-issued", "message-flood", "bola-shared", "bola-read", "client-price"}
	for _, c := range []struct {
		ways string
		want []string
	}{
		{"talks are open, price of the client", []string{
			"bola-shared /talks/{talkId} path.talkId", "client-price /purchases body./total",
			"message-flood /account/mobile/resendVerification frequency", "self-issued /gift-cards role",
		}},
		{"cards by staff, flood limited, price is compared", nil},
		{"cards are bought, flood silently limited, talks are public", nil},
	} {
		t.Run(c.ways, func(t *testing.T) {
			var found []string
			for _, f := range tested(t, bazaarSpec, newBazaar(strings.Split(c.ways, ", ")...), checks...).Report.Findings {
				found = append(found, f.Check+" "+f.Path+" "+f.Where)
			}
			slices.Sort(found)
			if !slices.Equal(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}
