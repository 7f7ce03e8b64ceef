package target

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

func TestHAR(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "cookie-secret-1", Path: "/"})
		w.Header().Set("X-Auth-Token", "header-secret-1")
		if r.URL.Path == "/binary" {
			_, _ = w.Write([]byte{0xff, 0x00, 0x01})
			return
		}
		_, _ = io.WriteString(w, `{"token":"body-secret-1","note":"public"}`)
	}))
	t.Cleanup(s.Close)
	for _, with := range []bool{false, true} {
		cl := open(t, Options{Target: s.URL + "/v1"})
		var out bytes.Buffer
		h := NewHAR(cl, &out, with)
		cl.OnExchange(h.Add)
		cl.Secrets().Add("body-secret-1", "pass-secret-1")
		var wg sync.WaitGroup
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				_, _ = cl.Do(t.Context(), "user", &Request{Method: "POST", Path: "/login", Query: "access_token=query-secret-1&page=2",
					Header: []Field{{"Authorization", "Bearer auth-secret-1"}, {"Cookie", "a=cookie-secret-2; b=cookie-secret-3"}, {"X-Note", "seen"}},
					Body:   []byte(`{"password":"pass-secret-1"}`)})
			}()
		}
		wg.Wait()
		_, _ = cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/binary", Root: true})
		_, _ = cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/nothing", Timeout: 1})
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Log struct {
				Version string
				Entries []struct {
					StartedDateTime string
					Request         struct {
						URL     string
						Headers []harPair
					}
					Response struct {
						Status  int
						Content harContent
					}
					Error string `json:"_error"`
				}
			}
		}
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Log.Version != "1.2" || len(doc.Log.Entries) != 6 {
			t.Fatalf("%d entries", len(doc.Log.Entries))
		}
		if e := doc.Log.Entries[4]; e.Response.Content.Encoding != "base64" || e.Request.URL != s.URL+"/binary" {
			t.Errorf("%+v", e)
		}
		if e := doc.Log.Entries[5]; e.Error == "" || e.Response.Status != 0 {
			t.Errorf("%+v", e)
		}
		for _, secret := range []string{"auth-secret", "cookie-secret-1", "cookie-secret-2", "cookie-secret-3", "header-secret", "body-secret", "pass-secret"} {
			if strings.Contains(out.String(), secret) != with {
				t.Errorf("with secrets %v: %s", with, secret)
			}
		}
		for _, open := range []string{"X-Note", "seen", "public", "page", "Bearer "} {
			if !strings.Contains(out.String(), open) {
				t.Errorf("%s is gone", open)
			}
		}
		if h.Close() == nil {
			t.Error("closed twice")
		}
	}
}

func TestRedactor(t *testing.T) {
	r := NewRedactor()
	r.Add("abc", "secret", "secret-and-more", "p ss/w+rd")
	for in, want := range map[string]string{
		"abc secret-and-more secret": "abc [redacted] [redacted]",
		"x=p+ss%2Fw%2Brd":            "x=[redacted]",
		"c2VjcmV0":                   "[redacted]",
		"":                           "",
	} {
		if got := r.Text(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, c := range [][3]string{
		{"Authorization", "Bearer x", "Bearer [redacted]"},
		{"authorization", "x", "[redacted]"},
		{"Authorization", `Digest username="a", response="b"`, "[redacted]"},
		{"Cookie", "a=b; c=d", "a=[redacted]; c=[redacted]"},
		{"Set-Cookie", "a=b; Path=/; HttpOnly", "a=[redacted]; Path=/; HttpOnly"},
		{"X-API-Key", "x", "[redacted]"},
		{"X-CSRF-Token", "x", "[redacted]"},
		{"X-Other", "is secret-and-more", "is [redacted]"},
	} {
		if got := r.Header(c[0], c[1]); got != c[2] {
			t.Errorf("%s: %q, want %q", c[0], got, c[2])
		}
	}
}

// A secret is not told in any of the forms in which it is sent, or answered.
func TestRedactorForms(t *testing.T) {
	const secret = `pa/"ss\<w&>ord??~ü`
	r := NewRedactor()
	r.Add(secret)
	inJSON, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{
		secret, string(inJSON[1 : len(inJSON)-1]), `pa/\"ss\\<w&>ord??~ü`, `pa\/\"ss\\<w&>ord??~ü`, `pa/\"ss\\<w&>ord??~\u00fc`,
		url.QueryEscape(secret), url.PathEscape(secret), strings.ToLower(url.QueryEscape(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
		base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
	} {
		if got := r.Text("before " + form + " behind"); got != "before "+Redacted+" behind" {
			t.Errorf("%s: %s", form, got)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(ok), "GET")
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), "POST")
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 2\r\n\r\nxx"), "HEAD")
	cl, err := New(Options{Target: "http://127.0.0.1:1", MaxBody: 1000})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = cl.Close() })
	f.Fuzz(func(t *testing.T, answer []byte, method string) {
		cn := memory(answer)
		ex := &Exchange{Request: &Request{Method: method, Path: "/"}}
		reusable := cl.answer(cn, ex.Request, ex)
		if (ex.Status == 0) != (ex.Err != nil) {
			t.Fatalf("status %d and error %v", ex.Status, ex.Err)
		}
		if len(ex.Body) > 1000 {
			t.Fatalf("%d bytes kept", len(ex.Body))
		}
		if reusable && (ex.Err != nil || cn.br.Buffered() > 0) {
			t.Fatal("a connection that is not at an answer's end would be used again")
		}
		h := NewHAR(cl, io.Discard, false)
		h.Add(ex)
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMessage: a token that a member holds by name is no business of whoever reads a
// record, also where the run was never told of it; other members are left alone.
func TestMessage(t *testing.T) {
	r := NewRedactor()
	r.Add("hunter2-hunter2")
	got := r.Message(`{"access_token":"aaaaaaaaaa","refreshToken" : "bbbbbbbbbb","token_type":"Bearer","id":"cccccccccc","pw":"hunter2-hunter2"}`)
	want := `{"access_token":"` + Redacted + `","refreshToken" : "` + Redacted + `","token_type":"Bearer","id":"cccccccccc","pw":"` + Redacted + `"}`
	if got != want {
		t.Errorf("message\n%s\nwant\n%s", got, want)
	}
}
