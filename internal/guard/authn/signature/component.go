package signature

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/dunglas/httpsfv"
)

// Component is one part of a message that a signature covers.
type Component struct {
	Name  string // of a field in lower case, or "@method" and the like
	Param string // of @query-param: its name, encoded
	// Key picks a member of a dictionary field; Member says that it does.
	Key    string
	Member bool
	Strict bool // sf: serialised anew by the field's structured type
	Binary bool // bs: each line wrapped as bytes
	Behind bool // tr: a trailer
	Asked  bool // req: of the request that an answer answers
	id     string
}

// String is the component's identifier as it stands in the text that is signed.
func (c *Component) String() string { return c.id }

// whole reports whether the component covers all of what its name names.
func (c *Component) whole() bool { return !c.Member && !c.Behind && !c.Asked }

var derivedNames = map[string]bool{
	"@method": true, "@target-uri": true, "@authority": true, "@scheme": true, "@request-target": true,
	"@path": true, "@query": true, "@query-param": true, "@status": true,
}

// component reads an identifier (RFC 9421 sections 2.1 and 2.2). A parameter that
// is not known, or that cannot stand with the others, is an error.
func component(item httpsfv.Item) (*Component, error) {
	name, ok := item.Value.(string)
	if !ok || name == "" {
		return nil, errors.New("a covered component is not named by a string")
	}
	c := &Component{Name: name}
	isField := name[0] != '@'
	if isField && !fieldName(name) || !isField && !derivedNames[name] {
		return nil, fmt.Errorf("%.60q is not a component", name)
	}
	hasName := false
	for _, p := range item.Params.Names() {
		v, _ := item.Params.Get(p)
		text, isText := v.(string)
		flag := v == true
		var known bool
		switch p {
		case "sf":
			c.Strict, known = flag, flag && isField
		case "bs":
			c.Binary, known = flag, flag && isField
		case "tr":
			c.Behind, known = flag, flag && isField
		case "req":
			c.Asked, known = flag, flag
		case "key":
			c.Key, c.Member, known = text, true, isText && isField
		case "name":
			c.Param, hasName, known = text, true, isText && name == "@query-param"
		}
		if !known {
			return nil, fmt.Errorf("component %.60q: the parameter %.20q cannot stand here", name, p)
		}
	}
	if c.Binary && (c.Strict || c.Member) {
		return nil, fmt.Errorf("component %.60q: bs excludes sf and key", name)
	}
	if name == "@query-param" && !hasName {
		return nil, errors.New("component @query-param has no name")
	}
	id, err := httpsfv.Marshal(item)
	if err != nil {
		return nil, fmt.Errorf("component %.60q: %w", name, err)
	}
	c.id = id
	return c, nil
}

// fieldName reports whether a name is that of a field, in lower case.
func fieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// value is the component's value in a message. What is not there, or cannot be
// read in one way, is an error: then nothing was covered.
func (m *Message) value(c *Component) (string, error) {
	if c.Asked {
		if m.Status == 0 {
			return "", errors.New("req belongs to answers")
		}
		if m.Request == nil {
			return "", errNoRequest
		}
		m = m.Request
	}
	if c.Name[0] == '@' {
		return m.derived(c)
	}
	lines, err := m.field(c)
	if err != nil {
		return "", err
	}
	switch {
	case c.Binary:
		out := make([]string, len(lines))
		for i, l := range lines {
			out[i] = ":" + base64.StdEncoding.EncodeToString([]byte(l)) + ":"
		}
		return strings.Join(out, ", "), nil
	case c.Member:
		d, err := httpsfv.UnmarshalDictionary(lines)
		if err != nil {
			return "", fmt.Errorf("not a dictionary: %w", err)
		}
		v, ok := d.Get(c.Key)
		if !ok {
			return "", errors.New("the member is not there")
		}
		return httpsfv.Marshal(v)
	case c.Strict:
		return m.strict(c.Name, lines)
	}
	return strings.Join(lines, ", "), nil
}

// field returns a field's lines without the white space around them.
func (m *Message) field(c *Component) ([]string, error) {
	from := m.Header
	if c.Behind {
		if from = m.Trailer; from == nil {
			return nil, errors.New("trailers are not known here")
		}
	}
	values := from[textproto.CanonicalMIMEHeaderKey(c.Name)]
	if len(values) == 0 && c.Name == "host" && !c.Behind && m.Status == 0 && m.Authority != "" {
		// net/http keeps it elsewhere.
		values = []string{m.Authority}
	}
	if len(values) == 0 {
		return nil, errors.New("the field is not there")
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.Trim(v, " \t")
	}
	return out, nil
}

// Type is the structured type of a field (RFC 9651 section 3).
type Type uint8

// The types.
const (
	Item Type = iota + 1
	List
	Dictionary
)

// types are the fields of which the registry of HTTP field names says a
// structured type, as far as requests and answers have them.
var types = map[string]Type{
	"accept-ch": List, "accept-patch": List, "accept-signature": Dictionary, "cache-status": List, "capsule-protocol": Item,
	"cdn-cache-control": Dictionary, "client-cert": Item, "client-cert-chain": List, "content-digest": Dictionary,
	"cross-origin-embedder-policy": Item, "cross-origin-opener-policy": Item, "origin-agent-cluster": Item, "permissions-policy": Dictionary,
	"priority": Dictionary, "proxy-status": List, "repr-digest": Dictionary, "signature": Dictionary, "signature-input": Dictionary,
	"want-content-digest": Dictionary, "want-repr-digest": Dictionary,
}

// strict serialises a structured field anew (RFC 9421 section 2.1.1).
func (m *Message) strict(name string, lines []string) (string, error) {
	t := m.Types[name]
	if t == 0 {
		t = types[name]
	}
	var v httpsfv.StructuredFieldValue
	var err error
	switch t {
	case Item:
		v, err = httpsfv.UnmarshalItem(lines)
	case List:
		v, err = httpsfv.UnmarshalList(lines)
	case Dictionary:
		v, err = httpsfv.UnmarshalDictionary(lines)
	default:
		return "", errors.New("the field's structured type is not known here")
	}
	if err != nil {
		return "", fmt.Errorf("not of its structured type: %w", err)
	}
	return httpsfv.Marshal(v)
}

// has reports whether a message has a field.
func has(h http.Header, name string) bool { return len(h[textproto.CanonicalMIMEHeaderKey(name)]) > 0 }
