package harbour_test

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crenel-project/crenel/demo/harbour"
)

// A customer hears of their own parcels and of nobody else's, until the server ends its streams.
func TestFollowParcels(t *testing.T) {
	s, err := harbour.New(harbour.Options{Seed: 1, PasswordRounds: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	web := httptest.NewServer(s)
	defer web.Close()
	call := func(method, path, token, body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, web.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	token := func(email string) string {
		t.Helper()
		token, err := s.IssueToken(t.Context(), email, time.Now(), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	alice, carol := token("alice@northlight.example"), token("carol@juniper.example")
	if resp := call("GET", "/v2/me/events", "", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", resp.StatusCode)
	}
	streams := map[string]*bufio.Reader{}
	for name, token := range map[string]string{"alice": alice, "carol": carol} {
		resp := call("GET", "/v2/me/events", token, "")
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatal(resp.Status, resp.Header)
		}
		streams[name] = bufio.NewReader(resp.Body)
		if line, err := streams[name].ReadString('\n'); err != nil || line != ": nothing new\n" {
			t.Fatalf("%q %v", line, err)
		}
	}
	booked := call("POST", "/v2/parcels", alice, `{"service":"standard","weight_grams":500,"declared_value_cents":0,
		"recipient":{"name":"Ann","email":"ann@x.example"},"destination":{"line1":"1 Quay","city":"Kiel","postcode":"24103","country":"DE"}}`)
	if body, _ := io.ReadAll(booked.Body); booked.StatusCode != http.StatusCreated {
		t.Fatal(booked.Status, string(body))
	}
	news := func(name string) string {
		for {
			line, err := streams[name].ReadString('\n')
			if err != nil {
				return err.Error()
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				return data
			}
		}
	}
	if got := news("alice"); !strings.Contains(got, `"parcel_id":`) || !strings.Contains(got, `"status":`) {
		t.Errorf("alice hears %q", got)
	}
	time.Sleep(500 * time.Millisecond)
	s.EndStreams()
	if got := news("carol"); got != io.EOF.Error() {
		t.Errorf("carol hears %q of alice's parcel", got)
	}
}
