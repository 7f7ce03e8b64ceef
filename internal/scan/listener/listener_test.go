package listener

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestListener(t *testing.T) {
	l, err := Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}()
	called, quiet := l.Address(), l.Address()
	if called == quiet || !strings.HasPrefix(called, "http://127.0.0.1:") {
		t.Fatalf("addresses %s and %s", called, quiet)
	}
	done := make(chan error, 1)
	go func() {
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(called + "/deeper?x=1")
		if err == nil {
			err = resp.Body.Close()
		}
		done <- err
	}()
	if !l.Called(t.Context(), called, 5*time.Second) {
		t.Error("a call was not heard")
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if l.Called(t.Context(), quiet, 10*time.Millisecond) {
		t.Error("a call was heard that nobody made")
	}
	if hits := l.Hits(called); len(hits) != 1 || !strings.HasSuffix(hits[0].Target, "/deeper?x=1") || hits[0].Method != "GET" {
		t.Errorf("hits %+v", hits)
	}
	if code, _ := get(t, l.Base()+"/unknown"); code != 404 {
		t.Errorf("an address that was not given out answers %d", code)
	}
	l.Answer(quiet, http.RedirectHandler(called, http.StatusFound))
	if code, _ := get(t, quiet); code != http.StatusFound {
		t.Errorf("a chosen answer has status %d", code)
	}
	for range 2 * maxHits {
		get(t, called)
	}
	if n := len(l.Hits(called)); n != maxHits {
		t.Errorf("%d hits kept, want %d", n, maxHits)
	}
}

func TestStartRefuses(t *testing.T) {
	if _, err := Start("127.0.0.1:0", "gopher://x"); err == nil {
		t.Error("a public address of another scheme was taken")
	}
	if _, err := Start("256.0.0.1:0", ""); err == nil {
		t.Error("an address that is none was taken")
	}
}
