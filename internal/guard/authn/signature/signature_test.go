package signature

import (
	"bufio"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crenel-project/crenel/internal/guard/authn/jose"
)

const rfcSecret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="

// rfcKeys are those of RFC 9421 appendix B.1.
func rfcKeys(t testing.TB) map[string]*Key {
	t.Helper()
	rest, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]*Key{}
	for _, name := range []string{"rsa-pss", "ecc-p256", "ed25519", "rsa"} {
		block, after := pem.Decode(rest)
		if block == nil {
			t.Fatalf("key %s is missing", name)
		}
		rest = after
		if name == "rsa" {
			pub, err := x509.ParsePKCS1PublicKey(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			keys[name] = newKey(t, pub, "rsa-v1_5-sha256")
			continue
		}
		pub, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = newKey(t, pub, "")
	}
	secret, err := base64.StdEncoding.DecodeString(rfcSecret)
	if err != nil {
		t.Fatal(err)
	}
	keys["hmac"] = newKey(t, secret, "")
	return keys
}

func newKey(t testing.TB, public any, algorithm string) *Key {
	t.Helper()
	k := jose.Key{Public: public}
	if _, ok := public.([]byte); ok {
		k.Family = jose.HMAC
	} else if !k.Classify() {
		t.Fatal("not a key")
	}
	key, err := NewKey(k, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// head reads a message's head, a request's or an answer's.
func head(t testing.TB, raw string) *Message {
	t.Helper()
	r := bufio.NewReader(strings.NewReader(strings.ReplaceAll(raw, "\n", "\r\n") + "\r\n"))
	if strings.HasPrefix(raw, "HTTP/") {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		return &Message{Status: res.StatusCode, Header: res.Header}
	}
	req, err := http.ReadRequest(r)
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return &Message{Method: req.Method, Scheme: "https", Authority: req.Host, Target: req.RequestURI, Header: req.Header}
}

// Every example of RFC 9421: what is signed is what the RFC shows, and its
// signatures verify with its keys.
func TestRFC9421(t *testing.T) {
	raw, err := os.ReadFile("testdata/rfc9421.txt")
	if err != nil {
		t.Fatal(err)
	}
	keys := rfcKeys(t)
	blocks := strings.Split(string(raw), "\n== ")[1:]
	first := blocks[0]
	for _, block := range blocks {
		name, rest, _ := strings.Cut(block, "\n")
		key, rest, _ := strings.Cut(rest, "\n")
		text, base, _ := strings.Cut(rest, "--\n")
		t.Run(name, func(t *testing.T) {
			m := head(t, text)
			if m.Status != 0 {
				_, request, _ := strings.Cut(first, "\n")
				_, request, _ = strings.Cut(request, "\n")
				request, _, _ = strings.Cut(request, "--\n")
				if strings.Contains(name, "draft") { // it signs the signature of the draft's section 4.3
					for _, b := range blocks {
						if strings.HasPrefix(b, "section 4.3 of draft") {
							_, request, _ = strings.Cut(b, "\n")
							_, request, _ = strings.Cut(request, "\n")
						}
					}
				}
				m.Request = head(t, request)
			}
			sigs, err := Parse(m.Header)
			if err != nil {
				t.Fatal(err)
			}
			key, label, _ := strings.Cut(strings.TrimPrefix(key, "key: "), " ")
			sig := sigs[0]
			for _, s := range sigs {
				if s.Label == label {
					sig = s
				}
			}
			got, err := sig.Base(m)
			if err != nil {
				t.Fatal(err)
			}
			if base = strings.TrimSuffix(base, "\n"); base != "" && string(got) != base {
				t.Errorf("signed is\n%s\nwant\n%s", got, base)
			}
			k := keys[key]
			if ok, want := sig.Verify(k, got), !strings.Contains(name, "does not verify"); ok != want {
				t.Errorf("verifies: %v, want %v; signed is\n%s", ok, want, got)
			}
			for other, o := range keys {
				if o != k && sig.Verify(o, got) {
					t.Errorf("verifies with the key %s too", other)
				}
			}
		})
	}
	if len(blocks) < 16 {
		t.Errorf("%d examples", len(blocks))
	}
}

// The examples of RFC 9421 section 2: what a component's value is.
func TestComponentValues(t *testing.T) {
	fields := head(t, "GET / HTTP/1.1\nHost: www.example.com\nDate: Tue, 20 Apr 2021 02:07:56 GMT\nX-OWS-Header:   Leading and trailing whitespace.   \n"+
		"X-Obs-Fold-Header: Obsolete\n    line folding.\nCache-Control: max-age=60\nCache-Control:    must-revalidate\nExample-Dict:  a=1,    b=2;x=1;y=2,   c=(a   b   c)\n"+
		"X-Empty-Header: \nExample-List: one\nExample-List:   two;q=0.5\nExample-Item:   12.50;x\n")
	fields.Types = map[string]Type{"example-dict": Dictionary, "example-list": List, "example-item": Item}
	dict := head(t, "GET / HTTP/1.1\nHost: a\nExample-Dict:  a=1, b=2;x=1;y=2, c=(a b c), d\n")
	binary := head(t, "GET / HTTP/1.1\nHost: a\nExample-Header: value, with, lots\nExample-Header: of, commas\n")
	path := head(t, "POST /path?param=value HTTP/1.1\nHost: www.example.com\n")
	at := func(target string) *Message {
		return &Message{Method: "GET", Scheme: "https", Authority: "WWW.Example.com:443", Target: target, Header: http.Header{}}
	}
	params := at("/path?param=value&foo=bar&baz=batman&qux=")
	encoded := at("/parameters?var=this%20is%20a%20big%0Amultiline%20value&bar=with+plus+whitespace&fa%C3%A7ade%22%3A%20=something")
	answer := &Message{Status: 200, Header: http.Header{"Trailer": {"Expires"}}, Trailer: http.Header{"Expires": {"Wed, 9 Nov 2022 07:28:00 GMT"}}, Request: path}
	for _, c := range []struct {
		m        *Message
		id, want string
	}{
		{fields, `"host"`, "www.example.com"},
		{fields, `"date"`, "Tue, 20 Apr 2021 02:07:56 GMT"},
		{fields, `"x-ows-header"`, "Leading and trailing whitespace."},
		{fields, `"x-obs-fold-header"`, "Obsolete line folding."},
		{fields, `"cache-control"`, "max-age=60, must-revalidate"},
		{fields, `"example-dict"`, "a=1,    b=2;x=1;y=2,   c=(a   b   c)"},
		{fields, `"x-empty-header"`, ""},
		{fields, `"example-dict";sf`, "a=1, b=2;x=1;y=2, c=(a b c)"},
		{fields, `"example-list";sf`, "one, two;q=0.5"},
		{fields, `"example-item";sf`, "12.5;x"},
		{dict, `"example-dict";key="a"`, "1"},
		{dict, `"example-dict";key="d"`, "?1"},
		{dict, `"example-dict";key="b"`, "2;x=1;y=2"},
		{dict, `"example-dict";key="c"`, "(a b c)"},
		{binary, `"example-header"`, "value, with, lots, of, commas"},
		{binary, `"example-header";bs`, ":dmFsdWUsIHdpdGgsIGxvdHM=:, :b2YsIGNvbW1hcw==:"},
		{path, `"@method"`, "POST"},
		{path, `"@target-uri"`, "https://www.example.com/path?param=value"},
		{path, `"@authority"`, "www.example.com"},
		{path, `"@scheme"`, "https"},
		{path, `"@request-target"`, "/path?param=value"},
		{path, `"@path"`, "/path"},
		{path, `"@query"`, "?param=value"},
		{at("/path?queryString"), `"@query"`, "?queryString"},
		{at("/path"), `"@query"`, "?"},
		{at("/path?"), `"@query"`, "?"},
		{at("/path?"), `"@target-uri"`, "https://www.example.com/path?"},
		{at("/a%2Fb/%7e"), `"@path"`, "/a%2Fb/%7e"},
		{at("https://www.example.com/path?param=value"), `"@request-target"`, "https://www.example.com/path?param=value"},
		{at("https://www.example.com/path?param=value"), `"@target-uri"`, "https://www.example.com/path?param=value"},
		{at("https://www.example.com/path?param=value"), `"@path"`, "/path"},
		{at("https://www.example.com?param=value"), `"@path"`, "/"},
		{at("https://www.example.com"), `"@query"`, "?"},
		{&Message{Method: "CONNECT", Authority: "www.example.com", Target: "www.example.com:80"}, `"@request-target"`, "www.example.com:80"},
		{&Message{Method: "OPTIONS", Authority: "www.example.com", Target: "*"}, `"@request-target"`, "*"},
		{params, `"@query-param";name="baz"`, "batman"},
		{params, `"@query-param";name="qux"`, ""},
		{params, `"@query-param";name="param"`, "value"},
		{encoded, `"@query-param";name="var"`, "this%20is%20a%20big%0Amultiline%20value"},
		{encoded, `"@query-param";name="bar"`, "with%20plus%20whitespace"},
		{encoded, `"@query-param";name="fa%C3%A7ade%22%3A%20"`, "something"},
		{answer, `"@status"`, "200"},
		{answer, `"expires";tr`, "Wed, 9 Nov 2022 07:28:00 GMT"},
		{answer, `"@method";req`, "POST"},
		{answer, `"@query-param";name="param";req`, "value"},
		{&Message{Method: "GET", Scheme: "http", Authority: "Example.COM:80"}, `"@authority"`, "example.com"},
		{&Message{Method: "GET", Scheme: "http", Authority: "example.com:443"}, `"@authority"`, "example.com:443"},
	} {
		cs, err := identifier(c.id)
		if err != nil {
			t.Errorf("%s: %v", c.id, err)
			continue
		}
		got, err := c.m.value(cs)
		if err != nil || got != c.want || cs.String() != c.id {
			t.Errorf("%s: %q, %v, want %q", cs, got, err, c.want)
		}
	}
	none := head(t, "GET /?a=1&a=2&b HTTP/1.1\nHost: h\nX-Dict: a=1\nX-Broken: a=(\nX-Twice: a\nX-Twice: b\n")
	none.Types = map[string]Type{"x-broken": Dictionary, "x-twice": Item}
	for _, id := range []string{
		`"x-absent"`, `"x-absent";bs`, `"x-absent";sf`, `"x-dict";key="b"`, `"x-broken";key="a"`, `"x-broken";sf`, `"x-twice";sf`, `"x-dict";sf`, `"x-dict";tr`,
		`"@query-param";name="a"`, `"@query-param";name="c"`, `"@query-param";name="A"`, `"@status"`, `"@method";req`, `"x-dict";req`,
	} {
		c, err := identifier(id)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if v, err := none.value(c); err == nil {
			t.Errorf("%s has the value %q", id, v)
		}
	}
	if c, _ := identifier(`"@method"`); c != nil {
		if v, err := answer.value(c); err == nil {
			t.Errorf("an answer has the method %q", v)
		}
	}
}

func identifier(id string) (*Component, error) {
	sigs, err := Parse(http.Header{"Signature-Input": {"s=(" + id + ")"}, "Signature": {"s=:YQ==:"}})
	if err != nil {
		return nil, err
	}
	return sigs[0].Components[0], nil
}

// What cannot be read in one way is not read.
func TestParseRefuses(t *testing.T) {
	for name, c := range map[string][2]string{
		"no signature":                      {`s=("@method")`, ""},
		"no input":                          {"", "s=:YQ==:"},
		"another label":                     {`s=("@method")`, "t=:YQ==:"},
		"a label more in Signature":         {`s=("@method")`, "s=:YQ==:, t=:YQ==:"},
		"a label more in Signature-Input":   {`s=("@method"), t=("@path")`, "s=:YQ==:"},
		"a label twice in Signature-Input":  {`s=("@method"), s=("@path")`, "s=:YQ==:"},
		"a label twice in Signature":        {`s=("@method")`, "s=:YQ==:, s=:Yg==:"},
		"a parameter twice":                 {`s=("@method");created=1;created=2`, "s=:YQ==:"},
		"keyid twice":                       {`s=("@method");keyid="a";keyid="b"`, "s=:YQ==:"},
		"a component twice":                 {`s=("@method" "@method")`, "s=:YQ==:"},
		"a component twice, told apart":     {`s=("a";key="x";sf "a";sf;key="x")`, "s=:YQ==:"},
		"a component's parameter twice":     {`s=("a";key="x";key="y")`, "s=:YQ==:"},
		"no list":                           {`s="@method"`, "s=:YQ==:"},
		"a list in the signature":           {`s=("@method")`, "s=(:YQ==:)"},
		"a signature as text":               {`s=("@method")`, `s="YQ=="`},
		"a signature with a parameter":      {`s=("@method")`, "s=:YQ==:;a=1"},
		"a signature not padded":            {`s=("@method")`, "s=:YQ:"},
		"a component as a token":            {`s=(method)`, "s=:YQ==:"},
		"a component in capitals":           {`s=("Content-Type")`, "s=:YQ==:"},
		"a component with a space":          {`s=("content type")`, "s=:YQ==:"},
		"an empty component":                {`s=("")`, "s=:YQ==:"},
		"an unknown derived component":      {`s=("@cookie")`, "s=:YQ==:"},
		"the parameters as a component":     {`s=("@signature-params")`, "s=:YQ==:"},
		"a component with a line break":     {"s=(\"a\n\")", "s=:YQ==:"},
		"an unknown component parameter":    {`s=("a";xx)`, "s=:YQ==:"},
		"sf of a derived component":         {`s=("@method";sf)`, "s=:YQ==:"},
		"bs of a derived component":         {`s=("@method";bs)`, "s=:YQ==:"},
		"tr of a derived component":         {`s=("@method";tr)`, "s=:YQ==:"},
		"key of a derived component":        {`s=("@query";key="a")`, "s=:YQ==:"},
		"bs with sf":                        {`s=("a";bs;sf)`, "s=:YQ==:"},
		"bs with key":                       {`s=("a";bs;key="x")`, "s=:YQ==:"},
		"sf as false":                       {`s=("a";sf=?0)`, "s=:YQ==:"},
		"key as a token":                    {`s=("a";key=x)`, "s=:YQ==:"},
		"a query parameter without a name":  {`s=("@query-param")`, "s=:YQ==:"},
		"a name on another component":       {`s=("@query";name="a")`, "s=:YQ==:"},
		"created as text":                   {`s=("@method");created="1"`, "s=:YQ==:"},
		"created as a fraction":             {`s=("@method");created=1.5`, "s=:YQ==:"},
		"created negative":                  {`s=("@method");created=-1`, "s=:YQ==:"},
		"created beyond all years":          {`s=("@method");created=999999999999999`, "s=:YQ==:"},
		"created with zeros":                {`s=("@method");created=0001`, "s=:YQ==:"},
		"expires as a date of another kind": {`s=("@method");expires=@1`, "s=:YQ==:"},
		"keyid as a token":                  {`s=("@method");keyid=k`, "s=:YQ==:"},
		"keyid empty":                       {`s=("@method");keyid=""`, "s=:YQ==:"},
		"keyid huge":                        {`s=("@method");keyid="` + strings.Repeat("k", 600) + `"`, "s=:YQ==:"},
		"nonce as bytes":                    {`s=("@method");nonce=:YQ==:`, "s=:YQ==:"},
		"alg as a token":                    {`s=("@method");alg=ed25519`, "s=:YQ==:"},
		"not closed":                        {`s=("@method"`, "s=:YQ==:"},
		"a comma at the end":                {`s=("@method"),`, "s=:YQ==:"},
		"bytes beyond ASCII":                {"s=(\"\xc3\xa9\")", "s=:YQ==:"},
		"too many labels":                   {strings.TrimSuffix(repeat(9, `s%d=("@method"), `), ", "), strings.TrimSuffix(repeat(9, "s%d=:YQ==:, "), ", ")},
		"too many components":               {"s=(" + strings.TrimSpace(repeat(65, `"h%d" `)) + ")", "s=:YQ==:"},
		"too large":                         {`s=("@method");nonce="` + strings.Repeat("n", maxField) + `"`, "s=:YQ==:"},
	} {
		h := http.Header{}
		if c[0] != "" {
			h.Set("Signature-Input", c[0])
		}
		if c[1] != "" {
			h.Set("Signature", c[1])
		}
		if sigs, err := Parse(h); err == nil {
			t.Errorf("%s: %d signatures are read", name, len(sigs))
		}
	}
	if sigs, err := Parse(http.Header{}); err != nil || sigs != nil {
		t.Errorf("without signatures: %v, %v", sigs, err)
	}
}

func repeat(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// signer makes signatures as a client does.
type signer struct {
	name    string
	private any
}

var signers = map[string]func() (signer, any){
	"ed25519": func() (signer, any) {
		pub, k, _ := ed25519.GenerateKey(rand.Reader)
		return signer{"ed25519", k}, pub
	},
	"ecdsa-p256-sha256": func() (signer, any) {
		k, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		return signer{"ecdsa-p256-sha256", k}, &k.PublicKey
	},
	"ecdsa-p384-sha384": func() (signer, any) {
		k, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		return signer{"ecdsa-p384-sha384", k}, &k.PublicKey
	},
	"rsa-pss-sha512":  rsaSigner("rsa-pss-sha512"),
	"rsa-v1_5-sha256": rsaSigner("rsa-v1_5-sha256"),
	"hmac-sha256": func() (signer, any) {
		k := make([]byte, 32)
		_, _ = rand.Read(k)
		return signer{"hmac-sha256", k}, k
	},
}

func rsaSigner(name string) func() (signer, any) {
	return func() (signer, any) {
		k, _ := rsa.GenerateKey(rand.Reader, 2048)
		return signer{name, k}, &k.PublicKey
	}
}

func (s signer) sign(base []byte) []byte {
	sum256, sum384, sum512 := sha256.Sum256(base), sha512.Sum384(base), sha512.Sum512(base)
	switch k := s.private.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(k, base)
	case *rsa.PrivateKey:
		if s.name == "rsa-pss-sha512" {
			sig, _ := rsa.SignPSS(rand.Reader, k, crypto.SHA512, sum512[:], &rsa.PSSOptions{SaltLength: 64})
			return sig
		}
		sig, _ := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum256[:])
		return sig
	case *ecdsa.PrivateKey:
		sum, size := sum256[:], 32
		if k.Curve == elliptic.P384() {
			sum, size = sum384[:], 48
		}
		r, v, _ := ecdsa.Sign(rand.Reader, k, sum)
		return append(r.FillBytes(make([]byte, size)), v.FillBytes(make([]byte, size))...)
	case []byte:
		h := hmac.New(sha256.New, k)
		h.Write(base)
		return h.Sum(nil)
	}
	panic("unknown key")
}

// Every algorithm verifies what it signed, and nothing else: no other text, no
// other algorithm, no changed signature.
func TestAlgorithms(t *testing.T) {
	for name, newSigner := range signers {
		t.Run(name, func(t *testing.T) {
			s, public := newSigner()
			k := newKey(t, public, name)
			m := &Message{Method: "GET", Scheme: "https", Authority: "a.test", Target: "/x", Header: http.Header{}}
			input := `s=("@method" "@target-uri");created=1618884473;keyid="k"`
			m.Header.Set("Signature-Input", input)
			m.Header.Set("Signature", "s=:YQ==:")
			sigs, err := Parse(m.Header)
			if err != nil {
				t.Fatal(err)
			}
			sig := sigs[0]
			base, err := sig.Base(m)
			if err != nil {
				t.Fatal(err)
			}
			sig.value = s.sign(base)
			if !sig.Verify(k, base) {
				t.Fatal("its own signature does not verify")
			}
			if sig.Verify(k, append(base, 'x')) {
				t.Error("another text verifies")
			}
			for _, i := range []int{0, len(sig.value) / 2, len(sig.value) - 1} {
				sig.value[i] ^= 1
				if sig.Verify(k, base) {
					t.Errorf("verifies with byte %d changed", i)
				}
				sig.value[i] ^= 1
			}
			whole := sig.value
			for _, v := range [][]byte{nil, whole[:len(whole)-1], append([]byte{0}, whole...), append(whole[:len(whole):len(whole)], 0)} {
				sig.value = v
				if sig.Verify(k, base) {
					t.Errorf("verifies with %d bytes", len(v))
				}
			}
			sig.value = whole
			for other := range signers {
				sig.Algorithm = other
				if sig.Verify(k, base) != (other == name) {
					t.Errorf("a signature that says %s verifies: %v", other, other != name)
				}
				if _, err := NewKey(k.key, other); (err == nil) != (algorithms[other].Family == algorithms[name].Family) {
					t.Errorf("a key of %s for %s: %v", name, other, err)
				}
			}
			sig.Algorithm = strings.ToUpper(name)
			if sig.Verify(k, base) {
				t.Error("the algorithm in capitals verifies")
			}
		})
	}
	if _, err := NewKey(jose.Key{Family: jose.P521}, ""); err == nil {
		t.Error("a key on P-521 is taken")
	}
	if _, err := NewKey(jose.Key{Family: jose.RSA, Alg: "RS512"}, ""); err == nil {
		t.Error("a key kept for RS512 is taken")
	}
	if k, err := NewKey(jose.Key{Family: jose.RSA, Alg: "RS256"}, ""); err != nil || k.Algorithm != "rsa-v1_5-sha256" {
		t.Errorf("a key kept for RS256: %+v, %v", k, err)
	}
}

func TestPolicy(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	p := Policy{Covered: DefaultCovered, MaxAge: 5 * time.Minute, Skew: 30 * time.Second}
	with := func(h ...string) http.Header {
		out := http.Header{}
		for i := 0; i < len(h); i += 2 {
			out.Set(h[i], h[i+1])
		}
		return out
	}
	const good = `("@method" "@target-uri");created=1700000000`
	for name, c := range map[string]struct {
		input   string
		policy  func(p *Policy)
		target  string
		header  http.Header
		content bool
		want    string // part of the error; "" when it is enough
	}{
		"enough":                            {input: good},
		"no method":                         {input: `("@target-uri");created=1700000000`, want: "@method"},
		"no target":                         {input: `("@method");created=1700000000`, want: "neither @target-uri nor @authority"},
		"authority alone":                   {input: `("@method" "@authority");created=1700000000`, want: "@path"},
		"authority and path":                {input: `("@method" "@authority" "@path");created=1700000000`},
		"authority and path, with a query":  {input: `("@method" "@authority" "@path");created=1700000000`, target: "/x?a=1", want: "@query"},
		"with an empty query":               {input: `("@method" "@authority" "@path");created=1700000000`, target: "/x?", want: "@query"},
		"one parameter is not the query":    {input: `("@method" "@authority" "@path" "@query-param";name="a");created=1700000000`, target: "/x?a=1", want: "@query"},
		"authority, path and query":         {input: `("@method" "@authority" "@path" "@query");created=1700000000`, target: "/x?a=1"},
		"request target and host":           {input: `("@method" "host" "@request-target");created=1700000000`, target: "/x?a=1"},
		"request target alone":              {input: `("@method" "@request-target");created=1700000000`, want: "@authority"},
		"content without digest":            {input: good, content: true, want: "content-digest"},
		"content with digest":               {input: `("@method" "@target-uri" "content-digest");created=1700000000`, content: true},
		"content with a digest's member":    {input: `("@method" "@target-uri" "content-digest";key="sha-256");created=1700000000`, content: true, want: "content-digest"},
		"content with a digest behind":      {input: `("@method" "@target-uri" "content-digest";tr);created=1700000000`, content: true, want: "content-digest"},
		"content with a digest wrapped":     {input: `("@method" "@target-uri" "content-digest";bs);created=1700000000`, content: true},
		"a token that is not covered":       {input: good, header: with("Authorization", "Bearer x"), want: "authorization"},
		"a token that is covered":           {input: `("@method" "@target-uri" "authorization");created=1700000000`, header: with("Authorization", "Bearer x")},
		"a field of the config's":           {input: good, policy: func(p *Policy) { p.Covered = append(p.Covered, "content-type") }, header: with("Content-Type", "a/b"), want: "content-type"},
		"a field of the config's, absent":   {input: good, policy: func(p *Policy) { p.Covered = append(p.Covered, "content-type") }},
		"no time":                           {input: `("@method" "@target-uri")`, want: "when it was created"},
		"old":                               {input: `("@method" "@target-uri");created=1699999670`, want: "older"},
		"just not old":                      {input: `("@method" "@target-uri");created=1699999671`},
		"future":                            {input: `("@method" "@target-uri");created=1700000031`, want: "future"},
		"a fast clock":                      {input: `("@method" "@target-uri");created=1700000030`},
		"expired":                           {input: `("@method" "@target-uri");created=1699999900;expires=1699999970`, want: "expired"},
		"just not expired":                  {input: `("@method" "@target-uri");created=1699999900;expires=1699999971`},
		"expires before it is created":      {input: `("@method" "@target-uri");created=1700000000;expires=1699999999`, want: "before"},
		"must expire":                       {input: good, policy: func(p *Policy) { p.NeedExpires = true }, want: "when it expires"},
		"must have a nonce":                 {input: good, policy: func(p *Policy) { p.NeedNonce = true }, want: "nonce"},
		"tag":                               {input: good + `;tag="shop"`, policy: func(p *Policy) { p.Tag = "shop" }},
		"no tag":                            {input: good, policy: func(p *Policy) { p.Tag = "shop" }, want: "tag"},
		"another tag":                       {input: good + `;tag="Shop"`, policy: func(p *Policy) { p.Tag = "shop" }, want: "tag"},
		"the request's, which has no sense": {input: `("@method" "@target-uri" "authorization";req);created=1700000000`, header: with("Authorization", "x"), want: "authorization"},
	} {
		h := http.Header{"Signature-Input": {"s=" + c.input}, "Signature": {"s=:YQ==:"}}
		for n, v := range c.header {
			h[n] = v
		}
		sigs, err := Parse(h)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		q := p
		q.Covered = append([]string(nil), p.Covered...)
		if c.policy != nil {
			c.policy(&q)
		}
		target := c.target
		if target == "" {
			target = "/x"
		}
		err = q.Check(sigs[0], &Message{Method: "GET", Scheme: "https", Authority: "a.test", Target: target, Header: h}, c.content, now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if stale := errors.Is(err, ErrStale); stale && q.Life(sigs[0], now) > 7*time.Minute {
			t.Errorf("%s: could be used again for %s", name, q.Life(sigs[0], now))
		}
	}
}

// A value can never make one component look like two.
func TestBaseHasALineForEachComponent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Message{Method: "GET", Scheme: "https", Authority: rapid.String().Draw(t, "authority"), Target: "/" + rapid.String().Draw(t, "target"),
			Header: http.Header{"X-A": rapid.SliceOfN(rapid.String(), 1, 3).Draw(t, "lines")}}
		m.Header["Signature-Input"] = []string{`s=("@method" "@authority" "@path" "@query" "x-a" "x-a";bs);created=1`}
		m.Header["Signature"] = []string{"s=:YQ==:"}
		sigs, err := Parse(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		base, err := sigs[0].Base(m)
		if err != nil {
			return
		}
		lines := strings.Split(string(base), "\n")
		if len(lines) != 7 {
			t.Fatalf("%d lines:\n%s", len(lines), base)
		}
		for i, prefix := range []string{`"@method": `, `"@authority": `, `"@path": `, `"@query": ?`, `"x-a": `, `"x-a";bs: `, `"@signature-params": (`} {
			if !strings.HasPrefix(lines[i], prefix) {
				t.Fatalf("line %d is %q", i, lines[i])
			}
		}
	})
}

func FuzzSignature(f *testing.F) {
	f.Add(`sig1=("@method" "@authority" "@path" "content-digest";key="sha-512" "x-a";sf "@query-param";name="a");created=1618884473;keyid="k";alg="ed25519"`, "sig1=:YQ==:", "/foo?a=b")
	f.Add(`s=()`, "s=:YQ==:", "*")
	f.Fuzz(func(t *testing.T, input, value, target string) {
		m := &Message{Method: "GET", Scheme: "https", Authority: "a.test", Target: target,
			Header: http.Header{"Signature-Input": {input}, "Signature": {value}, "X-A": {"a=1, b"}, "Content-Digest": {"sha-512=:YQ==:"}}}
		sigs, err := Parse(m.Header)
		if err != nil {
			return
		}
		p := Policy{Covered: DefaultCovered, MaxAge: time.Hour}
		for _, s := range sigs {
			base, err := s.Base(m)
			if err != nil {
				continue
			}
			if n := strings.Count(string(base), "\n"); n != len(s.Components) {
				t.Fatalf("%d components and %d lines:\n%q", len(s.Components), n, base)
			}
			if p.Check(s, m, true, s.Created) == nil && (!s.Covers("@method") || !s.Covers("content-digest")) {
				t.Fatalf("%q is enough", input)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	for name, newSigner := range signers {
		b.Run(name, func(b *testing.B) {
			s, public := newSigner()
			k := newKey(b, public, name)
			m := head(b, "POST /foo?param=Value&Pet=dog HTTP/1.1\nHost: example.com\nContent-Type: application/json\nContent-Digest: sha-256=:YQ==:\n")
			m.Header.Set("Signature-Input", `sig1=("@method" "@target-uri" "content-digest" "content-type");created=1618884473;keyid="k"`)
			m.Header.Set("Signature", "sig1=:YQ==:")
			sigs, err := Parse(m.Header)
			if err != nil {
				b.Fatal(err)
			}
			base, err := sigs[0].Base(m)
			if err != nil {
				b.Fatal(err)
			}
			m.Header.Set("Signature", "sig1=:"+base64.StdEncoding.EncodeToString(s.sign(base))+":")
			b.ReportAllocs()
			for b.Loop() {
				sigs, _ := Parse(m.Header)
				base, _ := sigs[0].Base(m)
				if !sigs[0].Verify(k, base) {
					b.Fatal("does not verify")
				}
			}
		})
	}
}
