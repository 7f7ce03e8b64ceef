package value

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// XMLShape is what a schema knows of one element, in the words of OpenAPI's XML
// Object: whether its children are the items of an array (wrapped), and what
// properties its attributes and child elements are. space is the namespace's
// name, not its prefix; "" is none.
type XMLShape interface {
	// Kind is the type that the schema wants of the element: Array for a wrapped
	// array, Object, or any scalar kind. It decides what an element without
	// content becomes, and that an Array's children are its items.
	Kind() Kind
	// Attribute returns the property that an attribute is; "" means the
	// attribute's own local name.
	Attribute(space, local string) string
	// Child returns what a child element is.
	Child(space, local string) XMLChild
}

// XMLChild is what a child element is to its parent.
type XMLChild struct {
	Property string   // "" means the element's own local name
	List     bool     // an item of an array that is not wrapped: one alone is an Array too
	Shape    XMLShape // what is known of its inside; nil for nothing
}

// XMLText is the member that holds the text of an element that has attributes
// or child elements as well. No XML name has this form.
const XMLText = "#text"

// XMLItems is the member that holds the items of a wrapped array whose element
// has attributes or text besides them.
const XMLItems = "#items"

// XML decodes an XML 1.0 document in UTF-8 into a tree without knowing its
// schema: see XMLWith.
func XML(src []byte, lim Limits) (*Value, error) { return XMLWith(src, lim, nil) }

// XMLWith decodes an XML 1.0 document in UTF-8 into a tree of Untyped Strings.
//
// The root Value is the root element; its Name is the element's local name. An
// element with only text is a String, white space and all. One with attributes
// or children is an Object: attributes first, then child elements, each under
// the property that shape says or else its local name; elements that repeat
// become an Array, and text that is not white space the member XMLText. An
// element with nothing is the empty String, Object or Array, as shape says.
//
// Refused are: a document type declaration, and so every entity but the five of
// XML itself (CWE-611, CWE-776); encodings other than UTF-8; processing
// instructions; undeclared prefixes; an attribute twice, by name or by
// namespace; two different names for one property; a text that a comment cuts
// in two, since parsers disagree on which half counts; anything after the root
// element. Depth counts elements. The error is always an *Error.
func XMLWith(src []byte, lim Limits, shape XMLShape) (*Value, error) {
	x := xmlDecoder{src: src, lim: lim.WithDefaults()}
	root, err := x.decode(shape)
	if err != nil {
		return nil, err
	}
	return root, nil
}

type xmlDecoder struct {
	src    []byte
	skip   int // bytes of a byte order mark
	lim    Limits
	dec    *xml.Decoder
	open   []xmlElement
	scopes []xmlScope
	nodes  int
}

// maxScopes bounds the namespace declarations in force at one place, through
// which every name is looked up.
const maxScopes = 128

// xmlScope is one namespace declaration in force.
type xmlScope struct{ prefix, space string }

// xmlElement is an open element.
type xmlElement struct {
	raw      xml.Name // prefix and local name, as written
	property string   // its name in its parent
	list     bool
	shape    XMLShape
	start    int
	scopes   int // how many declarations were in force outside
	members  group
	origins  []string // by member: the expanded name it came from
	items    []Value  // of a wrapped array
	text     []byte
	inked    bool // text has more than white space
	cut      bool // a comment came after that
	complex  bool // has attributes or children
}

// xmlDeclaration is stricter than encoding/xml, which looks for the word
// encoding anywhere and so can be shown one that no other parser sees.
var xmlDeclaration = regexp.MustCompile(`^version\s*=\s*["']1\.0["'](\s+encoding\s*=\s*["'](?i:utf-8)["'])?(\s+standalone\s*=\s*["'](yes|no)["'])?\s*$`)

// The namespaces that XML itself binds.
const (
	xmlSpace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsSpace = "http://www.w3.org/2000/xmlns/"
)

func (x *xmlDecoder) fail(fault Fault, at int, format string, args ...any) *Error {
	var b []byte
	for i := range x.open {
		if i > 0 { // the root element is the document itself
			b = appendToken(b, x.open[i].property)
		}
	}
	return &Error{Fault: fault, Offset: min(at, len(x.src)), Pointer: string(b), Detail: fmt.Sprintf(format, args...)}
}

func (x *xmlDecoder) decode(shape XMLShape) (*Value, *Error) {
	if uint64(len(x.src)) >= 1<<32 {
		return nil, x.fail(FaultSyntax, 0, "a document of 4 GiB or more")
	}
	for i := 0; i < len(x.src); {
		r, n := utf8.DecodeRune(x.src[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, x.fail(FaultInvalidUTF8, i, "bytes that are not UTF-8")
		}
		i += n
	}
	if bytes.HasPrefix(x.src, []byte("\xEF\xBB\xBF")) {
		x.skip = 3 // XML 1.0 allows it, and parsers agree on it
	}
	x.dec = xml.NewDecoder(bytes.NewReader(x.src[x.skip:]))
	x.scopes = append(x.scopes, xmlScope{"xml", xmlSpace})
	var root *Value
	for {
		start := x.skip + int(x.dec.InputOffset())
		token, err := x.dec.RawToken()
		end := x.skip + int(x.dec.InputOffset())
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, x.syntax(err, start, end)
		}
		if fault := x.outside(token, root != nil, start); fault != nil {
			return nil, fault
		}
		var fault *Error
		switch token := token.(type) {
		case xml.StartElement:
			// A tag that closes itself comes as two tokens; both end at the same byte.
			fault = x.start(token, shape, start, end)
		case xml.EndElement:
			var done *Value
			if done, fault = x.end(token, start, end); done != nil {
				root = done
			}
		case xml.CharData:
			fault = x.chars(token, start, end)
		case xml.Comment:
			if n := len(x.open); n > 0 && x.open[n-1].inked {
				x.open[n-1].cut = true
			}
		case xml.ProcInst:
			switch {
			case token.Target != "xml" || start != x.skip:
				fault = x.fail(FaultSyntax, start, "a processing instruction")
			case !xmlDeclaration.Match(token.Inst):
				fault = x.fail(FaultSyntax, start, "an XML declaration other than version 1.0 in UTF-8")
			}
		case xml.Directive:
			fault = x.fail(FaultDTD, start, "a document type declaration")
		}
		if fault != nil {
			return nil, fault
		}
	}
	switch {
	case len(x.open) > 0:
		return nil, x.fail(FaultSyntax, len(x.src), "ends inside an element")
	case root == nil:
		return nil, x.fail(FaultSyntax, len(x.src), "no element")
	}
	return root, nil
}

// syntax names the fault of an error that encoding/xml found. Its text may
// quote the document and is left out.
func (x *xmlDecoder) syntax(err error, start, end int) *Error {
	at := max(start, end-1)
	if bytes.HasPrefix(x.src[start:], []byte("<!")) && !bytes.HasPrefix(x.src[start:], []byte("<!--")) && !bytes.HasPrefix(x.src[start:], []byte("<![CDATA[")) {
		return x.fail(FaultDTD, start, "a document type declaration")
	}
	var s *xml.SyntaxError
	switch {
	case errors.As(err, &s) && strings.HasPrefix(s.Msg, "invalid character entity") && strings.HasSuffix(s.Msg, ";"):
		return x.fail(FaultDTD, at, "an entity that XML does not define itself")
	case strings.Contains(err.Error(), "encoding"):
		return x.fail(FaultInvalidUTF8, start, "an encoding other than UTF-8")
	}
	return x.fail(FaultSyntax, at, "not well-formed XML")
}

// outside refuses what may not stand outside the root element.
func (x *xmlDecoder) outside(token xml.Token, done bool, start int) *Error {
	if len(x.open) > 0 {
		return nil
	}
	switch token := token.(type) {
	case xml.CharData:
		if len(bytes.TrimLeft(token, " \t\r\n")) > 0 {
			if done {
				return x.fail(FaultTrailing, start, "data after the root element")
			}
			return x.fail(FaultSyntax, start, "text before the root element")
		}
		if bytes.HasPrefix(x.src[start:], []byte("<![")) {
			return x.fail(FaultSyntax, start, "a CDATA section outside the root element")
		}
	case xml.StartElement:
		if done {
			return x.fail(FaultTrailing, start, "data after the root element")
		}
	}
	return nil
}

func (x *xmlDecoder) chars(data xml.CharData, start, end int) *Error {
	n := len(x.open)
	if n == 0 {
		return nil
	}
	if raw := x.src[start:end]; !bytes.HasPrefix(raw, []byte("<![CDATA[")) && !scalarReferences(raw) {
		return x.fail(FaultInvalidUTF8, start, "a reference to half a surrogate pair")
	}
	e := &x.open[n-1]
	inked := len(bytes.TrimLeft(data, " \t\r\n")) > 0
	if e.cut && inked {
		return x.fail(FaultSyntax, start, "a comment in the middle of a text")
	}
	if len(e.text)+len(data) > x.lim.String {
		return x.fail(FaultString, start, "a text longer than %d bytes", x.lim.String)
	}
	e.text = append(e.text, data...)
	e.inked = e.inked || inked
	return nil
}

func (x *xmlDecoder) count(at int) *Error {
	if x.nodes++; x.nodes > x.lim.Nodes {
		return x.fail(FaultKeys, at, "more than %d values", x.lim.Nodes)
	}
	return nil
}

func (x *xmlDecoder) start(token xml.StartElement, root XMLShape, start, end int) *Error {
	if len(x.open) >= x.lim.Depth {
		return x.fail(FaultDepth, start, "nested more than %d deep", x.lim.Depth)
	}
	if err := x.count(start); err != nil {
		return err
	}
	if !spacedAttributes(x.src[start:end]) {
		return x.fail(FaultSyntax, start, "attributes without white space between them")
	}
	if !scalarReferences(x.src[start:end]) {
		return x.fail(FaultInvalidUTF8, start, "a reference to half a surrogate pair")
	}
	outer := len(x.scopes)
	if err := x.declare(token.Attr, start); err != nil {
		return err
	}
	space, err := x.resolve(token.Name, true, start)
	if err != nil {
		return err
	}
	e := xmlElement{raw: token.Name, property: token.Name.Local, shape: root, start: start, scopes: outer}
	if n := len(x.open); n > 0 {
		parent := &x.open[n-1]
		parent.complex = true
		e.shape = nil
		if parent.shape != nil {
			child := parent.shape.Child(space, token.Name.Local)
			e.list, e.shape = child.List, child.Shape
			if child.Property != "" {
				e.property = child.Property
			}
		}
	}
	if len(e.property) > x.lim.String {
		return x.fail(FaultString, start, "a name longer than %d bytes", x.lim.String)
	}
	x.open = append(x.open, e)
	return x.attributes(token.Attr, start, end)
}

// declare brings the element's namespace declarations into force.
func (x *xmlDecoder) declare(attrs []xml.Attr, at int) *Error {
	from := len(x.scopes)
	for _, a := range attrs {
		var s xmlScope
		switch {
		case a.Name.Space == "xmlns":
			s = xmlScope{a.Name.Local, a.Value}
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			s = xmlScope{"", a.Value}
		default:
			continue
		}
		bad := s.prefix == "xmlns" || s.space == xmlnsSpace || (s.prefix == "xml") != (s.space == xmlSpace) ||
			(s.prefix != "" && s.space == "") || strings.Contains(s.prefix, ":")
		if bad {
			return x.fail(FaultSyntax, at, "a namespace declaration that Namespaces in XML 1.0 forbids")
		}
		for _, have := range x.scopes[from:] {
			if have.prefix == s.prefix {
				return x.fail(FaultDuplicateKey, at, "a namespace prefix declared twice in one element")
			}
		}
		if x.scopes = append(x.scopes, s); len(x.scopes) > maxScopes {
			return x.fail(FaultKeys, at, "more than %d namespace declarations in force", maxScopes)
		}
	}
	return nil
}

// resolve returns the namespace of a name; the default one is for elements only.
func (x *xmlDecoder) resolve(name xml.Name, element bool, at int) (string, *Error) {
	if name.Local == "" || strings.Contains(name.Local, ":") {
		return "", x.fail(FaultSyntax, at, "a name with a colon out of place")
	}
	if name.Space == "" && !element {
		return "", nil
	}
	for i := len(x.scopes) - 1; i >= 0; i-- {
		if x.scopes[i].prefix == name.Space {
			return x.scopes[i].space, nil
		}
	}
	if name.Space == "" {
		return "", nil
	}
	return "", x.fail(FaultSyntax, at, "a prefix that is not declared")
}

// attributes puts the attributes of the element that was just opened into it.
func (x *xmlDecoder) attributes(attrs []xml.Attr, start, end int) *Error {
	e := &x.open[len(x.open)-1]
	for _, a := range attrs {
		if a.Name.Space == "xmlns" || (a.Name.Space == "" && a.Name.Local == "xmlns") {
			continue
		}
		space, err := x.resolve(a.Name, false, start)
		if err != nil {
			return err
		}
		if err := x.count(start); err != nil {
			return err
		}
		property := ""
		if e.shape != nil {
			property = e.shape.Attribute(space, a.Name.Local)
		}
		if property == "" {
			property = a.Name.Local
		}
		if len(a.Value) > x.lim.String || len(property) > x.lim.String {
			return x.fail(FaultString, start, "an attribute longer than %d bytes", x.lim.String)
		}
		if e.members.find(property) >= 0 {
			return x.fail(FaultDuplicateKey, start, "an attribute twice")
		}
		v := Value{Name: property, Kind: String, Text: a.Value, Untyped: true, Start: uint32(start), End: uint32(end)}
		if _, err := e.members.add(v, start, &x.lim); err != nil {
			return err
		}
		e.origins = append(e.origins, "") // nothing else may share it
		e.complex = true
	}
	return nil
}

// end closes an element and returns it when it is the root.
func (x *xmlDecoder) end(token xml.EndElement, start, end int) (*Value, *Error) {
	n := len(x.open)
	if n == 0 || x.open[n-1].raw != token.Name {
		return nil, x.fail(FaultSyntax, start, "an end tag that does not match")
	}
	v, err := x.close(&x.open[n-1], end)
	if err != nil {
		return nil, err
	}
	e := x.open[n-1]
	if n == 1 {
		x.open = x.open[:0]
		return v, nil
	}
	parent := &x.open[n-2]
	if parent.shape != nil && parent.shape.Kind() == Array {
		if len(parent.items) >= x.lim.Items {
			return nil, x.fail(FaultItems, start, "more than %d items", x.lim.Items)
		}
		v.Name = ""
		parent.items = append(parent.items, *v)
	} else {
		space, err := x.resolve(token.Name, true, start)
		if err != nil {
			return nil, err
		}
		origin := "{" + space + "}" + token.Name.Local
		at, err := parent.members.add(*v, start, &x.lim)
		if err != nil {
			return nil, err
		}
		if at == len(parent.origins) {
			parent.origins = append(parent.origins, origin)
			if e.list {
				parent.members.list(at)
			}
		} else if parent.origins[at] != origin {
			return nil, x.fail(FaultDuplicateKey, start, "a property that is given in two ways")
		}
	}
	x.scopes = x.scopes[:e.scopes]
	x.open = x.open[:n-1]
	return nil, nil
}

// close makes the Value of an element that is complete.
func (x *xmlDecoder) close(e *xmlElement, end int) (*Value, *Error) {
	v := Value{Name: e.property, Kind: String, Start: uint32(e.start), End: uint32(end)}
	blank := !e.inked
	want := String
	if e.shape != nil {
		want = e.shape.Kind()
	}
	if want == Array && blank && len(e.members.kids) == 0 {
		v.Kind, v.Kids = Array, e.items
		return &v, nil
	}
	if e.complex || (want == Object && blank) {
		if !blank {
			if err := x.count(end); err != nil {
				return nil, err
			}
			text := Value{Name: XMLText, Kind: String, Text: string(e.text), Untyped: true, Start: v.Start, End: v.End}
			if _, err := e.members.add(text, end, &x.lim); err != nil {
				return nil, err
			}
		}
		if len(e.items) > 0 { // a wrapped array with attributes or text: the schema decides
			if _, err := e.members.add(Value{Name: XMLItems, Kind: Array, Kids: e.items, Start: v.Start, End: v.End}, end, &x.lim); err != nil {
				return nil, err
			}
		}
		v.Kind, v.Kids = Object, e.members.kids
		return &v, nil
	}
	v.Text, v.Untyped = string(e.text), true
	return &v, nil
}

// spacedAttributes reports whether white space stands before each attribute of
// a start tag, which encoding/xml does not ask for.
func spacedAttributes(tag []byte) bool {
	for i := 0; i < len(tag); i++ {
		if q := tag[i]; q == '"' || q == '\'' {
			n := bytes.IndexByte(tag[i+1:], q)
			if n < 0 {
				return true // RawToken has seen to it that quotes are closed
			}
			i += n + 1
			if i+1 < len(tag) && strings.IndexByte(" \t\r\n/>", tag[i+1]) < 0 {
				return false
			}
		}
	}
	return true
}

// scalarReferences reports whether no numeric reference in raw names a
// surrogate, of which encoding/xml makes U+FFFD.
func scalarReferences(raw []byte) bool {
	for {
		i := bytes.Index(raw, []byte("&#"))
		if i < 0 {
			return true
		}
		raw = raw[i+2:]
		end := bytes.IndexByte(raw, ';')
		if end < 0 {
			return true // RawToken has refused it
		}
		digits, radix := string(raw[:end]), 10
		if strings.HasPrefix(digits, "x") {
			digits, radix = digits[1:], 16
		}
		if n, err := strconv.ParseUint(digits, radix, 64); err != nil || !utf8.ValidRune(rune(min(n, 1<<30))) {
			return false
		}
	}
}
