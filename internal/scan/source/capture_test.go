package source_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/crenel-project/crenel/internal/scan/source"
	"github.com/crenel-project/crenel/internal/spec"
)

func titles(r *source.Result) []string {
	var out []string
	for _, op := range r.API.Operations {
		out = append(out, op.Method+" "+op.Path)
	}
	slices.Sort(out)
	return out
}

type harCall struct {
	method, url, auth, body, bodyType string
	status                            int
	answer, answerType                string
}

func harOf(t *testing.T, calls []harCall) string {
	t.Helper()
	var entries []any
	for _, c := range calls {
		headers := []any{map[string]any{"name": "Accept", "value": "*/*"}}
		if c.auth != "" {
			headers = append(headers, map[string]any{"name": "Authorization", "value": c.auth})
		}
		req := map[string]any{"method": c.method, "url": c.url, "headers": headers}
		if c.body != "" {
			if c.bodyType == "" {
				c.bodyType = "application/json"
			}
			req["postData"] = map[string]any{"mimeType": c.bodyType, "text": c.body}
		}
		if c.status == 0 {
			c.status = 200
		}
		if c.answerType == "" {
			c.answerType = "application/json; charset=utf-8"
		}
		entries = append(entries, map[string]any{"request": req, "response": map[string]any{"status": c.status, "headers": []any{}, "content": map[string]any{"mimeType": c.answerType, "text": c.answer}}})
	}
	b, err := json.Marshal(map[string]any{"log": map[string]any{"version": "1.2", "entries": entries}})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

const secretToken = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2VjcmV0LXNpZ25hdHVyZQ"

func TestHAR(t *testing.T) {
	const base = "https://shop.example/api/v1"
	doc := harOf(t, []harCall{
		{method: "GET", url: "https://shop.example/", answerType: "text/html", answer: "<html>"},
		{method: "GET", url: "https://shop.example/app.js", answerType: "text/javascript"},
		{method: "GET", url: "https://cdn.example/track?x=1", answer: "{}"},
		{method: "POST", url: base + "/auth/login", body: `{"email":"a@b.example","password":"hunter2-very-secret"}`, answer: `{"token":"` + secretToken + `"}`},
		{method: "GET", url: base + "/orders?page=1&limit=20", auth: "Bearer " + secretToken, answer: `[{"id":17,"total":9.5,"at":"2026-01-02T03:04:05Z"}]`},
		{method: "GET", url: base + "/orders/17", auth: "Bearer " + secretToken, answer: `{"id":17,"total":10,"note":null,"items":[{"sku":"A-1","qty":1}]}`},
		{method: "GET", url: base + "/orders/18", auth: "Bearer " + secretToken, answer: `{"id":18,"total":10.5,"note":"x","items":[]}`},
		{method: "DELETE", url: base + "/orders/18", auth: "Bearer " + secretToken, status: 204},
		{method: "GET", url: base + "/users/0b6c7d52-3b5e-4d0e-9f38-6a4f1d1c0001/avatar", auth: "Bearer " + secretToken, answerType: "image/png"},
		{method: "GET", url: base + "/articles/how-to-train-your-dragon", answer: `{"slug":"how-to-train-your-dragon","body":"x"}`},
		{method: "GET", url: base + "/articles/the-long-way-home", answer: `{"slug":"the-long-way-home","body":"y"}`},
		{method: "GET", url: base + "/members/alice", answer: `{"name":"alice","bio":"x"}`},
		{method: "GET", url: base + "/members/bob", answer: `{"name":"bob","bio":"x"}`},
		{method: "GET", url: base + "/members/carol", answer: `{"name":"carol","bio":"x"}`},
		{method: "GET", url: base + "/reports/daily", answer: `{"a":1}`},
		{method: "GET", url: base + "/reports/weekly", answer: `{"b":1}`},
		{method: "GET", url: base + "/reports/yearly", answer: `{"c":1}`},
		{method: "POST", url: base + "/contact", body: "name=Ann&age=7", bodyType: "application/x-www-form-urlencoded", answer: `{}`},
	})
	r := read(t, "calls.har", doc)
	if r.Kind != source.HAR || len(r.Origins) != 1 || r.Origins[0] != "https://shop.example" {
		t.Errorf("%s %v", r.Kind, r.Origins)
	}
	want := []string{"DELETE /orders/{order_id}", "GET /articles/{article_id}", "GET /members/{member_id}", "GET /orders", "GET /orders/{order_id}",
		"GET /reports/daily", "GET /reports/weekly", "GET /reports/yearly", "GET /users/{user_id}/avatar", "POST /auth/login", "POST /contact"}
	if got := titles(r); !slices.Equal(got, want) {
		t.Errorf("operations %q, want %q", got, want)
	}
	if r.API.Servers[0].BasePath != "/api/v1" {
		t.Errorf("servers %+v", r.API.Servers)
	}
	op := operation(t, r, "GET /orders/{order_id}")
	if op.PathParams[0].Schema.Type() != "integer" || op.Public || op.Security[0][0].Scheme.Scheme != "bearer" {
		t.Errorf("%+v", op)
	}
	s := op.Responses[0].Content[0].Schema
	types := map[string]string{}
	for _, p := range s.Properties() {
		types[p.Name] = p.Schema.Type()
	}
	if types["id"] != "integer" || types["total"] != "number" || types["note"] != "string" || types["items"] != "array" {
		t.Errorf("%v", types)
	}
	if got := s.Required(); !slices.Equal(got, []string{"id", "total", "items"}) {
		t.Errorf("required %q", got)
	}
	list := operation(t, r, "GET /orders")
	if list.Responses[0].Content[0].Schema.Type() != "array" || len(list.Parameters) != 2 || list.Parameters[0].Schema.Type() != "integer" {
		t.Errorf("%+v", list.Parameters)
	}
	if f := operation(t, r, "POST /contact").Body.Content[0]; f.Type != "application/x-www-form-urlencoded" || len(f.Schema.Properties()) != 2 {
		t.Errorf("%+v", f)
	}
	for _, secret := range []string{secretToken, "hunter2", "c2VjcmV0"} {
		if bytes.Contains(r.Document, []byte(secret)) {
			t.Errorf("the document keeps the secret %q", secret)
		}
	}
	if !hasRepair(r, 0, "other origins") {
		t.Errorf("%v", r.Repairs)
	}
}

const postmanDoc = `{
  "info": {"name": "Shop", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
  "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
  "variable": [{"key": "baseUrl", "value": "http://localhost:3000/api"}, {"key": "orderId", "value": "42"}],
  "item": [
    {"name": "Auth", "item": [
      {"name": "Login", "request": {"auth": {"type": "noauth"}, "method": "POST", "header": [{"key": "Content-Type", "value": "application/json"}],
        "body": {"mode": "raw", "raw": "{\"email\": \"{{email}}\", \"password\": \"hunter2-very-secret\", \"age\": {{age}}}"},
        "url": {"raw": "{{baseUrl}}/login", "host": ["{{baseUrl}}"], "path": ["login"]}},
       "response": [{"name": "ok", "code": 200, "header": [{"key": "Content-Type", "value": "application/json"}], "body": "{\"token\": \"` + secretToken + `\"}"}]}]},
    {"name": "Orders", "item": [
      {"name": "Get order", "request": {"method": "GET", "url": {"raw": "{{baseUrl}}/orders/:id?expand=items", "path": ["orders", ":id"], "query": [{"key": "expand", "value": "items", "description": "what to add"}, {"key": "debug", "value": "1", "disabled": true}], "variable": [{"key": "id", "value": "7"}]}}},
      {"name": "Cancel order", "request": {"method": "POST", "url": "{{baseUrl}}/orders/{{orderId}}/cancel"}},
      {"name": "Make order", "request": {"method": "POST", "body": {"mode": "formdata", "formdata": [{"key": "photo", "type": "file", "src": "/tmp/x"}, {"key": "qty", "value": "2", "type": "text"}]}, "url": "{{baseUrl}}/orders"}},
      {"name": "Old string request", "request": "http://localhost:3000/api/ping"}
    ]},
    {"name": "Admin", "auth": {"type": "apikey", "apikey": [{"key": "key", "value": "X-Admin"}, {"key": "value", "value": "s3cr3t-s3cr3t"}]}, "item": [
      {"name": "All users", "request": {"method": "GET", "url": "{{baseUrl}}/admin/users"}}
    ]}
  ]
}`

func TestPostman(t *testing.T) {
	r := read(t, "shop.json", postmanDoc)
	if r.Kind != source.Postman || r.API.Title != "Shop" {
		t.Errorf("%s %q", r.Kind, r.API.Title)
	}
	want := []string{"GET /admin/users", "GET /orders/{id}", "GET /ping", "POST /login", "POST /orders", "POST /orders/{id}/cancel"}
	if got := titles(r); !slices.Equal(got, want) {
		t.Errorf("operations %q, want %q", got, want)
	}
	if s := r.API.Servers[0]; s.BasePath != "/api" || s.Host != "localhost:3000" {
		t.Errorf("server %+v", s)
	}
	login := operation(t, r, "POST /login")
	if !login.Public || !slices.Equal(login.Tags, []string{"Auth"}) || login.Summary != "Login" {
		t.Errorf("%+v", login)
	}
	if got := login.Body.Content[0].Schema.Properties(); len(got) != 3 || login.Responses[0].Status != "200" {
		t.Errorf("%+v %+v", got, login.Responses[0])
	}
	get := operation(t, r, "GET /orders/{id}")
	if get.Public || get.Security[0][0].Scheme.Scheme != "bearer" || get.PathParams[0].Schema.Type() != "integer" || len(get.Parameters) != 3 || get.Parameters[1].Description != "what to add" {
		t.Errorf("%+v", get)
	}
	if c := operation(t, r, "POST /orders").Body.Content[0]; c.Type != "multipart/form-data" || c.Schema.Properties()[0].Schema.Format() != "binary" {
		t.Errorf("%+v", c)
	}
	if s := operation(t, r, "GET /admin/users").Security[0][0].Scheme; s.Key != "X-Admin" {
		t.Errorf("%+v", s)
	}
	for _, secret := range []string{secretToken, "hunter2", "s3cr3t"} {
		if bytes.Contains(r.Document, []byte(secret)) {
			t.Errorf("the document keeps the secret %q", secret)
		}
	}
	if again, err := spec.Parse(r.Document, "again.json", spec.LoadOptions{}); err != nil || len(again.Problems) > 0 {
		t.Errorf("the document that was made is not in order: %v %v", err, again.Problems)
	}
}

// TestPostmanUnsaid: what a collection does not write down, because its client keeps
// cookies, is not said to need no credentials; and a part of a path that differs between
// a request and its examples is a value.
func TestPostmanUnsaid(t *testing.T) {
	r := read(t, "club.json", `{"info":{"name":"Club","schema":"https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},"item":[
	{"name":"Sign in","request":{"method":"POST","url":"http://localhost:3000/v1/signin","body":{"mode":"raw","raw":"{\"name\":\"ann\",\"password\":\"x\"}"}},"response":[{"code":200,"body":"{\"ok\":true}"}]},
	{"name":"Member","request":{"method":"GET","url":"http://localhost:3000/v1/member/ann"},"response":[
		{"code":200,"originalRequest":{"method":"GET","url":"http://localhost:3000/v1/member/ann"},"body":"{\"name\":\"ann\"}"},
		{"code":404,"originalRequest":{"method":"GET","url":"http://localhost:3000/v1/member/nobody"},"body":"{\"error\":\"none\"}"}]},
	{"name":"Fees","request":{"method":"GET","url":"http://localhost:3000/v1/fees/yearly"},"response":[{"code":200,"originalRequest":{"method":"GET","url":"http://localhost:3000/v1/fees/yearly"},"body":"{\"fee\":1}"}]}]}`)
	if got, want := titles(r), []string{"GET /fees/yearly", "GET /member/{member_name}", "POST /signin"}; !slices.Equal(got, want) {
		t.Errorf("operations %q, want %q", got, want)
	}
	if op := operation(t, r, "GET /fees/yearly"); op.SecurityDeclared {
		t.Error("the collection is said to need no credentials")
	}
}

// FuzzRead: no bytes make a reader panic, and what it makes of a capture is in order.
func FuzzRead(f *testing.F) {
	f.Add([]byte(postmanDoc))
	f.Add([]byte(`{"log":{"entries":[{"request":{"method":"GET","url":"http://a.b/x/1?y=2","headers":[]},"response":{"status":200,"content":{"mimeType":"application/json","text":"[1]"}}}]}}`))
	f.Add([]byte("openapi: 3.0.0\npaths:\n\t/a/:id:\n    get: {parameters: [{name: id, type: int}]}\n"))
	f.Add([]byte("<html>spec: {openapi: '3', paths: {'/a': {get: {}}}}"))
	f.Add([]byte("{openapi:'3.0.0',paths:{'/a':{get:{responses:[{status:200}]}}},}"))
	f.Add([]byte("<\ntml>spec:x{openapi: '3', hs: y'/a*::{get: {}}}}"))
	f.Add([]byte("swagger: 2\npaths: [{/a: {post: {parameters: {x: {in: body}}, requestBody: {schema: X}}}}]\ndefinitions: {X: [string]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := source.Read(context.Background(), data, "fuzz", source.Options{MaxBytes: 1 << 20})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Fatal("an error that says nothing")
			}
			return
		}
		if len(r.API.Operations) == 0 {
			t.Fatal("an API without operations was given out")
		}
	})
}
