package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/rogpeppe/go-internal/testscript"
)

// sender is a transmitter of security events as SSF 1.0 has it, with one receiver.
type sender struct {
	url string
	key *ecdsa.PrivateKey

	mu      sync.Mutex
	streams []map[string]any
	pushTo  string
	pushBy  string // the Authorization of pushes
	said    []string
}

// senders are those that scripts started.
var senders = map[*testscript.TestScript]*sender{}

// transmitter starts one: transmitter TOKEN. It sets ISSUER. What it is asked to
// push goes to LISTEN. "transmitter said TEXT" looks for a request that it got,
// "transmitter event SUBJECT" pushes that all of a subject's sessions ended.
func transmitter(ts *testscript.TestScript, neg bool, args []string) {
	s := senders[ts]
	switch args[0] {
	case "said":
		s.mu.Lock()
		defer s.mu.Unlock()
		if all := strings.Join(s.said, "\n"); strings.Contains(all, args[1]) == neg {
			ts.Fatalf("said %q: %v; all of it:\n%s", args[1], neg, all)
		}
		return
	case "event":
		ts.Check(s.push(map[string]any{
			"sub_id": map[string]any{"format": "iss_sub", "iss": s.url, "sub": args[1]},
			"events": map[string]any{"https://schemas.openid.net/secevent/caep/event-type/session-revoked": map[string]any{}},
		}))
		return
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	s = &sender{key: key}
	srv := httptest.NewUnstartedServer(s.handler(args[0], "http://"+ts.Getenv("LISTEN")))
	s.url = "http://" + srv.Listener.Addr().String() // before anybody can ask for it
	srv.Start()
	ts.Defer(srv.Close)
	senders[ts] = s
	ts.Setenv("ISSUER", srv.URL)
}

func (s *sender) handler(token, gateway string) http.Handler {
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/ssf-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": s.url, "jwks_uri": s.url + "/jwks", "configuration_endpoint": s.url + "/streams", "verification_endpoint": s.url + "/verify",
			"add_subject_endpoint": s.url + "/subjects:add", "remove_subject_endpoint": s.url + "/subjects:remove",
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		k, err := jwk.Import(s.key.Public())
		if err != nil {
			panic(err)
		}
		answer(w, map[string]any{"keys": []any{k}})
	})
	asked := func(f func(body map[string]any) (any, int)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+token {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			raw, _ := io.ReadAll(r.Body)
			s.mu.Lock()
			s.said = append(s.said, r.Method+" "+r.URL.Path+" "+string(raw))
			s.mu.Unlock()
			var body map[string]any
			_ = json.Unmarshal(raw, &body) // a GET has none
			out, status := f(body)
			w.WriteHeader(status)
			if out != nil {
				answer(w, out)
			}
		}
	}
	mux.HandleFunc("GET /streams", asked(func(map[string]any) (any, int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.streams, http.StatusOK
	}))
	mux.HandleFunc("POST /streams", asked(func(body map[string]any) (any, int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		body["stream_id"], body["iss"] = fmt.Sprint("stream-", len(s.streams)+1), s.url
		s.streams = append(s.streams, body)
		delivery, _ := body["delivery"].(map[string]any)
		to, _ := delivery["endpoint_url"].(string)
		s.pushBy, _ = delivery["authorization_header"].(string)
		s.pushTo = gateway + to[strings.LastIndex(to, "/signals"):] // the gateway's public name leads here
		return body, http.StatusCreated
	}))
	mux.HandleFunc("POST /verify", asked(func(body map[string]any) (any, int) {
		go func() {
			_ = s.push(map[string]any{
				"sub_id": map[string]any{"format": "opaque", "id": body["stream_id"]},
				"events": map[string]any{"https://schemas.openid.net/secevent/ssf/event-type/verification": map[string]any{"state": body["state"]}},
			})
		}()
		return nil, http.StatusNoContent
	}))
	nothing := asked(func(map[string]any) (any, int) { return nil, http.StatusNoContent })
	mux.HandleFunc("POST /subjects:add", nothing)
	mux.HandleFunc("POST /subjects:remove", nothing)
	return mux
}

// push delivers an event (RFC 8935).
func (s *sender) push(claims map[string]any) error {
	claims["iss"], claims["aud"], claims["iat"], claims["jti"] = s.url, "crenel", time.Now().Unix(), rand.Text()
	payload, err := json.Marshal(claims)
	if err != nil {
		return err
	}
	h := jws.NewHeaders()
	if err := h.Set("typ", "secevent+jwt"); err != nil {
		return err
	}
	set, err := jws.Sign(payload, jws.WithKey(jwa.ES256(), s.key, jws.WithProtectedHeaders(h)))
	if err != nil {
		return err
	}
	s.mu.Lock()
	to, by := s.pushTo, s.pushBy
	s.mu.Unlock()
	req, err := http.NewRequest(http.MethodPost, to, strings.NewReader(string(set)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/secevent+jwt")
	req.Header.Set("Authorization", by)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the gateway answered %s", resp.Status)
	}
	return nil
}

// inTrail looks for a record that holds all of some texts: recorded FILE TEXT….
func inTrail(ts *testscript.TestScript, neg bool, args []string) {
	found := false
	for end := time.Now().Add(5 * time.Second); !found && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		raw, err := os.ReadFile(ts.MkAbs(args[0]))
		ts.Check(err)
		for line := range strings.Lines(string(raw)) {
			all := true
			for _, text := range args[1:] {
				all = all && strings.Contains(line, text)
			}
			found = found || all
		}
		if neg {
			break
		}
	}
	if found == neg {
		ts.Fatalf("%s holds a record with %q: %v", args[0], args[1:], found)
	}
}
