package source

import (
	"encoding/base64"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// staticEnds are ends of paths that are no API's.
var staticEnds = map[string]bool{".js": true, ".mjs": true, ".css": true, ".png": true, ".jpg": true, ".jpeg": true, ".gif": true, ".svg": true, ".ico": true, ".woff": true, ".woff2": true, ".ttf": true, ".eot": true, ".otf": true, ".map": true, ".webp": true, ".avif": true, ".mp4": true, ".webm": true, ".mp3": true, ".html": true, ".htm": true, ".wasm": true, ".webmanifest": true}

// har reads an HTTP archive (version 1.2): https://w3c.github.io/web-performance/specs/HAR/Overview.html
func (r *reading) har(root *value.Value) *capture {
	c := &capture{title: "Recorded API"}
	var pages []*sample // what looks like a page, kept apart
	for i := range root.Get("log").Get("entries").Kids {
		e := &root.Get("log").Get("entries").Kids[i]
		req, resp := e.Get("request"), e.Get("response")
		s := &sample{method: strings.ToUpper(strOf(req, "method"))}
		if !methods[strings.ToLower(s.method)] || s.method == "OPTIONS" || s.method == "TRACE" || !s.address(strOf(req, "url")) {
			continue
		}
		if len(s.path) > 0 && staticEnds[strings.ToLower(path.Ext(s.path[len(s.path)-1].text))] {
			continue
		}
		each(req.Get("headers"), func(h *value.Value) { s.header(strOf(h, "name"), strOf(h, "value")) })
		if !slices.ContainsFunc(s.creds, func(c credential) bool { return c.in == "cookie" }) {
			each(req.Get("cookies"), func(h *value.Value) {
				if credentialName(strOf(h, "name")) {
					s.credential("apiKey", "cookie", strOf(h, "name"))
				}
			})
		}
		r.harBody(s, req.Get("postData"))
		harAnswer(s, resp)
		if pageLike(s) {
			pages = append(pages, s)
			continue
		}
		c.samples = append(c.samples, s)
	}
	if len(c.samples) == 0 {
		c.samples = pages
	}
	r.oneOrigin(c, "/log/entries")
	return c
}

// oneOrigin leaves the calls that went to other origins out (analytics, fonts, log-in
// services): they are not this API. Calls of which nobody knows where they went stay.
func (r *reading) oneOrigin(c *capture, pointer string) {
	origins := c.origins()
	if len(origins) < 2 {
		return
	}
	home := origins[0]
	if i := slices.IndexFunc(origins, func(o string) bool { return strings.EqualFold(o, r.opts.Origin) }); i > 0 {
		home = origins[i]
		origins = slices.Concat([]string{home}, origins[:i], origins[i+1:])
	}
	before := len(c.samples)
	c.samples = slices.DeleteFunc(c.samples, func(s *sample) bool { return s.origin != home && s.origin != "" })
	r.repaired(nil, pointer, "of %d calls, %d went to other origins than %s (%s); they were left out: to look at one of those, name it as the target", before, before-len(c.samples), home, strings.Join(origins[1:min(len(origins), 5)], ", "))
}

func pageLike(s *sample) bool {
	if s.method != "GET" || slices.ContainsFunc(s.creds, func(c credential) bool { return c.in == "header" }) {
		return false // a page's pictures carry no Authorization
	}
	switch t := s.answerType; {
	case t == "text/html", t == "text/css", strings.HasPrefix(t, "image/"), strings.HasPrefix(t, "font/"), strings.HasSuffix(t, "javascript"), strings.HasPrefix(t, "video/"), strings.HasPrefix(t, "audio/"):
		return true
	}
	return false
}

func (r *reading) harBody(s *sample, post *value.Value) {
	if !isObject(post) {
		return
	}
	mediaType := strOf(post, "mimeType")
	ps := post.Get("params")
	if isList(ps) && len(ps.Kids) > 0 {
		s.bodyType = bareType(mediaType)
		if s.bodyType == "" {
			s.bodyType = "application/x-www-form-urlencoded"
		}
		each(ps, func(p *value.Value) {
			s.form = append(s.form, field{name: strOf(p, "name"), value: strOf(p, "value"), file: strOf(p, "fileName") != ""})
		})
		return
	}
	if body := strOf(post, "text"); body != "" {
		s.bodyText(mediaType, body)
	}
}

func harAnswer(s *sample, resp *value.Value) {
	if !isObject(resp) {
		return
	}
	s.status, _ = strconv.Atoi(strOf(resp, "status"))
	each(resp.Get("headers"), func(h *value.Value) { s.answerHeader(strOf(h, "name")) })
	content := resp.Get("content")
	s.answerType = bareType(strOf(content, "mimeType"))
	body := strOf(content, "text")
	if strOf(content, "encoding") == "base64" {
		raw, err := base64.StdEncoding.DecodeString(body)
		if err != nil {
			return
		}
		body = string(raw)
	}
	if t := strings.TrimSpace(body); t != "" && (t[0] == '{' || t[0] == '[') && (strings.Contains(s.answerType, "json") || s.answerType == "" || s.answerType == "text/plain") {
		s.answer = jsonOf(t)
		if s.answer != nil && (s.answerType == "" || s.answerType == "text/plain") {
			s.answerType = "application/json"
		}
	}
}

// answerHeader keeps the answer's headers that say something of an API.
func (s *sample) answerHeader(name string) {
	switch l := strings.ToLower(name); {
	case l == "location" || l == "set-cookie" || strings.HasPrefix(l, "x-") && credentialName(name):
		if !slices.ContainsFunc(s.answerHeaders, func(h string) bool { return strings.EqualFold(h, name) }) {
			s.answerHeaders = append(s.answerHeaders, name)
		}
	}
}

func each(l *value.Value, f func(*value.Value)) {
	if !isList(l) {
		return
	}
	for i := range l.Kids {
		f(&l.Kids[i])
	}
}
