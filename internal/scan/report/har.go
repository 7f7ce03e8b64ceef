package report

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/finding"
	"github.com/crenel-project/crenel/internal/scan"
)

// HAR writes the exchanges of all proofs as an HTTP Archive (HAR 1.2), a page
// for each finding. Credentials are not in it: they are not in the report.
func HAR(w io.Writer, r *scan.Report) error {
	type m = map[string]any
	pages, entries := []m{}, []m{}
	start := r.Started.UTC().Format("2006-01-02T15:04:05.000Z")
	for _, f := range r.Findings {
		pages = append(pages, m{"startedDateTime": start, "id": f.Fingerprint, "title": fmt.Sprintf("%s: %s", f.Severity, f.Title), "pageTimings": m{}})
		for _, e := range f.Evidence {
			at := start
			if !e.Sent.IsZero() {
				at = e.Sent.UTC().Format("2006-01-02T15:04:05.000Z")
			}
			body, coded := strings.CutPrefix(e.Response.Body, "base64:")
			content := m{"size": len(body), "mimeType": header(e.Response, "Content-Type"), "text": body}
			if coded {
				content["encoding"] = "base64"
				content["size"] = base64.StdEncoding.DecodedLen(len(body))
			}
			if e.Response.Truncated {
				content["comment"] = "cut"
			}
			request := m{
				"method": e.Request.Method, "url": e.Request.URL, "httpVersion": "HTTP/1.1", "cookies": []m{}, "headers": pairs(e.Request.Header),
				"queryString": query(e.Request.URL), "headersSize": -1, "bodySize": len(e.Request.Body),
			}
			if e.Request.Body != "" {
				request["postData"] = m{"mimeType": header(e.Request, "Content-Type"), "text": e.Request.Body, "params": []m{}}
			}
			entries = append(entries, m{
				"pageref": f.Fingerprint, "startedDateTime": at, "time": e.Millis, "request": request,
				"response": m{
					"status": e.Response.Status, "statusText": "", "httpVersion": "HTTP/1.1", "cookies": []m{}, "headers": pairs(e.Response.Header), "content": content,
					"redirectURL": header(e.Response, "Location"), "headersSize": -1, "bodySize": -1,
				},
				"cache": m{}, "timings": m{"send": 0, "wait": e.Millis, "receive": 0},
				"comment": told(e), "_as": cmp.Or(e.As, "nobody"), "_part": e.Part, "_step": e.Step,
			})
		}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(m{"log": m{"version": "1.2", "creator": m{"name": r.Tool.Name, "version": r.Tool.Version}, "pages": pages, "entries": entries}}); err != nil {
		return fmt.Errorf("writing the HTTP archive: %w", err)
	}
	return nil
}

func header(m finding.Message, name string) string {
	for _, h := range m.Header {
		if strings.EqualFold(h[0], name) {
			return h[1]
		}
	}
	return ""
}

func pairs(list [][2]string) []map[string]any {
	out := []map[string]any{}
	for _, p := range list {
		out = append(out, map[string]any{"name": p[0], "value": p[1]})
	}
	return out
}

func query(address string) []map[string]any {
	out := []map[string]any{}
	_, raw, _ := strings.Cut(address, "?")
	for p := range strings.SplitSeq(raw, "&") {
		if p == "" {
			continue
		}
		name, v, _ := strings.Cut(p, "=")
		for _, s := range []*string{&name, &v} {
			if plain, err := url.QueryUnescape(*s); err == nil {
				*s = plain
			}
		}
		out = append(out, map[string]any{"name": name, "value": v})
	}
	return out
}
