package trail

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/exchange"
)

// same fails unless our line and encoding/json's decode to the same, and the
// line is one line.
func same(t interface{ Fatalf(string, ...any) }, line []byte, v any) {
	want, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encoding/json: %v", err)
		return
	}
	if n := bytes.Count(line, []byte("\n")); n != 1 || line[len(line)-1] != '\n' {
		t.Fatalf("%d newlines in %q", n, line)
	}
	a, b := decoded(t, line), decoded(t, want)
	if d := cmp.Diff(b, a); d != "" {
		t.Fatalf("(-encoding/json +ours):\n%s", d)
	}
}

func decoded(t interface{ Fatalf(string, ...any) }, b []byte) any {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("not JSON: %v: %q", err, b)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("more than one value: %q", b)
	}
	return normal(v)
}

// normal makes numbers that differ only in spelling ("1e-07", "1e-7") the same.
func normal(v any) any {
	switch v := v.(type) {
	case json.Number:
		if !strings.ContainsAny(v.String(), ".eE") {
			return v
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	}
	return v
}

func anyString() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"", "</script>&\u2028\u2029", "\x00\x1f\x7f\u0080\u009f", "\xff\xfe", "a\nb\r\t\"\\", "\U0001F600", "\ufffd", "\xed\xa0\x80"}),
	)
}

func anyFloat() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, 1e-7, 1e21, 1e20, -1e-6, 0.1, math.MaxFloat64, math.SmallestNonzeroFloat64})).
		Filter(func(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) })
}

func anyTime() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		zone := time.UTC
		if rapid.Bool().Draw(t, "zoned") {
			zone = time.FixedZone("", rapid.IntRange(-23*60, 23*60).Draw(t, "offset")*60)
		}
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone)
	})
}

func anyDetail() *rapid.Generator[map[string]any] {
	leaf := rapid.OneOf(
		rapid.Map(anyString(), func(s string) any { return s }),
		rapid.Map(rapid.Int(), func(i int) any { return i }),
		rapid.Map(anyFloat(), func(f float64) any { return f }),
		rapid.Map(rapid.SliceOf(rapid.Int()), func(l []int) any { return l }),
		rapid.Map(rapid.SliceOf(anyString()), func(l []string) any { return l }),
		rapid.SampledFrom([]any{nil, true, false, int64(-5), uint8(7), []string(nil), []int(nil), map[string]int{"a": 1}, []any{1, "x", nil}, struct{ A int }{3}, time.Second}),
	)
	return rapid.MapOfN(anyString(), leaf, 0, 20)
}

func anyRulings() *rapid.Generator[[]exchange.RecordedRuling] {
	s := anyString()
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) exchange.RecordedRuling {
		return exchange.RecordedRuling{
			Guard: s.Draw(t, "guard"), Phase: s.Draw(t, "phase"), Mode: s.Draw(t, "mode"), Action: s.Draw(t, "action"),
			Micros: anyFloat().Draw(t, "micros"), Code: s.Draw(t, "code"), At: s.Draw(t, "at"), Reason: s.Draw(t, "reason"),
			More: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) exchange.Fault {
				return exchange.Fault{Code: s.Draw(t, "c"), At: s.Draw(t, "a"), Reason: s.Draw(t, "r")}
			}), 0, 3).Draw(t, "more"),
			Detail: anyDetail().Draw(t, "detail"),
		}
	}), 0, 4)
}

func TestDecisionEncodesAsEncodingJSON(t *testing.T) {
	s := anyString()
	list := rapid.SliceOfN(s, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		d := &exchange.Decision{
			Type: "decision", ID: s.Draw(t, "id"), Time: anyTime().Draw(t, "time"), API: s.Draw(t, "api"), Operation: s.Draw(t, "op"), Endpoint: s.Draw(t, "endpoint"),
			Method: s.Draw(t, "method"), Host: s.Draw(t, "host"), Path: s.Draw(t, "path"), Client: s.Draw(t, "client"),
			Action: s.Draw(t, "action"), Status: rapid.Int().Draw(t, "status"), Code: s.Draw(t, "code"), Guard: s.Draw(t, "guard"),
			At: s.Draw(t, "at"), Reason: s.Draw(t, "reason"), Risk: anyFloat().Draw(t, "risk"),
			Rulings: anyRulings().Draw(t, "rulings"), Micros: rapid.Int64().Draw(t, "micros"),
		}
		if rapid.Bool().Draw(t, "known") {
			d.Identity = &exchange.RecordedIdentity{
				Subject: s.Draw(t, "subject"), Issuer: s.Draw(t, "issuer"), Method: s.Draw(t, "m"), Verified: rapid.Bool().Draw(t, "v"),
				ClientID: s.Draw(t, "cid"), Tenant: s.Draw(t, "tenant"), Roles: list.Draw(t, "roles"), Scopes: list.Draw(t, "scopes"),
				Session: s.Draw(t, "session"), Credential: s.Draw(t, "credential"),
			}
		}
		same(t, appendDecision(nil, d), d)
	})
}

func TestCompletionEncodesAsEncodingJSON(t *testing.T) {
	s := anyString()
	list := rapid.SliceOfN(s, 0, 3)
	rapid.Check(t, func(t *rapid.T) {
		c := &exchange.Completion{
			Type: "completion", ID: s.Draw(t, "id"), Time: anyTime().Draw(t, "time"), Status: rapid.Int().Draw(t, "status"),
			BytesIn: rapid.Int64().Draw(t, "in"), BytesOut: rapid.Int64().Draw(t, "out"), Micros: rapid.Int64().Draw(t, "micros"),
			Upstream: rapid.Int64().Draw(t, "up"), Called: rapid.Bool().Draw(t, "called"), Aborted: s.Draw(t, "aborted"),
			Stripped: list.Draw(t, "stripped"), Masked: list.Draw(t, "masked"), Rulings: anyRulings().Draw(t, "rulings"),
		}
		same(t, appendCompletion(nil, c), c)
	})
}

// A field that a record gains is written too: each is set here, whatever there is.
func TestEveryFieldIsWritten(t *testing.T) {
	var fill func(v reflect.Value)
	fill = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			v.SetString("x")
		case reflect.Bool:
			v.SetBool(true)
		case reflect.Int, reflect.Int64:
			v.SetInt(7)
		case reflect.Float64:
			v.SetFloat(0.5)
		case reflect.Pointer:
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem())
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			fill(v.Index(0))
		case reflect.Map:
			v.Set(reflect.ValueOf(map[string]any{"k": "v"}))
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				v.Set(reflect.ValueOf(time.Unix(1_700_000_000, 0).UTC()))
				return
			}
			for i := range v.NumField() {
				fill(v.Field(i))
			}
		default:
			t.Fatalf("a %s is not known here", v.Kind())
		}
	}
	var d exchange.Decision
	var c exchange.Completion
	fill(reflect.ValueOf(&d).Elem())
	fill(reflect.ValueOf(&c).Elem())
	for name, pair := range map[string][2]any{"decision": {appendDecision(nil, &d), d}, "completion": {appendCompletion(nil, &c), c}} {
		want, err := json.Marshal(pair[1])
		if err != nil {
			t.Fatal(err)
		}
		var wanted, got map[string]any
		if err := errors.Join(json.Unmarshal(want, &wanted), json.Unmarshal(pair[0].([]byte), &got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wanted, got); diff != "" {
			t.Errorf("%s (-as encoding/json +as written):\n%s", name, diff)
		}
	}
}

// What encoding/json refuses must still be recorded.
func TestNothingFailsToEncode(t *testing.T) {
	d := decision("a")
	d.Risk = math.NaN()
	d.Rulings = []exchange.RecordedRuling{{Micros: math.Inf(1), Detail: map[string]any{"c": make(chan int), "f": math.NaN()}}}
	line := appendDecision(nil, d)
	if !json.Valid(line) {
		t.Fatalf("not JSON: %s", line)
	}
}

func FuzzString(f *testing.F) {
	f.Add("a\"\\\n\xff\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		d := decision(s)
		same(t, appendDecision(nil, d), d)
	})
}

// typical is a decision as the gateway makes it with every guard on.
func typical() *exchange.Decision {
	d := decision("01JD2Q0V7W8X9Y0Z1A2B3C4D5E")
	d.API, d.Operation, d.Host, d.Client = "parcels", "createParcel", "api.example.test", "203.0.113.77"
	d.Identity = &exchange.RecordedIdentity{Subject: "user-4711", Issuer: "https://issuer.example.test", Method: "jwt", Verified: true,
		Tenant: "acme", Roles: []string{"customer"}, Scopes: []string{"parcels:read", "parcels:write"}, Session: "f81d4fae"}
	for _, g := range []string{"limit", "contract", "authn", "limit", "contract", "authz"} {
		d.Rulings = append(d.Rulings, exchange.RecordedRuling{Guard: g, Phase: "request_head", Mode: "enforce", Action: "allow", Micros: 3.25})
	}
	return d
}

func BenchmarkEncodeDecision(b *testing.B) {
	d := typical()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendDecision(buf[:0], d)
	}
}

func BenchmarkEncodingJSON(b *testing.B) {
	d := typical()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := json.Marshal(d); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRecord is the whole cost of a record, the writer's part included.
func BenchmarkRecord(b *testing.B) {
	l, err := Open(Options{File: filepath.Join(b.TempDir(), "events.jsonl"), Log: slog.New(slog.DiscardHandler), Queue: 1 << 20})
	if err != nil {
		b.Fatal(err)
	}
	d := typical()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Decide(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkStrict(b *testing.B) {
	l, err := Open(Options{File: filepath.Join(b.TempDir(), "events.jsonl"), Audit: "strict"})
	if err != nil {
		b.Fatal(err)
	}
	d := typical()
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := l.Decide(b.Context(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
