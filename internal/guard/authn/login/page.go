package login

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

const style = `body{font:16px/1.5 system-ui,sans-serif;color:#1c2530;background:#f3f5f7;margin:0;display:flex;min-height:100vh;align-items:center;justify-content:center}
main{background:#fff;border:1px solid #d8dee5;border-radius:8px;padding:2rem 2.5rem;max-width:26rem;margin:1rem}
h1{font-size:1.3rem;margin:0 0 .5rem}p{margin:.5rem 0}small{color:#5b6875;overflow-wrap:anywhere}
a.button,button{display:inline-block;font:inherit;background:#1f5fa8;color:#fff;border:0;border-radius:5px;padding:.5rem 1.1rem;margin-top:.8rem;text-decoration:none;cursor:pointer}
a.back{margin-left:.8rem;color:#1f5fa8}
a.button:focus-visible,a.back:focus-visible,button:focus-visible{outline:3px solid #8ab4e8;outline-offset:2px}`

var pages = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{{.Title}}</title>{{with .Next}}<meta http-equiv="refresh" content="0;url={{.}}">{{end}}<style>{{.Style}}</style></head>
<body><main><h1>{{.Title}}</h1><p>{{.Text}}</p>
{{with .Form.Action}}<form method="post" action="{{.}}"><input type="hidden" name="csrf_token" value="{{$.Form.Token}}"><button>{{$.Form.Button}}</button>{{with $.Form.Back}} <a class="back" href="{{.}}">Cancel</a>{{end}}</form>{{end}}{{with .Form.Link}}<a class="button" href="{{.}}">{{$.Form.Button}}</a>{{end}}
{{with .Reference}}<p><small>{{.}}</small></p>{{end}}</main></body></html>
`))

// form is what a page lets its reader do.
type form struct {
	Action, Token string // a button that sends a form
	Link          string // or one that leads somewhere
	Button        string
	Back          string // where one goes who does not want to
}

type pageData struct {
	Title, Text, Reference, Next string
	Style                        template.CSS
	Form                         form
}

// policy lets the pages use nothing but their own style: no script, no frame
// around them, no form that leads elsewhere than here.
var policy = func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

func (l *Login) page(w http.ResponseWriter, status int, title, text string, f form) {
	l.render(w, status, pageData{Title: title, Text: text, Form: f})
}

func (l *Login) render(w http.ResponseWriter, status int, d pageData) {
	d.Style = style
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	if d.Form.Action != "" {
		// Without a referrer browsers send a form with "Origin: null" (Fetch, "append a
		// request `Origin` header"), which is nobody's.
		h.Set("Referrer-Policy", "same-origin")
	}
	w.WriteHeader(status)
	var b strings.Builder
	if err := pages.Execute(&b, d); err != nil {
		l.log.Error("a page of the login could not be made", "error", err)
		return
	}
	_, _ = w.Write([]byte(b.String())) // who is gone needs none
}

// sendOn is a page that leads on by itself: a navigation that begins here carries
// cookies which one that began at the issuer would not, and is not held to the
// form-action of the page whose form was sent, as each of a form's redirects is.
func (l *Login) sendOn(w http.ResponseWriter, title, to string) {
	l.render(w, http.StatusOK, pageData{Title: title, Text: "You are being taken on.", Next: to, Form: form{Link: to, Button: "Go on"}})
}

// texts are what a person is told, by code: what to do, and nothing of the inside.
var texts = map[string][2]string{
	"login.state":       {"This login is over", "It was finished before, took too long, or was begun in another browser."},
	"login.refused":     {"Not logged in", "The login was refused or cancelled."},
	"login.step_up":     {"Not logged in", "A stronger or fresher login is needed for this page."},
	"login.unavailable": {"The login is not available", "The service that logs you in cannot be reached. Please try again in a moment."},
	"authn.csrf":        {"Not logged out", "The page that asked for it is out of date, or another site's."},
	"login.too_large":   {"Not logged in", "Your account's data does not fit into a session. Please tell whoever runs this service."},
}

// fail answers a request to one of the pages with a denial: a person with a page,
// a script with a problem document.
func (l *Login) fail(w http.ResponseWriter, r *http.Request, v exchange.Verdict) {
	l.failed(w, r, v, nil)
}

// failed is fail for a login that was under way.
func (l *Login) failed(w http.ResponseWriter, r *http.Request, v exchange.Verdict, f *flow) {
	l.note(r, v)
	l.log.Warn("a request to the login was refused", "api", l.api, "code", v.Code, "at", v.At, "reason", v.Reason)
	if !wantsPage(r) {
		l.problem(w, r, v)
		return
	}
	code, _ := exchange.LookupCode(v.Code)
	text, ok := texts[v.Code]
	if !ok {
		text = [2]string{"Not logged in", "The login could not be completed."}
	}
	q := url.Values{}
	if f != nil && f.Return != l.afterIn {
		q.Set("return_to", f.Return)
	}
	if code.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	d := pageData{Title: text[0], Text: text[1], Form: form{Link: l.loginURL(q), Button: "Log in again"}, Reference: v.Code}
	if v.Code == "authn.csrf" {
		d.Form = form{Link: l.path + "/logout", Button: "Log out"}
	}
	if x := exchange.Of(r.Context()); x != nil {
		d.Reference += " · " + x.ID
	}
	l.render(w, code.Status, d)
}
