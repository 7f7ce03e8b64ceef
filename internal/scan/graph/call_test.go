package graph

import (
	"testing"

	"github.com/crenel-project/crenel/internal/spec"
)

// TestCalls: remote procedures that a dot joins to what they are about are read as paths
// are, name their objects in their bodies, and may have a word of their own for a password.
func TestCalls(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: t, version: '1'}
security: [{key: []}]
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /do/keeper.join: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, properties: {email: {type: string}, nick: {type: string}, secret: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/keeper.login: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, properties: {email: {type: string}, secret: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/keeper.changeSecret: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {old_secret: {type: string}, new_secret: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/keeper.whoami: {post: {responses: {'200': {description: ok}}}}
  /do/aviary.list: {post: {responses: {'200': {description: ok}}}}
  /do/bird.store: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {aviary: {type: string}, name: {type: string}, gift: {type: string, description: "The keeper's ref, for a present"}}}}}}, responses: {'200': {description: ok}}}}
  /do/bird.get: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {ref: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/bird.release: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {bird_ref: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/bird.amend: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {bird: {type: string}, name: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /files/com.example: {get: {responses: {'200': {description: ok}}}}
`
	api, err := spec.Parse([]byte(doc), "x.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := Build(api)
	for path, want := range map[string]struct {
		about string
		kind  Kind
		reads bool
	}{
		"/do/keeper.whoami": {"keeper", Read, true},
		"/do/aviary.list":   {"aviary", List, true},
		"/do/bird.store":    {"bird", Create, false},
		"/do/bird.get":      {"bird", Read, true},
		"/do/bird.amend":    {"bird", Update, false},
		"/do/bird.release":  {"bird", Action, false},
	} {
		op := g.Op("POST", path)
		if op.About == nil || op.About.Name != want.about || op.Kind != want.kind || op.Reads() != want.reads {
			t.Errorf("%s: %s of %v, reads %v; want %s of %s, %v", path, op.Kind, op.About, op.Reads(), want.kind, want.about, want.reads)
		}
	}
	for path, input := range map[string][2]string{"/do/bird.store": {"body./aviary", "aviary"}, "/do/bird.get": {"body./ref", "bird"}, "/do/bird.amend": {"body./bird", "bird"}} {
		in := g.Op("POST", path).Input(input[0])
		if in.Object == nil || in.Object.Resource != input[1] {
			t.Errorf("%s: %s names %v, want %s", path, input[0], in.Object, input[1])
		}
	}
	if in := g.Op("POST", "/do/bird.store").Input("body./gift"); in.Object == nil || in.Object.Resource != "keeper" {
		t.Errorf("what the description calls a keeper's ref names %v", in.Object)
	}
	for path, p := range map[string]Purpose{"/do/keeper.join": Register, "/do/keeper.login": Login, "/do/keeper.changeSecret": PasswordChange} {
		op := g.Op("POST", path)
		if !op.Has(p) {
			t.Errorf("%s is not seen to be a %s", path, p)
		}
		for _, in := range op.Inputs {
			if (in.Name == "secret" || in.Name == "old_secret" || in.Name == "new_secret") && in.Meaning != MeansPassword {
				t.Errorf("%s: %s is %q, want a password", path, in.Name, in.Meaning)
			}
		}
	}
	if a := g.Op("GET", "/files/com.example").About; a != nil && a.Name == "com" {
		t.Error("a dot in a name is taken for a call")
	}
}

// TestCallsOfAccounts: a reset is known by what it takes where no word says password, and
// a coupon's code feeds what redeems it, whatever kind of coupon an answer calls it.
func TestCallsOfAccounts(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: t, version: '1'}
security: [{key: []}]
components: {securitySchemes: {key: {type: apiKey, in: header, name: X-Key}}}
paths:
  /do/reset.ask: {post: {security: [], requestBody: {content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/device.reset: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {device: {type: string}}}}}}, responses: {'200': {description: ok}}}}
  /do/account.show: {post: {responses: {'200': {description: ok, content: {application/json: {schema: {type: object, properties: {hello_voucher: {type: string}, vouchers: {type: string}}}}}}}}}
  /do/voucher.redeem: {post: {requestBody: {content: {application/json: {schema: {type: object, properties: {code: {type: string}}}}}}, responses: {'200': {description: ok}}}}
`
	api, err := spec.Parse([]byte(doc), "x.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	g := Build(api)
	if !g.Op("POST", "/do/reset.ask").Has(PasswordForgot) {
		t.Error("what resets by an address alone is not known for what it is")
	}
	if g.Op("POST", "/do/device.reset").Has(PasswordForgot) {
		t.Error("the reset of a device is taken for that of a password")
	}
	list := g.Producers(g.Op("POST", "/do/voucher.redeem").Input("body./code"))
	if len(list) != 1 || list[0].From.Pointer != "/hello_voucher" {
		t.Errorf("a voucher's code comes from %v, want /hello_voucher", list)
	}
}
