package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/demo/harbour"
	"github.com/crenel-project/crenel/internal/scan/actor"
	"github.com/crenel-project/crenel/internal/spec"
)

// harbourActor logs one of the sample API's accounts in.
func harbourActor(t *testing.T, url, name, short string) *actor.Actor {
	t.Helper()
	a, ok := harbour.AccountNamed(short)
	if !ok {
		t.Fatalf("no account %s", short)
	}
	body, _ := json.Marshal(map[string]string{"email": a.Email, "password": a.Password})
	resp, err := http.Post(url+"/v2/login", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var s struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&s); err != nil || s.AccessToken == "" {
		t.Fatalf("logging %s in: %d %v", short, resp.StatusCode, err)
	}
	who := bearer(name, s.AccessToken, map[string]string{"id": fmt.Sprint(a.ID), "email": a.Email, "password": a.Password, "tenant": fmt.Sprint(a.Company)})
	who.Made = false
	return who
}

// The sample API as a development sample: most of what its actors may reach is reached.
func TestHarbour(t *testing.T) {
	s, err := harbour.New(harbour.Options{Residents: 30})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	defer srv.Close()
	api, err := spec.Load(t.Context(), "../../../demo/harbour/openapi.yaml", spec.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, c, _ := stageAt(t, srv.URL, api, Options{Seed: 1},
		harbourActor(t, srv.URL, actor.User, "alice"), harbourActor(t, srv.URL, actor.Peer, "bob"), harbourActor(t, srv.URL, actor.Foreign, "carol"),
		harbourActor(t, srv.URL, actor.Admin, "grace"), harbourActor(t, srv.URL, "courier", "dave"))
	w.people.(*crowd).fresh = func(n int) *actor.Actor {
		return harbourActor(t, srv.URL, fmt.Sprint("fresh", n), fmt.Sprint("resident", n))
	}
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	show(t, w)
	for _, part := range strings.Fields(os.Getenv("DUMP")) {
		dump(t, c, part)
	}
	reached := 0
	for _, c := range w.Coverage() {
		if c.Reached {
			reached++
		}
	}
	t.Logf("%d of %d reached with %d requests", reached, len(api.Operations), c.seq.Load())
	if c.seq.Load() > 600 {
		t.Errorf("%d requests", c.seq.Load())
	}
	if reached*100 < len(api.Operations)*75 {
		t.Errorf("%d of %d reached", reached, len(api.Operations))
	}
}

func dump(t *testing.T, c *wire, part string) {
	for _, x := range c.sent {
		if strings.Contains(x.Request.Path, part) && x.Request.Method != "GET" || part != "" && strings.HasSuffix(x.Request.Path, part) {
			t.Logf("%s %s %s?%s %s -> %d %s", x.As, x.Request.Method, x.Request.Path, x.Request.Query, x.Request.Body, x.Status, x.Body)
		}
	}
}
