package world

import (
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// rule is what a complaint says is broken.
type rule string

// The rules. wrong is any that the message does not name.
const (
	isRequired rule = "required"
	isUnknown  rule = "unknown" // the input should not be there
	isType     rule = "type"    // Want says which
	isEnum     rule = "enum"    // Values are those allowed
	isLow      rule = "low"     // at least Bound
	isHigh     rule = "high"    // at most Bound
	isShort    rule = "short"   // at least Bound characters (or elements)
	isLong     rule = "long"    // at most Bound characters (or elements)
	isFormat   rule = "format"  // Want says which
	isTaken    rule = "taken"   // somebody has it already
	isAbsent   rule = "absent"  // it names nothing that exists
	isMatch    rule = "match"   // it must be the same as Other
	isFuture   rule = "future"
	isPast     rule = "past"
	isWrong    rule = "wrong"
)

// Complaint is one thing that an answer says is wrong with the request.
type Complaint struct {
	In     string // "body", "query", "path", "header"; "" unknown
	Named  bool   // the answer leaves no doubt that Field is a member's name, whatever word it is
	Field  string // names joined by "/", as the message writes them; "" unknown
	Rule   rule
	Want   string   // of isType and isFormat
	Values []string // of isEnum, as texts
	Bound  string
	Other  string // of isMatch
	Text   string // the message
}

// Bounds of what is read of an answer.
const (
	maxComplaints = 30
	maxMessage    = 2000
	maxFeedback   = 16 << 10
	maxSentences  = 60 // that are searched for a field
)

// readComplaints finds the complaints in the body of an answer that refused a
// request, in whatever shape its framework writes them. What is no complaint of an
// input is left out; registering, which must hear of captchas and closed doors,
// reads otherwise (actor/complaint.go).
func readComplaints(body []byte) []Complaint {
	if len(body) > maxFeedback {
		body = body[:maxFeedback]
	}
	r := &complaintReader{}
	if v := decodeBytes(body); v != nil {
		r.node(v, nil, "", 0)
		r.envelope(v, 0)
	} else {
		text := stripTags(string(body))
		for line := range strings.SplitSeq(text, "\n") {
			r.sentence(strings.TrimSpace(line))
		}
	}
	if slices.ContainsFunc(r.out, func(c Complaint) bool { return c.Field != "" }) {
		return slices.DeleteFunc(r.out, func(c Complaint) bool { return c.Field == "" })
	}
	return r.out
}

type complaintReader struct {
	out  []Complaint
	read int // sentences
	// under is the name of the member that holds the object looked at.
	under string
}

// names of the members that hold a message, and of those that hold a place.
var (
	messageNames = []string{"message", "msg", "why", "detail", "defaultmessage", "errormessage", "description", "reason", "error", "text", "title", "messages", "errors", "error_description", "errordescription", "constraints", "hint"}
	fieldNames   = []string{"field", "at", "path", "param", "parameter", "loc", "property", "propertypath", "pointer", "instancepath", "datapath", "location", "source", "name", "key", "fieldname", "attribute", "propertyname", "objectname", "arg", "argument", "member", "jsonpath", "target", "invalidfield", "col", "column"}
	envelopes    = []string{"errors", "error", "details", "detail", "validation", "violations", "fielderrors", "invalidparams", "invalidparameters", "fields", "issues", "fieldviolations", "messages", "message", "validationerrors", "errordetails", "data", "body", "json", "query", "params", "modelstate", "extras", "extensions", "response", "result", "embedded", "meta", "payload", "causes", "subErrors", "suberrors", "badrequest", "formerrors", "nonfielderrors", "issue", "problems", "faults", "reasons", "failures"}
	notFields    = []string{"status", "statuscode", "code", "type", "title", "timestamp", "path", "instance", "requestid", "traceid", "success", "ok", "exception", "trace", "stack", "name", "error", "message", "msg", "detail", "description", "reason", "method", "url", "docs", "help", "documentationurl", "errorcode", "httpstatus", "kind", "level", "version", "debug", "cause", "id", "correlationid", "result", "valid", "value", "rejectedvalue", "received", "expected", "nonfielderrors", "formerrors"}
)

// node walks an answer for pairs of a place and a message.
func (r *complaintReader) node(v *value.Value, at []string, in string, depth int) {
	if depth > 8 || len(r.out) >= maxComplaints {
		return
	}
	switch v.Kind {
	case value.Array:
		for i := range v.Kids {
			k := &v.Kids[i]
			if k.Kind == value.String {
				if len(at) > 0 {
					r.add(in, strings.Join(at, "/"), k.Text, nil)
				} else {
					r.sentence(k.Text)
				}
				continue
			}
			r.node(k, at, in, depth+1)
		}
	case value.Object:
		if r.pair(v, at, in, depth) {
			return
		}
		for i := range v.Kids {
			r.member(&v.Kids[i], at, in, depth)
		}
	}
}

func (r *complaintReader) member(k *value.Value, at []string, in string, depth int) {
	name := strings.ReplaceAll(squeezed(k.Name), "_", "")
	switch name {
	case "body", "json", "payload":
		in = "body"
	case "query", "querystring", "params":
		in = "query"
	case "headers":
		in = "header"
	}
	envelope := slices.Contains(envelopes, name)
	switch k.Kind {
	case value.Object, value.Array:
		inside := at
		if !envelope && (!slices.Contains(notFields, name) || k.Kind == value.Array && depth > 0 && scalarsOnly(k) || saysSo(k)) {
			inside = append(slices.Clip(at), k.Name)
		}
		if name == "nonfielderrors" || name == "formerrors" {
			inside = at
		}
		if k.Kind == value.Array && len(inside) == len(at) && len(at) == 0 && !envelope {
			return
		}
		r.under = k.Name
		r.node(k, inside, in, depth+1)
	case value.String:
		if slices.Contains(notFields, name) && name != "message" && name != "detail" && name != "error" && bare.MatchString(k.Text) {
			r.add(in, strings.Join(append(slices.Clip(at), k.Name), "/"), k.Text, nil)
		} else if !envelope && !slices.Contains(notFields, name) && depth > 0 && reads(k.Text) || depth == 0 && !envelope && !slices.Contains(notFields, name) && complains(k.Text) {
			r.add(in, strings.Join(append(slices.Clip(at), k.Name), "/"), k.Text, nil)
		} else if envelope && (len(at) > 0 || depth > 0) && name != "data" && len(at) > 0 {
			r.add(in, strings.Join(at, "/"), k.Text, nil)
		}
	}
}

// bare is a message that lacks its subject, which is then the member's name,
// even where that is a word of envelopes.
var bare = regexp.MustCompile(`(?i)^(must|is |should|can'?t |cannot |may not |this (field|value)|has |does |already |too |not (a|an|valid)\b)`)

// saysSo reports whether a member is a list of messages about what it is called.
func saysSo(k *value.Value) bool {
	return k.Kind == value.Array && len(k.Kids) > 0 && k.Kids[0].Kind == value.String && (bare.MatchString(k.Kids[0].Text) || reRequired.MatchString(k.Kids[0].Text) || reEnum.MatchString(k.Kids[0].Text))
}

// reads reports whether a text is words rather than an identifier or an address.
func reads(text string) bool {
	return len(text) < maxMessage && (strings.Contains(text, " ") || complains(text))
}

var complaining = regexp.MustCompile(`(?i)\b(required|must|invalid|missing|cannot|can't|can not|should|unknown|not a|not valid|is not|taken|already|exist|too (short|long|small|large|big)|unexpected|expected|blank|empty|presence|unsupported|not allowed|malformed|bad|duplicate|violates|failed|wrong)`)

func complains(text string) bool { return complaining.MatchString(text) }

// pair reads an object that holds both a place and a message.
func (r *complaintReader) pair(v *value.Value, at []string, in string, depth int) bool {
	under := r.under
	r.under = ""
	field, fieldName, in := fieldOf(v, in)
	message := messageOf(v)
	if field != nil && fieldName == "path" && field.Kind == value.String && field.Text == under && len(at) == 0 {
		// {"errors": {"body": {"path": "body"}}}: a field of that name, not the body as a whole.
		n := len(r.out)
		if r.add("body", "body/"+field.Text, message, v); len(r.out) > n {
			r.out[n].Named = true
		}
		return true
	}
	if keys := v.Get("keys"); keys != nil && keys.Kind == value.Array && strings.Contains(v.Get("code").Str(), "unrecognized") { // zod
		for _, k := range textsOf(keys) {
			r.add(in, strings.Join(append(slices.Clip(at), k), "/"), "unknown property", nil)
		}
		return true
	}
	if p := v.Get("params"); field == nil && message != "" && (p.Get("missingProperty") != nil || p.Get("additionalProperty") != nil) { // ajv, of the body as a whole
		r.add(in, "", message, v)
		return true
	}
	if message != "" && field == nil && len(at) == 0 && depth > 0 {
		before := len(r.out)
		for i := range v.Kids {
			if k := &v.Kids[i]; k.Kind == value.Object || k.Kind == value.Array {
				r.member(k, at, in, depth)
			}
		}
		if len(r.out) == before {
			r.sentence(message)
		}
		return len(r.out) > before
	}
	if message == "" || field == nil && len(at) == 0 {
		return false
	}
	if field != nil && (v.Get("status") != nil || v.Get("statusCode") != nil) && (fieldName == "path" || fieldName == "name" || fieldName == "target") && len(at) == 0 {
		return false // the envelope: the path of the request, the name of the exception
	}
	name := strings.Join(at, "/")
	if text := fieldText(field); text != "" {
		name = text
	}
	if field != nil && field.Kind != value.Array && (fieldName == "parameter" || fieldName == "header") {
		in = map[string]string{"parameter": "query", "header": "header"}[fieldName]
	}
	r.add(in, name, message, v)
	return true
}

// fieldOf finds the member that says which input a complaint is about, its name in
// lower case, and where the input goes. nil: none does.
func fieldOf(v *value.Value, in string) (field *value.Value, fieldName, place string) {
	for _, want := range fieldNames {
		for i := range v.Kids {
			k := &v.Kids[i]
			switch {
			case strings.ReplaceAll(strings.ToLower(k.Name), "_", "") != want:
			case want == "location" && k.Kind == value.String && slices.Contains([]string{"body", "query", "params", "headers", "cookies", "path", "header"}, k.Text):
				in = placeOf(k.Text)
			case want == "source" && k.Kind == value.Object:
				for _, p := range []string{"pointer", "parameter", "header"} {
					if s := k.Get(p); s != nil && field == nil {
						field, fieldName = s, p
					}
				}
			case field == nil && namesField(v, k, want):
				field, fieldName = k, want
			}
		}
	}
	return field, fieldName, in
}

// namesField reports whether a member called want names an input, and not the
// path of the request or the kind of an exception.
func namesField(v, k *value.Value, want string) bool {
	text := k.Kind == value.String && k.Text != "" && !strings.Contains(k.Text, " ")
	switch {
	case !text && !(k.Kind == value.Array && scalarsOnly(k)):
		return false
	case want == "path":
		return !strings.HasPrefix(k.Text, "/") || v.Get("status") == nil
	case want == "name":
		return !strings.HasSuffix(k.Text, "Error") && !strings.HasSuffix(k.Text, "Exception")
	}
	return true
}

// fieldText writes the path that a field is named by, "" for nil.
func fieldText(field *value.Value) string {
	if field == nil {
		return ""
	}
	if field.Kind != value.Array {
		return field.Text
	}
	var parts []string
	for i := range field.Kids {
		parts = append(parts, field.Kids[i].Text)
	}
	return strings.Join(parts, "/")
}

// messageOf finds what a complaint says: its words or, where it has none, its code.
func messageOf(v *value.Value) string {
	for _, want := range messageNames {
		for i := range v.Kids {
			k := &v.Kids[i]
			if strings.ReplaceAll(strings.ToLower(k.Name), "_", "") != strings.ReplaceAll(want, "_", "") {
				continue
			}
			var message string
			switch {
			case k.Kind == value.String && (reads(k.Text) || want == "message" || want == "msg"):
				message = k.Text
			case (k.Kind == value.Array || k.Kind == value.Object && want == "constraints") && len(k.Kids) > 0 && k.Kids[0].Kind == value.String:
				message = k.Kids[0].Text
			}
			if message != "" {
				return message
			}
		}
	}
	for _, want := range []string{"code", "type", "rule", "keyword", "kind", "validator", "tag"} {
		if k := v.Get(want); k != nil && k.Kind == value.String && k.Text != "" {
			return strings.NewReplacer("_", " ", ".", " ").Replace(k.Text)
		}
	}
	return ""
}

func scalarsOnly(v *value.Value) bool {
	for i := range v.Kids {
		if v.Kids[i].Kind == value.Array || v.Kids[i].Kind == value.Object {
			return false
		}
	}
	return len(v.Kids) > 0
}

func placeOf(text string) string {
	switch strings.ToLower(text) {
	case "params", "path", "route":
		return "path"
	case "headers", "header":
		return "header"
	case "query", "querystring", "search":
		return "query"
	case "cookies", "cookie":
		return "cookie"
	}
	return "body"
}

// envelope reads the sentences of an answer as a whole, where no pair was found.
func (r *complaintReader) envelope(v *value.Value, depth int) {
	if depth > 3 || v.Kind != value.Object {
		if v.Kind == value.String && depth == 0 {
			r.sentence(v.Text)
		}
		return
	}
	if len(r.out) > 0 && depth == 0 {
		for i := range r.out {
			if r.out[i].Field != "" {
				return
			}
		}
	}
	for i := range v.Kids {
		k := &v.Kids[i]
		switch name := strings.ReplaceAll(strings.ToLower(k.Name), "_", ""); {
		case k.Kind == value.String && (slices.Contains(messageNames, name) || name == "exception" || name == "trace" || name == "cause" || name == "debugmessage" || name == "usermessage" || name == "status" || name == "response"):
			r.sentence(k.Text)
		case k.Kind == value.Object:
			r.envelope(k, depth+1)
		}
	}
}

// add keeps a complaint about a field.
func (r *complaintReader) add(in, field, message string, node *value.Value) {
	if len(r.out) >= maxComplaints {
		return
	}
	message = strings.TrimSpace(cut(message, maxMessage))
	where, name := cleanField(field)
	if where != "" {
		in = where
	}
	c := Complaint{In: in, Field: name, Text: message}
	c.classify(message)
	c.aided(node)
	if (name == "" || c.Rule == isRequired || c.Rule == isUnknown) && node != nil {
		if p := node.Get("params"); p != nil { // ajv
			if n := p.Get("missingProperty"); n != nil {
				c.Field, c.Rule = strings.Trim(name+"/"+n.Text, "/"), isRequired
			} else if n := p.Get("additionalProperty"); n != nil {
				c.Field, c.Rule = strings.Trim(name+"/"+n.Text, "/"), isUnknown
			}
		}
	}
	if c.Field == "" {
		r.sentence(message)
		return
	}
	for _, old := range r.out {
		if old.Field == c.Field && old.Rule == c.Rule {
			return
		}
	}
	r.out = append(r.out, c)
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

var (
	bracket    = regexp.MustCompile(`\[["']?([^\[\]"']*)["']?\]`)
	placeFirst = map[string]string{"body": "body", "json": "body", "requestbody": "body", "payload": "body", "data": "", "attributes": "", "query": "query", "querystring": "query", "params": "", "path": "path", "header": "header", "headers": "header", "#": "", "$": "", "form": "body", "request": "", "dto": "", "req": "", "arg0": "", "input": "", "root": "", "cookie": "cookie"}
)

// cleanField takes a field's place apart: "body.items[0].sku", "/items/0/sku",
// "$.items[0].sku", "user[email]", "create.req.name", "data/attributes/title".
func cleanField(field string) (in, name string) {
	field = strings.TrimPrefix(field, "#")
	field = bracket.ReplaceAllString(field, "/$1")
	field = strings.NewReplacer(".", "/", "->", "/", ":", "/", ">", "/").Replace(field)
	var parts []string
	placed := false
	for p := range strings.SplitSeq(field, "/") {
		if p = strings.TrimSpace(p); p != "" {
			parts = append(parts, p)
		}
	}
	for len(parts) > 1 {
		place, known := placeFirst[strings.ToLower(parts[0])]
		if !known {
			break
		}
		if place != "" && in == "" {
			in = place
		}
		parts, placed = parts[1:], true
	}
	if len(parts) == 1 && !placed {
		switch strings.ToLower(parts[0]) {
		case "body", "query", "params", "headers", "header", "non_field_errors", "nonfielderrors", "__all__", "base", "_error", "$", "#", "root", "request", "error", "detail":
			return placeOf(parts[0]), ""
		}
	}
	return in, strings.Join(parts, "/")
}

var tags = regexp.MustCompile(`(?s)<(script|style)[^>]*>.*?</(script|style)>|<[^>]*>`)

func stripTags(text string) string {
	if !strings.Contains(text, "<") {
		return text
	}
	return tags.ReplaceAllString(text, "\n")
}
