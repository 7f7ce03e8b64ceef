package scenario

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// placeholder is "${name}" or "${name|filter|filter}".
var placeholder = regexp.MustCompile(`\$\{([A-Za-z0-9_.\-]+)((?:\|[a-z0-9]+)*)\}`)

// place is where in a request a text with placeholders stands.
type place int

const (
	inPlain  place = iota // text as it is: plain bodies, arguments, expectations
	inPath                // a path segment
	inQuery               // a query's name or value, or a form's
	inHeader              // a header's value: no line breaks
	inJSON                // a JSON document: inside or outside a string
	inXML                 // character data or an attribute's value
)

// render replaces the placeholders of a text. get says what a name stands for:
// a JSON scalar (string, json.Number, bool, nil) or a tree.
func render(text string, at place, get func(name string) (any, error)) (string, error) {
	locs := placeholder.FindAllStringSubmatchIndex(text, -1)
	if locs == nil {
		return text, nil
	}
	var b strings.Builder
	last := 0
	quoted := false // whether what is written so far ends inside a JSON string
	for _, l := range locs {
		lit := text[last:l[0]]
		b.WriteString(lit)
		if at == inJSON {
			quoted = quotedAfter(lit, quoted)
		}
		last = l[1]
		v, err := get(text[l[2]:l[3]])
		if err != nil {
			return "", err
		}
		out, raw, err := filtered(v, text[l[4]:l[5]])
		if err != nil {
			return "", fmt.Errorf("%s: %w", text[l[0]:l[1]], err)
		}
		if raw {
			b.WriteString(out)
			continue
		}
		switch at {
		case inPlain:
			b.WriteString(out)
		case inPath:
			b.WriteString(url.PathEscape(out))
		case inQuery:
			b.WriteString(url.QueryEscape(out))
		case inHeader:
			b.WriteString(strings.NewReplacer("\r", "", "\n", "").Replace(out))
		case inXML:
			b.WriteString(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(out))
		case inJSON:
			if quoted {
				s := jsonText(out)
				b.WriteString(s[1 : len(s)-1])
			} else if text[l[4]:l[5]] == "" {
				b.WriteString(jsonText(v))
			} else {
				b.WriteString(jsonText(out))
			}
		}
	}
	b.WriteString(text[last:])
	return b.String(), nil
}

// quotedAfter says whether a JSON text ends inside a string, which began inside
// one or not.
func quotedAfter(text string, quoted bool) bool {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return quoted
}

// filtered is a value as text, through filters; raw says that it must go in as it is.
func filtered(v any, filters string) (out string, raw bool, err error) {
	out = Plain(v)
	for _, f := range strings.Split(strings.TrimPrefix(filters, "|"), "|") {
		switch f {
		case "":
		case "raw":
			raw = true
		case "json":
			out = jsonText(v)
		case "url":
			out = url.QueryEscape(out)
		case "base64":
			out = base64.StdEncoding.EncodeToString([]byte(out))
		case "base64url":
			out = base64.RawURLEncoding.EncodeToString([]byte(out))
		case "hex":
			out = hex.EncodeToString([]byte(out))
		case "upper":
			out = strings.ToUpper(out)
		case "lower":
			out = strings.ToLower(out)
		default:
			return "", false, fmt.Errorf("there is no filter %q: want json, url, base64, base64url, hex, upper, lower or raw", f)
		}
	}
	return out, raw, nil
}

// Plain is a JSON value as people write it: a string without quotes.
func Plain(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return v
	case json.Number:
		return string(v)
	}
	return jsonText(v)
}

func jsonText(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "null"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// names lists the placeholders of a text.
func names(text string) []string {
	var out []string
	for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
		out = append(out, m[1])
	}
	return out
}
