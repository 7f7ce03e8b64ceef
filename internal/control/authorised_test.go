package control

import (
	"context"
	"net/http"
	"net/http/httptest"
)

// ask is the status that a caller with these credentials gets.
func ask(p peer) int {
	h := authorised(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK) }))
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/status", nil).WithContext(context.WithValue(context.Background(), peerKey{}, p)))
	return rec.Code
}
