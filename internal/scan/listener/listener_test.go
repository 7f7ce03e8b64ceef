package listener

import (
	"io"
	"net"
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

// TestLDAP: what begins as an LDAP message is heard as a call of the address
// that it asks for, and nothing else of the sort is.
func TestLDAP(t *testing.T) {
	l, err := Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, known := range []bool{true, false} {
		address := l.Address()
		path := strings.TrimPrefix(address, l.Base()+"/")
		if !known {
			path = "aaaaaaaaaaaaaaaa"
		}
		c, err := net.Dial("tcp", strings.TrimPrefix(l.Base(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		buf := make([]byte, 64)
		// bindRequest, version 3, anonymous
		_, _ = c.Write([]byte{0x30, 0x0c, 0x02, 0x01, 0x01, 0x60, 0x07, 0x02, 0x01, 0x03, 0x04, 0x00, 0x80, 0x00})
		n, err := c.Read(buf)
		if err != nil || n != 14 || buf[5] != 0x61 || buf[4] != 1 || buf[9] != 0 {
			t.Fatalf("a bind is answered %x, %v", buf[:n], err)
		}
		search := append([]byte{0x30, byte(len(path) + 20), 0x02, 0x01, 0x02, 0x63, byte(len(path) + 15), 0x04, byte(len(path))}, path...)
		search = append(search, 0x0a, 0x01, 0x00, 0x0a, 0x01, 0x03, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00)
		_, _ = c.Write(search)
		if _, err := c.Read(buf); err != nil {
			t.Errorf("a search is not answered: %v", err)
		}
		_ = c.Close()
		if got := l.Called(t.Context(), address, 200*time.Millisecond); got != known {
			t.Errorf("known=%v: heard=%v", known, got)
		}
	}
	// HTTP goes on as before.
	address := l.Address()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if !l.Called(t.Context(), address, time.Second) {
		t.Error("a call by HTTP was not heard")
	}
}

// TestHostile: what an address says of its answer is done, and nothing else.
func TestHostile(t *testing.T) {
	l, err := Start("127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, b := l.Address(), l.Address()
	key := strings.TrimPrefix(b, l.Base()+"/")
	if status, _ := get(t, a+"/redirect/"+key); status != 302 {
		t.Errorf("a redirect is %d", status)
	}
	if status, _ := get(t, a+"/redirect/elsewhere.example"); status != 200 {
		t.Errorf("a redirect to elsewhere is %d", status)
	}
	if _, body := get(t, a+"/page/mark"); !strings.Contains(body, "<script>/*mark*/") {
		t.Errorf("a page is %s", body)
	}
	if l.Called(t.Context(), b, 50*time.Millisecond) {
		t.Error("an address that was only named counts as called")
	}
	if _, body := get(t, a+"/huge/"+key); len(body) < hugeBody {
		t.Errorf("%d bytes", len(body))
	}
	if !l.Called(t.Context(), b, time.Second) {
		t.Error("a body that was taken whole is not noted")
	}
	c := l.Address()
	res, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(a + "/huge/" + strings.TrimPrefix(c, l.Base()+"/"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, res.Body, 1<<20)
	_ = res.Body.Close()
	if l.Called(t.Context(), c, 300*time.Millisecond) {
		t.Error("a body of which little was taken counts as taken")
	}
}
