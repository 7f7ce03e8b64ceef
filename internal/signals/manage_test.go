package signals_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/signals"
)

func TestManagement(t *testing.T) {
	var said []string
	streams := `[{"stream_id":"s1","iss":"x"}]`
	remove := "" // there is none
	var srv *httptest.Server
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/.well-known/ssf-configuration/tenant" {
			if r.Header.Get("Authorization") != "" {
				t.Error("the token went to a public document")
			}
			u := srv.URL
			_ = json.NewEncoder(w).Encode(map[string]string{
				"issuer": u + "/tenant", "configuration_endpoint": u + "/stream", "verification_endpoint": u + "/verify", "add_subject_endpoint": u + "/add",
				"remove_subject_endpoint": remove,
			})
			return
		}
		if r.Header.Get("Authorization") != "Bearer management-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		body, _ := io.ReadAll(r.Body)
		said = append(said, r.Method+" "+r.URL.Path+" "+string(body))
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, streams)
			return
		}
		if r.URL.Path == "/stream" {
			_, _ = io.WriteString(w, `{"stream_id":"s2","delivery":{"authorization_header":"Bearer push-token"}}`)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	c := &config.Transmitter{
		Name: "idp", Issuer: srv.URL + "/tenant", Token: config.NewSecret("management-token"),
		Push: &config.SignalsPush{Path: "/signals", Token: config.NewSecret("push-token")},
	}
	ctx := t.Context()
	m, err := signals.Manage(ctx, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	id, err := m.StreamID(ctx)
	if err != nil || id != "s1" {
		t.Fatal(id, err)
	}
	if err := m.Verify(ctx, id, "abc"); err != nil {
		t.Error(err)
	}
	if err := m.Subject(ctx, id, map[string]string{"format": "email", "email": "a@x.test"}, false); err != nil {
		t.Error(err)
	}
	if err := m.Subject(ctx, id, map[string]string{"format": "email", "email": "a@x.test"}, true); err == nil || !strings.Contains(err.Error(), "remove_subject_endpoint") {
		t.Errorf("an endpoint that is not there: %v", err)
	}
	remove = "http://idp.example/remove"
	elsewhere, err := signals.Manage(ctx, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	if err := elsewhere.Subject(ctx, id, map[string]string{"format": "email", "email": "a@x.test"}, true); err == nil || !strings.Contains(err.Error(), "neither https nor on this machine") {
		t.Errorf("the token would go to another machine in the clear: %v", err)
	}
	if raw, err := m.Create(ctx, "https://gw.test/signals"); err != nil || !strings.Contains(string(raw), "s2") || strings.Contains(string(raw), "push-token") {
		t.Error(string(raw), err)
	}
	all := strings.Join(said, "\n")
	for _, want := range []string{
		`POST /verify {"state":"abc","stream_id":"s1"}`,
		`POST /add {"stream_id":"s1","subject":{"email":"a@x.test","format":"email"},"verified":true}`,
		`"authorization_header":"Bearer push-token","endpoint_url":"https://gw.test/signals","method":"urn:ietf:rfc:8935"`,
		"session-revoked",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("not said: %s in\n%s", want, all)
		}
	}
	for _, answer := range []string{`[]`, `[{"stream_id":"a"},{"stream_id":"b"}]`} {
		streams = answer
		if id, err := m.StreamID(ctx); err == nil {
			t.Errorf("%s: %s", answer, id)
		}
	}
	streams = `{"stream_id":"only"}`
	if id, err := m.StreamID(ctx); err != nil || id != "only" {
		t.Error(id, err)
	}
	c.Token = config.NewSecret("wrong")
	if _, err := m.Streams(ctx); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
	c.Issuer = srv.URL
	if m, err := signals.Manage(ctx, c, nil); err == nil {
		m.Close()
		t.Error("metadata of nobody was taken")
	}
}
