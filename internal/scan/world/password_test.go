package world

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestPasswordLike: passwords that the run sets are of the form that the target took
// before, whatever its rules are.
func TestPasswordLike(t *testing.T) {
	const doc = `openapi: 3.0.3
info: {title: t, version: '1'}
paths:
  /register: {post: {summary: Register, requestBody: {required: true, content: {application/json: {schema: {type: object, required: [name, password], properties: {name: {type: string}, password: {type: string}}}}}}, responses: {'201': {description: ok}}}}
`
	rule := regexp.MustCompile(`^[a-z]{6}\d{4}[A-Z]{2}$`)
	own := "crenel2345XZ"
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := map[string]string{}
		_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON has no fields
		if !rule.MatchString(in["password"]) {
			http.Error(w, `{"error":"the password is not as it must be"}`, http.StatusUnprocessableEntity)
			return
		}
		w.WriteHeader(201)
	})
	a := bearer("user", "t1", map[string]string{"password": own, "username": "ann"})
	w, _, _ := stage(t, handler, doc, Options{}, a)
	if err := w.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	if other := strings.Trim(w.passwordLike(), `"`); other == own || !rule.MatchString(other) {
		t.Errorf("the next password is %q", other)
	}
	for _, c := range w.Coverage() {
		if !c.Reached {
			t.Errorf("%s %s: %s", c.Method, c.Path, c.Reason)
		}
	}
}
