package actor

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// maxLeaves bounds how much of an answer is looked at.
const maxLeaves = 2000

// tree reads an answer's body as JSON, nil when it is none.
func tree(ex *target.Exchange) *value.Value {
	if ex == nil {
		return nil
	}
	text := bytes.TrimSpace(ex.Body)
	if len(text) == 0 {
		return nil
	}
	if v, err := value.JSON(text, value.Limits{}); err == nil {
		return v
	}
	// What a strict reader refuses (a key twice) still tells something.
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var a any
	if d.Decode(&a) != nil {
		return nil
	}
	v := value.FromAny(a)
	return &v
}

// scalar is one leaf of an answer.
type scalar struct {
	pointer string
	name    string   // the nearest member's
	above   []string // names of what it lies in, the outermost first
	v       *value.Value
}

// scalars lists the leaves of a tree, in document order.
func scalars(v *value.Value) []scalar {
	var out []scalar
	var walk func(v *value.Value, pointer, name string, above []string)
	walk = func(v *value.Value, pointer, name string, above []string) {
		if len(out) >= maxLeaves {
			return
		}
		switch v.Kind {
		case value.Object:
			for i := range v.Kids {
				k := &v.Kids[i]
				inner := above
				if name != "" {
					inner = append(slices.Clip(above), name)
				}
				walk(k, pointer+"/"+value.EscapeToken(k.Name), k.Name, inner)
			}
		case value.Array:
			for i := range v.Kids {
				walk(&v.Kids[i], pointer+"/"+strconv.Itoa(i), name, above)
			}
		default:
			out = append(out, scalar{pointer, name, above, v})
		}
	}
	if v != nil {
		walk(v, "", "", nil)
	}
	return out
}

func ok2xx(ex *target.Exchange) bool { return ex != nil && ex.Status >= 200 && ex.Status < 300 }

// saysNo: the status is a success, and the body says that it is none. Answers that
// are nothing but such an envelope have their status already (target.Exchange.Wire);
// here, of logins and witnesses, a member among others is enough.
func saysNo(v *value.Value) bool {
	if v == nil || v.Kind != value.Object {
		return false
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		switch strings.ToLower(k.Name) {
		case "success", "ok", "succeeded", "issuccess":
			if k.Kind == value.Bool && k.Text == "false" {
				return true
			}
		case "status", "result":
			switch strings.ToLower(k.Str()) {
			case "error", "fail", "failed", "failure", "ko", "nok", "unauthorized", "forbidden", "denied":
				return true
			}
			if n, err := strconv.Atoi(k.Text); err == nil && k.Kind == value.Number && n >= 400 && n < 600 {
				return true
			}
		case "statuscode", "status_code", "code", "httpstatus":
			if n, err := strconv.Atoi(k.Text); err == nil && n >= 400 && n < 600 {
				return true
			}
		case "error", "errors", "exception":
			switch k.Kind {
			case value.Null:
			case value.Bool:
				if k.Text == "true" {
					return true
				}
			case value.Array, value.Object:
				if len(k.Kids) > 0 {
					return true
				}
			case value.Number:
				if k.Text != "0" {
					return true
				}
			case value.String:
				if k.Text != "" {
					return true
				}
			}
		}
	}
	return false
}

// worked says whether a call did what it was asked, as far as its answer says.
func worked(ex *target.Exchange) bool { return ok2xx(ex) && !saysNo(tree(ex)) }

// shape is what stays the same of an answer when the same is asked again:
// status, where a redirect leads, and the body without what varies.
func shape(ex *target.Exchange) string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(ex.Status))
	b.WriteByte(' ')
	if loc := ex.Header.Get("Location"); loc != "" {
		b.WriteString(steady(loc))
	}
	b.WriteByte('\n')
	if v := tree(ex); v != nil {
		for _, s := range scalars(v) {
			b.WriteString(s.pointer)
			b.WriteByte('=')
			b.WriteString(steady(s.v.Text))
			b.WriteByte('\n')
		}
		if v.Kind == value.Array {
			b.WriteString("list of " + strconv.Itoa(len(v.Kids)))
		}
		return b.String()
	}
	b.WriteString(steady(string(ex.Body[:min(len(ex.Body), 64<<10)])))
	return b.String()
}

// steady replaces what varies from answer to answer: runs of letters and digits
// that hold a digit (times, ids, counters) become one sign.
func steady(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		j, digit := i, false
		for j < len(s) && (s[j] >= '0' && s[j] <= '9' || s[j] >= 'a' && s[j] <= 'z' || s[j] >= 'A' && s[j] <= 'Z') {
			digit = digit || s[j] >= '0' && s[j] <= '9'
			j++
		}
		switch {
		case j == i:
			b.WriteByte(s[i])
			j++
		case digit:
			b.WriteByte('#')
		default:
			b.WriteString(s[i:j])
		}
		i = j
	}
	return b.String()
}

// denied: the answer says that the caller may not, or must log in first.
func denied(ex *target.Exchange) bool {
	switch {
	case ex.Status == http.StatusUnauthorized || ex.Status == http.StatusForbidden || ex.Status == 419 || ex.Status == 440 || ex.Status == 498 || ex.Status == 499:
		return true
	case ex.Status >= 300 && ex.Status < 400:
		l := strings.ToLower(ex.Header.Get("Location"))
		return strings.Contains(l, "login") || strings.Contains(l, "signin") || strings.Contains(l, "sign-in") || strings.Contains(l, "sign_in") || strings.Contains(l, "/auth")
	}
	return false
}

// jwtClaims reads a JSON Web Token's claims without checking anything.
func jwtClaims(token string) (map[string]any, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 || len(parts[0]) < 4 {
		return nil, false
	}
	decode := func(text string) ([]byte, error) { // home-made tokens are in the other base64, and padded
		return base64.RawURLEncoding.DecodeString(strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(text), "="))
	}
	head, err := decode(parts[0])
	if err != nil || !json.Valid(head) || !bytes.Contains(head, []byte(`"alg"`)) {
		return nil, false
	}
	body, err := decode(parts[1])
	if err != nil {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var claims map[string]any
	if d.Decode(&claims) != nil {
		return nil, false
	}
	return claims, true
}

// expiryOf is when a credential ends, as far as its own words or the answer that brought it say.
func expiryOf(token string, v *value.Value, now time.Time) time.Time {
	if claims, ok := jwtClaims(token); ok {
		if n, ok := claims["exp"].(json.Number); ok {
			if f, err := n.Float64(); err == nil && f > 0 && f < 1e12 {
				return time.Unix(int64(f), 0)
			}
		}
	}
	for _, s := range scalars(v) {
		switch strings.Join(words(s.name), "") {
		case "expiresin", "expiresinseconds", "ttl", "accesstokenexpiresin", "maxage":
			if n, err := strconv.ParseFloat(s.v.Text, 64); err == nil && n > 0 && n < 1e9 {
				return now.Add(time.Duration(n) * time.Second)
			}
		case "expiresat", "expires", "expiry", "expiration", "validuntil":
			if t, err := time.Parse(time.RFC3339, s.v.Text); err == nil {
				return t
			}
			if n, err := strconv.ParseInt(s.v.Text, 10, 64); err == nil && n > 1e9 {
				if n > 1e12 {
					return time.UnixMilli(n)
				}
				return time.Unix(n, 0)
			}
		}
	}
	return time.Time{}
}
