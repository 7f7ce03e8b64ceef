package limit

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/limit/hashcash"
)

// One account goes by many names: whichever is sent, and however it is written, the
// tries at it are counted together.
func TestOneAccountByManyNames(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		for name, body := range map[string]func(i int) string{
			"the other field":             func(int) string { return `{"username":"bob"}` },
			"the other field, beside one": func(i int) string { return fmt.Sprintf(`{"email":"x%d","username":"bob"}`, i) },
			"null, and the other field":   func(int) string { return `{"email":null,"username":"bob"}` },
			"a list":                      func(int) string { return `{"email":["bob"]}` },
			"an object":                   func(int) string { return `{"email":{"is":"bob"}}` },
			"a list of many":              func(i int) string { return fmt.Sprintf(`{"email":["%d","b%d","c%d","bob"]}`, i, i, i) },
			"true":                        func(int) string { return `{"email":true}` },
			"case and spaces": func(i int) string {
				return fmt.Sprintf(`{"email":%q}`, []string{"bob", "BOB", " bob", "Bob ", "bOb\t"}[i%5])
			},
			"accents, widths, unseen": func(i int) string {
				return fmt.Sprintf(`{"email":"%s"}`, []string{"bob", "b\u00f6b", "\uff42ob", "bo\u200bb", "b\u00d3b"}[i%5])
			},
		} {
			s := open(config.Limit{})
			tries := 0
			for i := range 15 {
				if v, _ := s.send(visit{from: "192.0.2.1", op: "enter", body: body(i), status: 401}); v.Action == exchange.Allow {
					tries++
				} else if v.Code != "limit.login" {
					t.Fatalf("%s: %+v", name, v)
				}
			}
			if tries != 5 {
				t.Errorf("%s: %d of 15 tries are let through, want 5", name, tries)
			}
			if v, _ := s.send(visit{from: "192.0.2.1", op: "enter", body: `{"username":"carol"}`, status: 200}); v.Action != exchange.Allow {
				t.Errorf("%s: somebody else from there: %+v", name, v)
			}
		}
	})
}

// A field that all users of a company fill in alike is not what they are counted by.
func TestASharedFieldIsNoAccount(t *testing.T) {
	for _, body := range []func(i int) string{
		func(i int) string { return fmt.Sprintf(`{"account":"company","username":"u%d"}`, i) },
		func(i int) string { return fmt.Sprintf(`{"email":{"email":"u%d","language":"en"}}`, i) },
	} {
		sharedIsNone(t, body)
	}
}

func sharedIsNone(t *testing.T, body func(i int) string) {
	t.Helper()
	s := openShop(t, config.Limit{}, nil)
	for i := range 12 {
		if v, _ := s.send(visit{from: "192.0.2.1", op: "enter", body: body(i), status: 401}); v.Action != exchange.Allow {
			t.Fatalf("user %d: %+v", i, v)
		}
	}
}

// Whoever has an account of his own with a name like another's buys nothing by
// logging in to it: no tries at the other, and no place where the other is known.
func TestASuccessIsForTheNameAsSent(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		for _, own := range []string{"ALICE@example.com", "alice@example.com ", "\u00e1lice@example.com"} {
			s := open(config.Limit{})
			guesses := 0
			for range 40 {
				if v, _ := s.login("192.0.2.1", "alice@example.com", 401); v.Action == exchange.Allow {
					guesses++
				}
				s.login("192.0.2.1", own, 200)
			}
			if guesses > 5 {
				t.Errorf("%q: %d guesses", own, guesses)
			}
		}
	})
}

// Somebody who mistypes now and then, and is known by two fields at once, never waits.
func TestMistypingInTwoFields(t *testing.T) {
	everywhere(t, func(t *testing.T, open func(config.Limit, ...config.OperationOverride) *store) {
		s := open(config.Limit{})
		for range 20 {
			for _, status := range []int{401, 401, 200} {
				if v, _ := s.send(visit{from: "192.0.2.1", op: "enter", body: `{"email":"\u00e9va@example.com","username":"Eva"}`, status: status}); v.Action != exchange.Allow {
					t.Fatalf("%+v", v)
				}
				s.now = s.now.Add(time.Minute)
			}
		}
	})
}

// What a challenge's answer pays for is paid for all names of a try.
func TestAChallengeForTwoNames(t *testing.T) {
	s := openShop(t, config.Limit{}, nil)
	for i := range 30 { // a botnet guesses at one of the names
		s.send(visit{from: fmt.Sprintf("198.51.100.%d", i+1), op: "enter", body: `{"username":"eva"}`, status: 401})
	}
	body := `{"email":"eva@example.com","username":"eva"}`
	v, _ := s.send(visit{from: "192.0.2.1", op: "enter", body: body, status: 200})
	if v.Code != "limit.challenge" {
		t.Fatalf("%+v", v)
	}
	if v, _ = s.send(visit{from: "192.0.2.1", op: "enter", body: body, status: 200, header: solved(t, v)}); v.Action != exchange.Allow {
		t.Fatalf("with the answer: %+v", v)
	}
	if v, _ = s.send(visit{from: "192.0.2.1", op: "enter", body: body, status: 200}); v.Action != exchange.Allow {
		t.Fatalf("known by then: %+v", v)
	}
}

// solved is the answer to the challenge of a refusal.
func solved(t *testing.T, v exchange.Verdict) http.Header {
	t.Helper()
	challenge, _, _ := strings.Cut(v.Header["Crenel-Challenge"], ";")
	answer, err := hashcash.Solve(challenge)
	if err != nil {
		t.Fatal(err)
	}
	return http.Header{"Crenel-Proof": {answer}}
}
