package target

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRefusalsThatCallThemselvesASuccess(t *testing.T) {
	for _, c := range []struct {
		body string
		want int
	}{
		{`{"status":"error","message":"wrong password"}`, 400},
		{`{"status":"error","error":{"code":"LOGIN","message":"no"}}`, 400},
		{`{"status":"fail","data":null,"message":"no"}`, 400},
		{`{"success":false,"message":"no"}`, 400},
		{`{"isSuccess":false,"errors":["no"],"data":{}}`, 400},
		{`{"ok":false,"error":"invalid_auth"}`, 401},
		{`{"error":"Unknown voucher"}`, 400},
		{`{"code":401,"msg":"please log in"}`, 401},
		{`{"status":404,"message":"no such thing","data":null}`, 404},
		{`{"statusCode":"403","message":"not yours"}`, 403},
		{`{"code":400,"status":404,"message":"no such thing"}`, 404}, // one of them, and always the same
		{`{"success":false,"error":{"code":429,"message":"slow down"}}`, 429},

		{`{"ok":false,"error":"kennel_not_found"}`, 404},
		{`{"ok":false,"error":"missing_argument","argument":"day"}`, 400},
		{`{"ok":false,"error":"notAllowed"}`, 403},
		{`{"ok":false,"error":"email_in_use","hint":"log in"}`, 409},
		{`{"success":false,"error":"Rate-Limited"}`, 429},
		{`{"ok":false,"error":"Not allowed to be empty."}`, 400}, // a sentence
		{`{"ok":false,"error":"","argument":"day"}`, 200},
		{`{"ok":false,"error":"partial","rows":[1]}`, 200}, // there is something

		{`{"status":"ok","data":{"id":1}}`, 200},
		{`{"success":true,"message":"done"}`, 200},
		{`{"id":7,"status":"failed","message":"the card was declined"}`, 200}, // a payment
		{`{"status":"error","data":{"id":1}}`, 200},                           // there is something
		{`{"error":null,"data":{"id":1}}`, 200},
		{`{"error":""}`, 200},
		{`{"error":false,"message":"done"}`, 200},
		{`{"ok":false}`, 200}, // which may be what was asked for
		{`{"errors":[]}`, 200},
		{`{"code":500}`, 200},                 // a number of its own
		{`{"code":"SUMMER","points":5}`, 200}, // a voucher
		{`{"errors":[{"message":"no","locations":[{"line":1}]}],"data":null}`, 200},
		{`{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"no"}}`, 200},
		{`[{"status":"error"}]`, 200},
		{`{"message":"hello"}`, 200},
		{`{`, 200},
	} {
		x := &Exchange{Status: 200, Header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, Body: []byte(c.body)}
		if soften(x); x.Status != c.want || x.Wire != 200 {
			t.Errorf("%s: status %d (wire %d), want %d", c.body, x.Status, x.Wire, c.want)
		}
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"code":401,"msg":"please log in"}`))
	}))
	defer s.Close()
	cl, err := New(Options{Target: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cl.Close() }()
	if x, err := cl.Do(t.Context(), "", &Request{Method: "GET", Path: "/"}); err != nil || x.Status != 401 || x.Wire != 200 {
		t.Errorf("as sent: %v, %+v", err, x)
	}
}
