package listener

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// What comes after an address says how its callers are answered, so that a
// scenario can be written without a handler:
//
//	ADDRESS/redirect/KEY   302 to another of the listener's addresses
//	ADDRESS/huge/KEY       bytes without end; KEY counts as called when so many were taken
//	ADDRESS/page/TEXT      a page of HTML with a script in which TEXT is a comment
//
// KEY is the last segment of another address.

// hugeBody is how much of a body without end a caller must take to be one that
// has no bound of its own.
const hugeBody = 40 << 20

// hostile answers as the path says, and reports whether it says so.
func (l *Listener) hostile(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(parts) != 3 {
		return false
	}
	switch parts[1] {
	case "redirect":
		if !reKey.MatchString(parts[2]) {
			return false
		}
		w.Header().Set("Location", l.base+"/"+parts[2])
		w.WriteHeader(http.StatusFound)
	case "huge":
		w.Header().Set("Content-Type", "text/plain")
		chunk := []byte(strings.Repeat("crenel ", 9362))
		for sent := 0; sent < hugeBody; sent += len(chunk) {
			if _, err := w.Write(chunk); err != nil {
				return true
			}
		}
		l.heard(parts[2], Hit{When: time.Now(), Method: r.Method, Target: r.URL.RequestURI(), From: r.RemoteAddr})
	case "page":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<!doctype html><title>crenel</title><script>/*"+strings.ReplaceAll(parts[2], "*/", "")+"*/</script>") //nolint:gosec // the page is meant to be hostile, and to whom it goes is what is tested
	default:
		return false
	}
	return true
}
