package scan

import (
	"io"
	"net/http"
	"testing"
)

const registerSpec = `openapi: 3.1.0
info: {title: Register, version: "1"}
paths:
  /status:
    get: {summary: One thing, responses: {"200": {description: it, content: {application/json: {schema: {type: object}}}}}}
  /media:
    get: {summary: Another thing, responses: {"200": {description: it, content: {application/json: {schema: {type: object}}}}}}
  /member:
    get: {summary: A third thing, responses: {"200": {description: it, content: {application/json: {schema: {type: object, required: [name], properties: {name: {type: string}}}}}}}}
  /wide:
    get: {summary: A fourth thing, responses: {"2XX": {description: it, content: {"application/*": {schema: {type: object}}}}}}
  /other:
    get: {summary: A fifth thing, responses: {"404": {description: none}, default: {description: it}}}
`

func TestConformance(t *testing.T) {
	twins(t, registerSpec, func(_ *testing.T, open bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			status, media, body := 200, "application/json; charset=utf-8", `{"name":"x"}`
			switch {
			case r.URL.Path == "/status" && open:
				status = 203
			case r.URL.Path == "/media" && open:
				media = "text/plain"
			case r.URL.Path == "/member" && open:
				body = `{"title":"x"}`
			case r.URL.Path == "/wide" || r.URL.Path == "/other":
				status = 202
			case r.URL.Path != "/status" && r.URL.Path != "/media" && r.URL.Path != "/member":
				status, body = 404, `{}`
			}
			w.Header().Set("Content-Type", media)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
	}, []hole{
		{"conformance", "GET", "/status", "answer"}, {"conformance", "GET", "/media", "answer"}, {"conformance", "GET", "/member", "answer"},
	}, "conformance")
}
