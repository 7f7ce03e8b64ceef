package trail

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/crenel-project/crenel/internal/exchange"
)

// The encoder writes what encoding/json would, but for a few bytes that decode
// to the same (no HTML escapes), and cannot fail: what has no JSON form (NaN, a
// channel in a Detail) becomes null or a note, because a record must not be lost
// over it. A property test holds the two against each other.

func appendDecision(b []byte, d *exchange.Decision) []byte {
	b = append(b, `{"type":`...)
	b = appendString(b, d.Type)
	b = appendStringField(b, `,"id":`, d.ID)
	b = append(b, `,"time":`...)
	b = appendTime(b, d.Time)
	b = appendOmitEmpty(b, `,"api":`, d.API)
	b = appendOmitEmpty(b, `,"operation":`, d.Operation)
	b = appendOmitEmpty(b, `,"endpoint":`, d.Endpoint)
	b = appendStringField(b, `,"method":`, d.Method)
	b = appendOmitEmpty(b, `,"host":`, d.Host)
	b = appendStringField(b, `,"path":`, d.Path)
	b = appendStringField(b, `,"client":`, d.Client)
	if d.Identity != nil {
		b = append(b, `,"identity":`...)
		b = appendIdentity(b, d.Identity)
	}
	b = appendStringField(b, `,"action":`, d.Action)
	if d.Status != 0 {
		b = appendIntField(b, `,"status":`, int64(d.Status))
	}
	b = appendOmitEmpty(b, `,"code":`, d.Code)
	b = appendOmitEmpty(b, `,"guard":`, d.Guard)
	b = appendOmitEmpty(b, `,"at":`, d.At)
	b = appendOmitEmpty(b, `,"reason":`, d.Reason)
	if d.Risk != 0 {
		b = append(b, `,"risk":`...)
		b = appendFloat(b, d.Risk)
	}
	b = appendRulings(b, d.Rulings)
	b = appendIntField(b, `,"micros":`, d.Micros)
	return append(b, '}', '\n')
}

func appendCompletion(b []byte, c *exchange.Completion) []byte {
	b = append(b, `{"type":`...)
	b = appendString(b, c.Type)
	b = appendStringField(b, `,"id":`, c.ID)
	b = append(b, `,"time":`...)
	b = appendTime(b, c.Time)
	b = appendIntField(b, `,"status":`, int64(c.Status))
	b = appendIntField(b, `,"bytes_in":`, c.BytesIn)
	b = appendIntField(b, `,"bytes_out":`, c.BytesOut)
	b = appendIntField(b, `,"micros":`, c.Micros)
	b = appendIntField(b, `,"upstream_micros":`, c.Upstream)
	b = append(b, `,"upstream_called":`...)
	b = strconv.AppendBool(b, c.Called)
	b = appendOmitEmpty(b, `,"aborted":`, c.Aborted)
	b = appendOmitEmpty(b, `,"refused":`, c.Refused)
	b = appendList(b, `,"stripped":`, c.Stripped)
	b = appendList(b, `,"masked":`, c.Masked)
	b = appendRulings(b, c.Rulings)
	return append(b, '}', '\n')
}

func appendIdentity(b []byte, i *exchange.RecordedIdentity) []byte {
	b = appendStringField(b, `{"subject":`, i.Subject)
	b = appendOmitEmpty(b, `,"issuer":`, i.Issuer)
	b = appendStringField(b, `,"method":`, i.Method)
	b = append(b, `,"verified":`...)
	b = strconv.AppendBool(b, i.Verified)
	b = appendOmitEmpty(b, `,"client_id":`, i.ClientID)
	b = appendOmitEmpty(b, `,"tenant":`, i.Tenant)
	b = appendList(b, `,"roles":`, i.Roles)
	b = appendList(b, `,"scopes":`, i.Scopes)
	b = appendOmitEmpty(b, `,"session":`, i.Session)
	b = appendOmitEmpty(b, `,"credential":`, i.Credential)
	return append(b, '}')
}

func appendRulings(b []byte, rs []exchange.RecordedRuling) []byte {
	if len(rs) == 0 {
		return b
	}
	b = append(b, `,"rulings":[`...)
	for i := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendRuling(b, &rs[i])
	}
	return append(b, ']')
}

func appendRuling(b []byte, r *exchange.RecordedRuling) []byte {
	b = appendStringField(b, `{"guard":`, r.Guard)
	b = appendStringField(b, `,"phase":`, r.Phase)
	b = appendStringField(b, `,"mode":`, r.Mode)
	b = appendStringField(b, `,"action":`, r.Action)
	b = append(b, `,"micros":`...)
	b = appendFloat(b, r.Micros)
	b = appendOmitEmpty(b, `,"code":`, r.Code)
	b = appendOmitEmpty(b, `,"at":`, r.At)
	b = appendOmitEmpty(b, `,"reason":`, r.Reason)
	if len(r.More) > 0 {
		b = append(b, `,"more":[`...)
		for i := range r.More {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendStringField(b, `{"code":`, r.More[i].Code)
			b = appendOmitEmpty(b, `,"at":`, r.More[i].At)
			b = appendOmitEmpty(b, `,"reason":`, r.More[i].Reason)
			b = append(b, '}')
		}
		b = append(b, ']')
	}
	if len(r.Detail) > 0 {
		b = append(b, `,"detail":`...)
		b = appendObject(b, r.Detail)
	}
	return append(b, '}')
}

func appendObject(b []byte, m map[string]any) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	var few [16]string
	keys := few[:0]
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b = append(b, '{')
	for i, k := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, k)
		b = append(b, ':')
		b = appendAny(b, m[k])
	}
	return append(b, '}')
}

// appendAny writes the kinds of evidence that guards leave without reflection.
func appendAny(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case []string:
		if v == nil {
			return append(b, "null"...)
		}
		b = append(b, '[')
		for i, s := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']')
	case []int:
		if v == nil {
			return append(b, "null"...)
		}
		b = append(b, '[')
		for i, n := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(n), 10)
		}
		return append(b, ']')
	}
	out, err := json.Marshal(v)
	if err != nil {
		return append(b, `"not recorded: it has no JSON form"`...)
	}
	return append(b, out...)
}

func appendList(b []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(b, key...)
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

func appendStringField(b []byte, key, s string) []byte {
	return appendString(append(b, key...), s)
}

func appendOmitEmpty(b []byte, key, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, key...), s)
}

func appendIntField(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(b, key...), n, 10)
}

func appendTime(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendFloat writes the shortest form that reads back the same.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	form := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(b, f, form, -1, 64)
}

const hexDigits = "0123456789abcdef"

// plain marks the ASCII bytes that stand for themselves in a JSON string.
var plain = func() (t [utf8.RuneSelf]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != 0x7f
	}
	return t
}()

// appendString writes a JSON string. Invalid UTF-8 becomes U+FFFD, as
// encoding/json has it; line separators and DEL are escaped, so that a record is
// one line to every tool and harmless on a terminal.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			b = append(b, s[start:i]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, s[start:i]...)
			b = append(b, `\ufffd`...)
			start = i + n
		case r == '\u2028' || r == '\u2029' || r >= 0x80 && r < 0xa0:
			b = append(b, s[start:i]...)
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
			start = i + n
		}
		i += n
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
