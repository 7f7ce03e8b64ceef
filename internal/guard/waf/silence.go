package waf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/exchange"
	"github.com/crenel-project/crenel/internal/guard/waf/triage"
)

// silence knows which requests the engine has nothing to say of.
type silence struct {
	guard  *Guard
	triage *triage.Triage
	seed   maphash.Seed
	values map[string]bool // header fields of transport, canonical

	mu    sync.RWMutex
	known map[transportKey]bool // combinations that the engine found silent
}

// transportKey stands for how a message travels: its method, the names of its
// header fields, and the values of those that rules look at by name. It is a keyed
// digest of 128 bits, so that nobody can make two alike.
type transportKey [2]uint64

// maxKnown combinations are remembered; beyond them all are found out anew.
const maxKnown = 4096

// perRequest are the variables that feed sets for each request.
var perRequest = []string{"allowed_methods", "allowed_request_content_type"}

// newTriage compiles the rules that the engine has loaded. What it has set for a
// request without any content is what it sets for all.
func newTriage(c config.WAF, engine coraza.WAF, rules []triage.Rule, chains map[int][]string) (*triage.Triage, error) {
	x := &exchange.Exchange{Request: exchange.Request{Method: http.MethodGet, RawPath: "/", Path: "/", Host: "localhost"}}
	tx := engine.NewTransaction()
	defer tx.Close()
	state, ok := tx.(plugintypes.TransactionState)
	if !ok {
		return nil, errors.New("the engine does not show its variables")
	}
	g := &Guard{cfg: c, exact: c.Exact(), types: contentTypes(nil)}
	g.feed(tx, state, x, portion{path: true})
	tx.ProcessRequestHeaders()
	if _, err := tx.ProcessRequestBody(); err != nil {
		return nil, fmt.Errorf("trying the rule set: %w", err)
	}
	constants := map[string]string{}
	for _, v := range state.Variables().TX().FindAll() {
		constants[strings.ToLower(v.Key())] = v.Value()
	}
	for _, name := range perRequest {
		delete(constants, name)
	}
	return triage.New(triage.Options{
		Rules: rules, Removed: removedRules(c), Chains: chains, PerRequest: perRequest, Level: c.Paranoia, Whole: c.Exact(), TX: constants, Root: rulesFS{}, Paths: []string{"@owasp_crs", ""},
	})
}

func newSilence(g *Guard) *silence {
	s := &silence{guard: g, triage: g.set.triage, seed: maphash.MakeSeed(), values: map[string]bool{"Content-Type": true}, known: map[transportKey]bool{}}
	for _, name := range s.triage.Transport() {
		s.values[http.CanonicalHeaderKey(name)] = true
	}
	return s
}

// ruling is what the triage says of a request.
type ruling struct {
	// silent says that the engine has nothing to say.
	silent bool
	// keys are what to remember when the engine has been asked and has said nothing:
	// how the request travels, and that together with the texts that rules begin to match.
	keys []transportKey
	// alone says that the engine need be told of nothing but fields and how the
	// request travels, and need try no rules but these on them: no other can match.
	alone  bool
	fields []field
	rules  []int
	// sampled is set when fields are not all that should be inspected.
	sampled *share
}

// judge finds out whether the engine must be asked, and what. path is what is
// muted there.
func (s *silence) judge(x *exchange.Exchange, fields []field, path *muted) ruling {
	all := ruling{fields: fields}
	if len(s.triage.Always()) > 0 || s.guard.exact && uploads(x) {
		return all
	}
	list := textLists.Get().(*[]triage.Text)
	texts := s.guard.appendTexts(*list, x, fields, path)
	defer forget(list, texts)
	suspects, rules, alone := s.triage.Suspects(texts)
	if !alone {
		return all
	}
	key := s.key(x, fields)
	if path != nil {
		// Elsewhere what is muted here may count: how a message travels, too.
		key.add(s.seed, "muted", "", path.key)
	}
	// Each field is two texts, at the end of the list.
	first, last := len(texts)-2*len(fields), -1
	for _, i := range suspects {
		t := &texts[i]
		// Of one kind are texts that some rules tell apart: arguments of the query and of the
		// body, and a target as it was sent and as it is read.
		kind := []byte{'a' + byte(t.Kind), '0'}
		switch {
		case i >= first:
			kind[1] += byte(fields[(i-first)/2].src)
		case t.Kind == triage.URI && i == placeURI && (len(texts) <= placeRaw || texts[placeRaw].Kind != triage.URI):
			kind[1] = '*' // it is both
		case t.Kind == triage.URI:
			kind[1] += byte(i)
		}
		if m, ok := t.Mute.(muteKey); ok {
			// Elsewhere the same text may have rules to fear.
			kind = append(kind, m.muteKey()...)
		}
		key.add(s.seed, string(kind), t.Name, t.Text)
	}
	s.mu.RLock()
	known := s.known[key]
	s.mu.RUnlock()
	if known {
		return ruling{silent: true}
	}
	r := ruling{alone: true, rules: rules, keys: []transportKey{key}}
	for i := range fields {
		if fields[i].src == fromHeader {
			r.fields = append(r.fields, fields[i]) // it is part of how the request travels
		}
	}
	for _, i := range suspects {
		if i < first {
			continue
		}
		if n := (i - first) / 2; n != last && fields[n].src != fromHeader {
			r.fields, last = append(r.fields, fields[n]), n
		}
	}
	return r
}

// remember notes that the engine was asked about a request and said nothing.
func (s *silence) remember(keys []transportKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		if len(s.known) >= maxKnown {
			clear(s.known)
		}
		s.known[k] = true
	}
}

// key digests how a request travels. Fields may come in any order.
func (s *silence) key(x *exchange.Exchange, fields []field) transportKey {
	var key transportKey
	add := func(name, value string) { key.add(s.seed, "", name, value) }
	r := &x.Request
	method, mediaType := s.guard.allowed(x)
	add("method", r.Method)
	add("methods", method)
	add("types", mediaType)
	if r.Body != nil && len(r.Body.Bytes) > 0 {
		add("body", r.Body.MediaType)
		if s.guard.set.lengths {
			add("body's length", strconv.Itoa(len(r.Body.Bytes)))
		}
	}
	add("processor", s.guard.processor(x))
	if s.guard.exact {
		add("host", authority(x))
		add("version", r.Proto)
		add("length", strconv.FormatBool(r.Length < 0))
		add("whole", strconv.Itoa(len(wholeBody(x)))) // rules may look at how long it is
	} else {
		add("host", host(r.Host))
	}
	for i := range fields {
		f := &fields[i]
		if f.src != fromHeader {
			continue
		}
		if s.values[f.name] {
			key.add(s.seed, "header ", f.name, f.text)
		} else {
			key.add(s.seed, "name ", f.name, "")
		}
		if f.muted != nil {
			key.add(s.seed, "muted header", f.name, f.muted.key)
		}
	}
	return key
}

// add mixes a name of a kind and a value in, in whatever order they come. Lengths stand
// before what they measure, so that no two triples are written alike.
func (k *transportKey) add(seed maphash.Seed, kind, name, value string) {
	var h maphash.Hash
	h.SetSeed(seed)
	var n [2 * binary.MaxVarintLen64]byte
	lengths := binary.AppendUvarint(binary.AppendUvarint(n[:0], uint64(len(kind))), uint64(len(name)))
	_, _ = h.Write(lengths) // it cannot fail
	_, _ = h.WriteString(kind)
	_, _ = h.WriteString(name)
	_, _ = h.WriteString(value)
	k[0] += h.Sum64()
	_ = h.WriteByte(1)
	k[1] += h.Sum64()
}

// textLists are lists of texts that have been looked at.
var textLists = sync.Pool{New: func() any { return new([]triage.Text) }}

// Places in a list of texts.
const (
	placeURI = 3
	placeRaw = 5 // where it differs
)

// forget gives a list of texts away.
func forget(list *[]triage.Text, texts []triage.Text) {
	if cap(texts) <= 2*maxRecycled {
		clear(texts)
		*list = texts[:0]
		textLists.Put(list)
	}
}

// textsOf are the texts that the engine is given: see Guard.feed.
func (g *Guard) textsOf(x *exchange.Exchange, fields []field, whole *muted) []triage.Text {
	return g.appendTexts(nil, x, fields, whole)
}

func (g *Guard) appendTexts(out []triage.Text, x *exchange.Exchange, fields []field, whole *muted) []triage.Text {
	out = slices.Grow(out, 2*len(fields)+8)
	t := g.targetOf(x)
	name := host(x.Request.Host)
	if g.exact {
		name = authority(x)
	}
	out = append(out,
		triage.Text{Kind: triage.Line, Text: t.line},
		triage.Text{Kind: triage.Filename, Text: t.filename},
		triage.Text{Kind: triage.Basename, Text: t.basename},
		triage.Text{Kind: triage.URI, Text: t.uri},
		triage.Text{Kind: triage.Header, Name: "host", Text: name})
	if t.uri != t.raw {
		out = append(out, triage.Text{Kind: triage.URI, Text: t.raw})
	}
	switch {
	case g.exact && chunked(x):
		out = append(out, triage.Text{Kind: triage.Header, Name: "transfer-encoding", Text: "chunked"})
	case !g.exact && g.set.lengths && x.Request.Body != nil && len(x.Request.Body.Bytes) > 0:
		out = append(out, triage.Text{Kind: triage.Header, Name: "content-length", Text: strconv.Itoa(len(x.Request.Body.Bytes))})
	}
	if g.exact {
		out = append(out, triage.Text{Kind: triage.Query, Text: t.query}, triage.Text{Kind: triage.Whole, Text: wholeBody(x)})
	}
	if whole != nil {
		for i := range out {
			if out[i].Kind != triage.Header {
				out[i].Mute = whole
			}
		}
	}
	for i := range fields {
		f := &fields[i]
		switch f.src {
		case fromHeader:
			out = append(out, triage.Text{Kind: triage.HeaderName, Name: f.name, Text: f.name}, triage.Text{Kind: triage.Header, Name: f.name, Text: f.text})
		case fromCookie:
			out = append(out, triage.Text{Kind: triage.CookieName, Name: f.name, Text: f.name}, triage.Text{Kind: triage.Cookie, Name: f.name, Text: f.text})
		case fromXML:
			out = append(out, triage.Text{Kind: triage.XML, Name: f.name}, triage.Text{Kind: triage.XML, Name: f.name, Text: f.text})
		default:
			out = append(out, triage.Text{Kind: triage.ArgName, Name: f.name, Text: f.name}, triage.Text{Kind: triage.Arg, Name: f.name, Text: f.text})
		}
		out[len(out)-1].Mute, out[len(out)-2].Mute = g.mutes(f)
	}
	return out
}

// simplePath reports whether a path is the same however it is read.
func simplePath(s string) bool {
	if len(s) == 0 || s[0] != '/' || len(s) > 1 && s[1] == '/' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '-' && c <= '9' || c == '_' || c == '~') {
			return false
		}
	}
	return true
}
