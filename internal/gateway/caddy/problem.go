package caddy

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/crenel-project/crenel/internal/exchange"
)

// problem returns the document (RFC 9457) for what is refused before the
// gateway's own handler is reached.
func problem(status int, code string) []byte {
	entry, _ := exchange.LookupCode(code)
	doc, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Code   string `json:"code"`
	}{"urn:crenel:code:" + code, entry.Title, status, code})
	if err != nil { // strings and a number always marshal
		panic(err)
	}
	return append(doc, '\n')
}

func writeProblem(w http.ResponseWriter, status int, code string) {
	doc := problem(status, code)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(len(doc)))
	w.WriteHeader(status)
	_, _ = w.Write(doc) // the client may be gone: nothing is left to do for it
}
