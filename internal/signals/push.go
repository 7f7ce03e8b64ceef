package signals

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/crenel-project/crenel/internal/gateway"
)

// Endpoints are those at which the gateway takes pushed events.
func (r *Receiver) Endpoints() []gateway.Endpoint {
	var out []gateway.Endpoint
	for _, t := range r.list {
		if p := t.cfg.Push; p != nil {
			out = append(out, gateway.Endpoint{
				Name: "signals", Hosts: p.Hosts, Path: p.Path, Methods: []string{http.MethodPost}, MaxBody: 4 * maxSET, Handler: http.HandlerFunc(t.push),
			})
		}
	}
	return out
}

// push takes one token (RFC 8935 section 2).
func (t *transmitter) push(w http.ResponseWriter, r *http.Request) {
	if !t.authenticated(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="signals"`)
		answer(w, http.StatusUnauthorized, errAuthentication, "the bearer token is missing or wrong")
		return
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != Type {
		answer(w, http.StatusBadRequest, errInvalidRequest, "the content type is not "+Type)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSET+1))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || len(body) > maxSET:
		answer(w, http.StatusBadRequest, errInvalidRequest, "the token is larger than 16 KiB")
		return
	case err != nil:
		answer(w, http.StatusBadRequest, errInvalidRequest, "the token did not arrive whole")
		return
	}
	switch f := t.take(r.Context(), "push", strings.TrimSpace(string(body))); {
	case f == nil:
		w.WriteHeader(http.StatusAccepted)
	case f.code == "":
		w.Header().Set("Retry-After", "5")
		answer(w, http.StatusServiceUnavailable, "", f.reason)
	default:
		answer(w, http.StatusBadRequest, f.code, f.reason)
	}
}

// authenticated checks the transmitter's bearer token in a time that tells nothing of it.
func (t *transmitter) authenticated(r *http.Request) bool {
	fields := r.Header["Authorization"]
	if len(fields) != 1 {
		return false
	}
	scheme, token, ok := strings.Cut(fields[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	have, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(t.cfg.Push.Token.Reveal()))
	return subtle.ConstantTimeCompare(have[:], want[:]) == 1
}

// failure is what a transmitter is told (RFC 8935 section 2.3).
type failure struct {
	Err         string `json:"err,omitempty"`
	Description string `json:"description,omitempty"`
}

func answer(w http.ResponseWriter, status int, code, description string) {
	body, err := json.Marshal(failure{code, description})
	if err != nil {
		status, body = http.StatusInternalServerError, []byte("{}")
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Language", "en")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
