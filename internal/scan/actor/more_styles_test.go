package actor

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

func init() { styles = append(styles, moreStyles...) }

var moreStyles = []style{
	{
		name:  "base64 of name and password in a header of its own, no login",
		shape: shapeOf{register: userPassword, noLogin: true, security: "{type: apiKey, in: header, name: Authorization-Token}"},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if _, ok := h.add(tenant{name: str(m, "username"), pw: str(m, "password")}, str(m, "username")); !ok {
					say(w, 409, obj{"message": "duplicate"})
					return
				}
				say(w, 200, obj{"username": str(m, "username")})
			})
			h.me(func(r *http.Request) *tenant {
				b, err := base64.StdEncoding.DecodeString(r.Header.Get("Authorization-Token"))
				u, p, ok := strings.Cut(string(b), ":")
				if err != nil || !ok {
					return nil
				}
				return h.check(u, p)
			})
		},
		how: "header Authorization-Token",
	},
	{
		name:  "a login that knows accounts by what it calls their name",
		shape: shapeOf{register: userPassword, login: "{name: {type: string}, password: {type: string}}", security: "{type: apiKey, in: header, name: Authorization}"},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if _, ok := h.add(tenant{name: str(m, "username"), pw: str(m, "password")}, str(m, "username")); !ok {
					say(w, 409, obj{"message": "duplicate"})
					return
				}
				say(w, 200, obj{"username": str(m, "username")})
			})
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a := h.check(str(m, "name"), str(m, "password"))
				if a == nil {
					say(w, 400, obj{"error": "authentication failed, invalid user ID or password"})
					return
				}
				say(w, 200, obj{"token": h.jwt(a)})
			})
			h.me(h.header("Authorization", ""))
		},
		how: "header Authorization",
	},
	{
		name:  "an error of the program's own where the token is missing or wrong",
		shape: shapeOf{register: emailPassword, login: emailPassword, security: bearerScheme},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if _, ok := h.add(tenant{email: str(m, "email"), pw: str(m, "password")}, str(m, "email")); !ok {
					say(w, 409, obj{"error": "taken"})
					return
				}
				say(w, 201, obj{"email": str(m, "email")})
			})
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"token": h.jwt(a)}) })
			who := h.header("Authorization", "Bearer ")
			for route, answer := range map[string]func(a *tenant) any{
				"GET /me":     func(a *tenant) any { return obj{"id": a.id, "email": a.email} },
				"GET /items":  func(*tenant) any { return []obj{{"id": 1, "title": "x"}} },
				"POST /items": func(*tenant) any { return obj{"id": 2, "title": "y"} },
			} {
				h.on(route, func(w http.ResponseWriter, r *http.Request) {
					a := who(r)
					if a == nil {
						say(w, 500, obj{"error": "Internal Server Error"})
						return
					}
					say(w, 200, answer(a))
				})
			}
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "a number that only one account may have, and an example of it in the description",
		shape: shapeOf{register: "{name: {type: string, example: Test}, email: {type: string, example: test@example.com}, number: {type: string, example: '6915656974'}, password: {type: string, example: Test!123}}", required: "name, email, number, password", login: emailPassword, security: bearerScheme},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				n := str(m, "number")
				if len(n) != 10 {
					say(w, 400, obj{"message": "Validation Failed", "details": "number: size must be between 10 and 10"})
					return
				}
				if _, ok := h.add(tenant{}, "number "+n); !ok {
					say(w, 403, obj{"message": "Number already registered! Number: " + n, "status": 403})
					return
				}
				if _, ok := h.add(tenant{email: str(m, "email"), pw: str(m, "password")}, str(m, "email")); !ok {
					say(w, 403, obj{"message": "Email already registered! Email: " + str(m, "email"), "status": 403})
					return
				}
				say(w, 200, obj{"message": "User registered successfully! Please Login.", "status": 200})
			})
			plainLogin(h, func(w http.ResponseWriter, a *tenant) {
				say(w, 200, obj{"token": h.jwt(a), "type": "Bearer", "message": nil})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
	{
		name:  "all that is unknown asks for a login, too",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"accessToken": h.jwt(a)}) })
			h.me(h.header("Authorization", "Bearer "))
			h.on("/", func(w http.ResponseWriter, r *http.Request) {
				say(w, 401, obj{"error": "Unauthorized", "path": r.URL.Path})
			})
		},
		how: "header Authorization: Bearer …",
	},
	{
		name: "password twice, by numbered fields, errors by field",
		shape: shapeOf{register: "{username: {type: string}, email: {type: string}, password1: {type: string}, password2: {type: string}}", required: "username, password1, password2",
			login: "{username: {type: string}, email: {type: string}, password: {type: string}}"},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if str(m, "password1") == "" || str(m, "password1") != str(m, "password2") {
					say(w, 400, obj{"non_field_errors": []string{"The two password fields didn't match."}})
					return
				}
				if strings.Contains(str(m, "password1"), str(m, "username")) || str(m, "username") == "" {
					say(w, 400, obj{"username": []string{"This field is required."}})
					return
				}
				a, ok := h.add(tenant{email: str(m, "email"), name: str(m, "username"), pw: str(m, "password1")}, str(m, "username"))
				if !ok {
					say(w, 400, obj{"username": []string{"A user with that username already exists."}})
					return
				}
				say(w, 201, obj{"key": h.open(a, "")})
			})
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a := h.check(str(m, "username"), str(m, "password"))
				if a == nil {
					say(w, 400, obj{"non_field_errors": []string{"Unable to log in with provided credentials."}})
					return
				}
				say(w, 200, obj{"key": h.open(a, "")})
			})
			h.me(h.header("Authorization", "Token "))
		},
		how: "header Authorization: Token …",
	},
	{
		name:  "a scheme with a parameter, in wrapped bodies",
		shape: shapeOf{register: emailPassword, login: "{session: {type: object, properties: {email: {type: string}, password: {type: string}}}}"},
		serve: func(h *house) {
			plainRegister(h, 201)
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m, _ := body(r)["session"].(map[string]any)
				a := h.check(str(m, "email"), str(m, "password"))
				if a == nil {
					say(w, 401, obj{"error": "Invalid email or password."})
					return
				}
				say(w, 201, obj{"session": obj{"token": h.open(a, "")}})
			})
			h.me(h.header("Authorization", "Token token="))
		},
		how: "header Authorization: Token token= …",
	},
	{
		name:  "a scheme that only refusals name",
		shape: shapeOf{register: emailPassword, login: emailPassword},
		serve: func(h *house) {
			plainRegister(h, 201)
			plainLogin(h, func(w http.ResponseWriter, a *tenant) { say(w, 200, obj{"accessToken": h.jwt(a)}) })
			h.me(h.header("Authorization", "Orchard "))
			h.refusal = `Orchard realm="fruit"`
		},
		how: "header Authorization: Orchard …",
	},
	{
		name: "the API chooses the name to log in by",
		shape: shapeOf{register: "{fullName: {type: string}, password: {type: string}}", required: "fullName, password",
			login: userPassword},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				h.mu.Lock()
				n := h.n
				h.mu.Unlock()
				name := fmt.Sprintf("member-%d", n)
				_, _ = h.add(tenant{name: name, pw: str(m, "password")}, name)
				say(w, 201, obj{"username": name})
			})
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				a := h.check(str(m, "username"), str(m, "password"))
				if a == nil {
					say(w, 401, obj{"error": "no"})
					return
				}
				say(w, 200, obj{"sessionId": h.open(a, "")})
			})
			h.me(h.cookie("sessionId"))
		},
		how: "cookie sessionId",
	},
	{
		name: "registration by PUT to the name, login by GET with a query",
		shape: shapeOf{noRegister: true, noLogin: true,
			extra: "  /users/{username}:\n    put:\n      operationId: signUp\n      summary: Sign up\n      parameters: [{name: username, in: path, required: true, schema: {type: string, pattern: '^[a-z0-9]{4,20}$'}}]\n      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [password], properties: {password: {type: string}}}}}}\n      responses: {'201': {description: ok}}\n" +
				"  /login:\n    get:\n      operationId: login\n      summary: Log in\n      parameters: [{name: username, in: query, required: true, schema: {type: string}}, {name: password, in: query, required: true, schema: {type: string}}]\n      responses: {'200': {description: ok}}\n"},
		serve: func(h *house) {
			h.on("PUT /users/{name}", func(w http.ResponseWriter, r *http.Request) {
				if _, ok := h.add(tenant{name: r.PathValue("name"), pw: str(body(r), "password")}, r.PathValue("name")); !ok {
					say(w, 409, obj{"error": "exists"})
					return
				}
				w.WriteHeader(201)
			})
			h.on("GET /login", func(w http.ResponseWriter, r *http.Request) {
				a := h.check(r.URL.Query().Get("username"), r.URL.Query().Get("password"))
				if a == nil {
					say(w, 403, obj{"error": "no"})
					return
				}
				w.Header().Set("X-Session-Token", h.open(a, ""))
				w.WriteHeader(200)
			})
			h.me(h.header("X-Session-Token", ""))
		},
		how: "header X-Session-Token",
	},
	{
		name: "documents that say by a member of one name what they hold, each another thing",
		shape: shapeOf{
			register: "{kind: {const: anglers}, email: {type: string, format: email}, password: {type: string}}", required: "kind, email, password",
			login: "{kind: {enum: [tickets]}, email: {type: string, format: email}, password: {type: string}}", loginRequired: "kind, email, password", security: bearerScheme},
		serve: func(h *house) {
			h.on("POST /register", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				_, ok := h.add(tenant{email: str(m, "email"), pw: str(m, "password")}, str(m, "email"))
				if str(m, "kind") != "anglers" || !ok {
					say(w, 409, obj{"error": "refused"})
					return
				}
				say(w, 201, obj{"kind": "anglers", "email": str(m, "email")})
			})
			h.on("POST /login", func(w http.ResponseWriter, r *http.Request) {
				m := body(r)
				if str(m, "kind") != "tickets" {
					say(w, 409, obj{"error": "this makes tickets"})
					return
				}
				a := h.check(str(m, "email"), str(m, "password"))
				if a == nil {
					say(w, 401, obj{"error": "no"})
					return
				}
				say(w, 201, obj{"kind": "tickets", "accessToken": h.jwt(a)})
			})
			h.me(h.header("Authorization", "Bearer "))
		},
		how: "header Authorization: Bearer …",
	},
}
