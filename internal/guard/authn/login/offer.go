package login

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/exchange"
)

// loginURL is where a browser logs in.
func (l *Login) loginURL(q url.Values) string {
	to := l.origin + l.path + "/login"
	if len(q) > 0 {
		to += "?" + q.Encode()
	}
	return to
}

// Offer completes a denial for which logging in would help: with where to do so,
// and, for a browser that navigates, with being sent there. The address is the
// login's own and nothing of the request but its path and query, to come back to.
func (v *Sessions) Offer(x *exchange.Exchange, denial exchange.Verdict) exchange.Verdict {
	l := v.login
	if !denial.LoginHelps && denial.StepUp == nil {
		return denial
	}
	q := url.Values{}
	if s := denial.StepUp; s != nil {
		if len(s.ACR) > 0 {
			q.Set("acr_values", strings.Join(s.ACR, " "))
		}
		if s.MaxAge >= 0 {
			q.Set("max_age", strconv.FormatInt(s.MaxAge, 10))
		}
		q.Set("prompt", "login")
	}
	r := &x.Request
	if navigates(r.Method, r.Upgrade, r.Header) && strings.EqualFold(r.Host, l.Host()) {
		to := r.RawPath
		if r.Query != "" {
			to += "?" + r.Query
		}
		if to = l.returnTo(to, l.afterIn); to != l.afterIn {
			q.Set("return_to", to)
		}
		if l.cfg.Redirect == nil || *l.cfg.Redirect {
			denial.Redirect = true
		}
	}
	denial.Login = l.loginURL(q)
	return denial
}

// navigates reports whether a request is a browser opening a page, which a person
// looks at, and not a script's or an image's.
func navigates(method, upgrade string, h http.Header) bool {
	if method != http.MethodGet && method != http.MethodHead || upgrade != "" {
		return false
	}
	if mode := one(h, "Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate" && one(h, "Sec-Fetch-Dest") == "document"
	}
	return h.Get("X-Requested-With") == "" && acceptsHTML(h)
}

// acceptsHTML reports whether HTML is named among what is accepted: programs say */*.
func acceptsHTML(h http.Header) bool {
	for _, line := range h["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			mediaType, parameters, _ := strings.Cut(item, ";")
			if strings.EqualFold(strings.TrimSpace(mediaType), "text/html") && strings.ReplaceAll(parameters, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

func wantsPage(r *http.Request) bool { return acceptsHTML(r.Header) }
