package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/demo/harbour"
)

// trial is an attack for the user to change.
type trial struct {
	about  string
	method string
	path   string
	body   string
	code   string // with which it is refused as it stands
	change string // what to change
}

var trials = []trial{
	{"carol looks for parcels, and for passwords", http.MethodGet,
		"/v2/search?q=zz%27%29%20UNION%20SELECT%20id,%20password_hash,%200,%20email,%20role%20FROM%20users%20--", "",
		"waf.attack", "the search text after q=; an honest one is q=O%27Brien"},
	{"carol reads a parcel of alice's", http.MethodGet, "/v2/parcels/5001", "",
		"authz.not_owner", "the number; her own are listed by /v2/parcels"},
	{"carol makes herself rich", http.MethodPatch, "/v2/me", `{"balance_cents":987654}`,
		"contract.unknown_property", `the body; an honest one is {"phone":"+494055500101"}`},
}

// freeHand prints attacks as curl commands, each of which it has tried.
func (t *tour) freeHand(ctx context.Context) error {
	t.section("A free hand: change the attack and try")
	carol, _ := harbour.AccountNamed("carol")
	token, err := t.logIn(ctx, carol)
	if err != nil {
		return err
	}
	t.linef("  CA=%s", t.gateway.rootCA)
	t.linef("  API=%s        # straight at Harbour: API=%s", t.gateway.url(), t.harbour.url())
	t.linef(`  TOKEN=$(curl -s --cacert $CA $API/v2/login -H 'Content-Type: application/json' \`)
	t.linef(`    -d '{"email":"%s","password":"%s"}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`, carol.Email, carol.Password)
	id := ""
	for _, a := range trials {
		req, err := http.NewRequestWithContext(ctx, a.method, t.gateway.url()+a.path, strings.NewReader(a.body))
		if err != nil {
			return fmt.Errorf("making a request: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if a.body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		status, body, header, err := send(from(t.gateway.client, "198.51.100.201"), req)
		if err != nil {
			return err
		}
		id = header.Get("X-Crenel-Request-Id")
		t.linef("")
		t.linef("  %s", t.bold(a.about))
		for _, line := range a.curl() {
			t.linef("  %s", line)
		}
		t.expect(denial(harbour.Exchange{Status: status, Body: body}) == a.code, "%d %s", status, codeAndPlace(body))
		t.linef("    change %s", a.change)
	}
	t.linef("")
	t.linef("  Why was it refused? The request_id of an answer tells, for instance:")
	t.linef("  %s event %s --file %s", t.gateway.crenel, id, t.gateway.events())
	t.linef("  Change a rule and see: %s (it is loaded as soon as it is saved)", t.gateway.config())
	return nil
}

// curl is the command for it.
func (a trial) curl() []string {
	first := `curl -s --cacert $CA -H "Authorization: Bearer $TOKEN"`
	if a.method != http.MethodGet {
		first += " -X " + a.method
	}
	first += ` "$API` + a.path + `"`
	if a.body == "" {
		return []string{first}
	}
	return []string{first + ` \`, `  -H 'Content-Type: application/json' -d '` + a.body + `'`}
}

// codeAndPlace is what a denial tells its client.
func codeAndPlace(body string) string {
	var problem struct{ Code, At string }
	if json.Unmarshal([]byte(body), &problem) != nil {
		return ""
	}
	if problem.At == "" {
		return problem.Code
	}
	return problem.Code + " at " + problem.At
}
