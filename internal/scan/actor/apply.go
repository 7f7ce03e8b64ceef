package actor

import (
	"net/url"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/target"
)

func (p Part) apply(r *target.Request) {
	switch p.In {
	case "query":
		var kept []string
		for _, pair := range strings.Split(r.Query, "&") {
			name, _, _ := strings.Cut(pair, "=")
			if n, err := url.QueryUnescape(name); pair != "" && (err != nil || n != p.Name) {
				kept = append(kept, pair)
			}
		}
		r.Query = strings.Join(append(kept, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Prefix+p.Value)), "&")
	case "cookie":
		var crumbs []string
		var rest []target.Field
		for _, f := range r.Header {
			if !strings.EqualFold(f.Name, "Cookie") {
				rest = append(rest, f)
				continue
			}
			for _, c := range strings.Split(f.Value, ";") {
				c = strings.TrimSpace(c)
				if name, _, _ := strings.Cut(c, "="); c != "" && name != p.Name {
					crumbs = append(crumbs, c)
				}
			}
		}
		crumbs = append(crumbs, p.Name+"="+p.Prefix+p.Value)
		r.Header = append(rest, target.Field{Name: "Cookie", Value: strings.Join(crumbs, "; ")})
	default:
		var rest []target.Field
		for _, f := range r.Header {
			if !strings.EqualFold(f.Name, p.Name) {
				rest = append(rest, f)
			}
		}
		r.Header = append(rest, target.Field{Name: p.Name, Value: p.Prefix + p.Value})
	}
}
