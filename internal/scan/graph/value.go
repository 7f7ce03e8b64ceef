package graph

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/spec"
	"github.com/crenel-project/crenel/internal/spec/schema"
)

// inputs lists every value that an operation takes.
func (b *builder) inputs(op *Op) {
	at := 0
	for _, p := range op.Parameters {
		var object *Resource
		if p.In == "path" {
			if at < len(op.PathParams) && at < len(op.Objects) {
				object = op.Objects[at]
			}
			at++
		}
		if isCarrier(p) || p.In == "header" && strings.EqualFold(p.Name, "Authorization") {
			continue
		}
		b.parameter(op, p, object)
	}
	defer b.codes(op)
	op.media = pickMedia(bodyContent(op))
	if op.media == nil {
		return
	}
	if op.media.Schema == nil {
		in := &Input{Op: op, In: "body", Name: "body", Required: op.Body.Required}
		if binaryType(op.media.Type) {
			in.Type, in.Format, in.Meaning = "string", "binary", MeansFile
		}
		op.Inputs = append(op.Inputs, in)
		return
	}
	for i := range b.cache.of(op.media.Schema).list {
		b.bodyLeaf(op, &b.cache.of(op.media.Schema).list[i])
	}
}

// codes gives what is merely called a code the meaning that its operation gives it.
func (b *builder) codes(op *Op) {
	for _, in := range op.Inputs {
		if in.Meaning != MeansUndefined || in.Type == "boolean" || in.Type == "object" {
			continue
		}
		switch w := spec.Words(in.Name); strings.Join(w, "_") {
		case "code", "pin", "passcode", "number", "answer":
		default:
			continue
		}
		said := func(words ...string) bool {
			return slices.ContainsFunc(words, func(w string) bool { return op.said[w] })
		}
		switch {
		case said("otp", "mfa", "totp", "fa", "tfa", "twofactor", "verify", "verification", "reset", "forgot", "recover", "confirm", "activate", "factor", "challenge"):
			in.Meaning = MeansOTP
		case in.Name != "number" && said("coupon", "coupons", "voucher", "vouchers", "promo", "redeem", "discount", "gift", "giftcard", "promotion"):
			in.Meaning = MeansCoupon
		}
	}
}

// binaryType reports whether a media type is of files.
func binaryType(t string) bool {
	for _, p := range []string{"image/", "audio/", "video/", "font/", "application/octet-stream", "application/pdf", "application/zip", "application/gzip", "application/x-tar", "application/vnd.openxmlformats", "application/vnd.ms-"} {
		if strings.HasPrefix(t, p) {
			return true
		}
	}
	return false
}

func (b *builder) parameter(op *Op, p *spec.Parameter, object *Resource) {
	in := &Input{Op: op, In: p.In, Name: p.Name, Required: p.Required || p.In == "path", Schema: p.Schema, Class: p.Class}
	if p.Schema != nil {
		in.Type, in.Format = scalarOf(p.Schema)
	}
	if in.Type == "array" { // of identifiers, mostly: what an element is counts
		if items := p.Schema.Items(); items != nil {
			in.Type, in.Format = scalarOf(items)
			in.Listed = true
		}
	}
	var sure bool
	in.Meaning, sure = meaningOf(p.Name, in.Format, in.Type)
	joined := strings.Join(spec.Words(p.Name), "_")
	switch {
	case object != nil:
		in.Meaning, in.Object, in.holder = MeansID, &spec.ObjectRef{Resource: object.Name, Param: p.Name}, object
	case p.In == "query" && joined == "callback" && in.Format == "":
		in.Meaning = MeansUndefined // the name of a function: JSONP
	case p.In == "query" && pageSizes[joined]:
		in.Meaning = MeansPageSize
	case p.In == "query" && searchWords[joined]:
		in.Meaning = MeansFilter
	case p.In == "query" && (joined == "order" || joined == "dir" || joined == "asc" || joined == "desc"):
		in.Meaning = MeansSort
	case !sure || in.Meaning == MeansID:
		b.reference(op, in, nil, b.fieldName(p))
	}
	if in.Meaning == MeansTenant || in.Meaning == MeansOwner {
		if p.In == "query" || p.In == "path" {
			in.Meaning = MeansID
		}
	}
	if in.In == "header" && in.Meaning == MeansID && in.Object != nil && b.tenantNoun(in.Object.Resource) {
		in.Meaning = MeansTenant
	}
	in.key = in.keyFor(object)
	if op.Input(in.Where()) == nil { // a template may name one variable twice
		op.Inputs = append(op.Inputs, in)
	}
}

// fieldName is a parameter's name as a body would have it: that of a header without the
// X- that many put before names of their own (RFC 6648), where it names what the API has.
func (b *builder) fieldName(p *spec.Parameter) string {
	if p.In != "header" || len(p.Name) < 3 || !strings.EqualFold(p.Name[:2], "x-") {
		return p.Name
	}
	bare := p.Name[2:]
	if noun, isID := idNoun(bare, false); isID && !messageIDs[noun] && b.g.byName[noun].named() {
		return bare
	}
	return p.Name
}

// keyFor is the input's name relative to the object that it names, or is a member of.
func (in *Input) keyFor(holder *Resource) string {
	if in.Object != nil {
		return keyIn(in.Name, in.Object.Resource)
	}
	return keyOf(in.Name, holder)
}

// scalarOf is the type and format of a schema, seen through alternatives.
func scalarOf(s *schema.Schema) (typ, format string) {
	typ, format = s.Type(), s.Format()
	if typ != "" {
		return typ, format
	}
	for _, list := range s.Alternatives() {
		for _, a := range list {
			if t := a.Type(); t != "" && t != "null" {
				if format == "" {
					format = a.Format()
				}
				return t, format
			}
		}
	}
	return enumType(s), format
}

func (b *builder) bodyLeaf(op *Op, l *leaf) {
	name := l.name
	if name == "" {
		name = "body"
	}
	in := &Input{Op: op, In: "body", Name: name, Pointer: l.pointer, Required: l.required, ReadOnly: l.readOnly, Schema: l.schema,
		Type: l.typ, Format: l.format, Listed: strings.HasSuffix(l.pointer, "/*")}
	holder := b.holderOf(op, l)
	var sure bool
	in.Meaning, sure = meaningOf(name, l.format, l.typ)
	if l.pointer == "" && (l.typ == "string" && l.format == "binary" || l.typ != "object" && binaryType(op.media.Type)) {
		in.Meaning, sure = MeansFile, true
	}
	if !sure || in.Meaning == MeansID {
		b.reference(op, in, holder, name)
		if in.Object == nil && l.holder != "" && in.Meaning == MeansID {
			in.Object = &spec.ObjectRef{Resource: spec.ResourceName(l.holder), Param: name}
		}
	}
	in.Class = spec.ClassOf(name, l.holder)
	if in.Class == spec.ClassNone && (in.Meaning == MeansPassword || in.Meaning == MeansOTP || in.Meaning == MeansToken) {
		in.Class = spec.ClassSecret
	}
	in.holder, in.key = holder, in.keyFor(holder)
	op.Inputs = append(op.Inputs, in)
}

// reference decides whether a value names an object, and whether that is an owner.
func (b *builder) reference(op *Op, in *Input, holder *Resource, name string) {
	meaning, ref := b.refOf(op, holder, name, in.Type)
	if ref == nil && in.Meaning == MeansUndefined {
		if noun := b.described(in.Schema, in.Type); noun != "" {
			meaning, ref = MeansID, &spec.ObjectRef{Resource: noun, Param: name}
		}
	}
	if ref == nil {
		return
	}
	in.Meaning, in.Object = meaning, ref
}

// refOf is what a name refers to: an object of a resource, nil for none.
func (b *builder) refOf(op *Op, holder *Resource, name, typ string) (Meaning, *spec.ObjectRef) {
	if typ == "object" || typ == "boolean" {
		return MeansUndefined, nil
	}
	joined := strings.Join(spec.Words(name), "_")
	if noun, ok := ownerPhrases[joined]; ok {
		if noun == "" {
			noun = b.personName()
		}
		return MeansOwner, &spec.ObjectRef{Resource: noun, Param: name}
	}
	noun, isID := idNoun(name, false)
	if !isID {
		bare := spec.ResourceName(name)
		weak, weakID := idNoun(name, true)
		if stem := b.directed(name); stem != "" {
			return MeansID, &spec.ObjectRef{Resource: stem, Param: name} // to_member, recipientUser
		}
		switch {
		case b.nouns[bare] && b.g.byName[bare].named() && typ != "":
			noun = bare // "team": 3
		case weakID && weak != "" && b.g.byName[weak].named() && !descriptive[lastWord(joined)]:
			noun = weak // order_number
		case weakID && weak == "" && namesCalled(op, joined):
			noun = "" // {"ref": …} of invoice.get
		default:
			if of, owns := spec.NamesOwner(bare); owns && (typ == "string" || typ == "integer") {
				if of == "tenant" {
					return MeansTenant, &spec.ObjectRef{Resource: bare, Param: name}
				}
				return MeansOwner, &spec.ObjectRef{Resource: bare, Param: name}
			}
			return MeansUndefined, nil
		}
	}
	if messageIDs[noun] {
		return MeansID, nil
	}
	if noun == "" {
		if holder == nil {
			return MeansID, nil
		}
		return MeansID, &spec.ObjectRef{Resource: holder.Name, Param: name}
	}
	r := b.near(op, noun)
	res := noun
	if r != nil {
		res = r.Name
	}
	ref := &spec.ObjectRef{Resource: res, Param: name}
	switch of, owns := spec.NamesOwner(noun); {
	case b.tenantNoun(noun) && (holder == nil || holder.Name != noun):
		return MeansTenant, ref
	case owns && of == "subject" && (holder == nil || holder.Name != noun):
		return MeansOwner, ref
	}
	return MeansID, ref
}

// namesCalled reports whether a name that identifies only where an identifier is
// expected does so with a remote procedure: what is read, changed or deleted is named.
func namesCalled(op *Op, name string) bool {
	if !op.route.calls() || op.About == nil {
		return false
	}
	switch name {
	case "ref", "reference":
		return true
	case "number", "no", "num", "key", "slug", "handle":
		return op.Kind == Read || op.Kind == Update || op.Kind == Delete || op.Kind == Action
	}
	return false
}

// reWhose reads a description that says what a value names: "A member's ref", "the ID of the group".
var reWhose = regexp.MustCompile(`(?i)\b(?:the|an?|that|this|which|another|other)? ?([a-z]+(?:[ _-][a-z]+)?)(?:'s|’s)? (?:id|identifier|ref|reference|uuid)\b|\b(?:id|identifier|ref|reference|uuid) (?:of|for) (?:the|an?|that|this|another)? ?([a-z]+(?:[ _-][a-z]+)?)\b`)

// described is the resource that a description says a value names, "" for none.
func (b *builder) described(s *schema.Schema, typ string) string {
	if s == nil || typ != "string" && typ != "integer" {
		return ""
	}
	for _, m := range reWhose.FindAllStringSubmatch(s.Description(), 3) {
		w := spec.Words(cmp.Or(m[1], m[2]))
		for i := range w { // "new member": member
			if noun := spec.ResourceName(strings.Join(w[i:], "_")); b.g.byName[noun].named() {
				return noun
			}
		}
	}
	return ""
}

// directed is the resource in a name that says a direction, and no "id": "member"
// for to_member; "" for none.
func (b *builder) directed(name string) string {
	w := spec.Words(name)
	if len(w) < 2 || !directions[w[0]] {
		return ""
	}
	noun := spec.ResourceName(strings.Join(w[1:], "_"))
	if r := b.g.byName[noun]; r != nil && (r.IsPerson || r.named()) {
		return noun
	}
	return ""
}

// directions are first words of names that say which of two is meant.
var directions = set(`to from recipient receiver sender payee payer for with other target source destination parent`)

func lastWord(joined string) string { return joined[strings.LastIndexByte(joined, '_')+1:] }

// descriptive are ends of names that describe more often than they identify.
var descriptive = set(`name title code key token hash email number`)

// ownerPhrases are names that say whose an object is; "" stands for the API's people.
var ownerPhrases = map[string]string{"created_by": "", "owned_by": "", "belongs_to": "", "uploaded_by": "", "submitted_by": "", "createdby": "", "ownedby": "", "posted_by": "", "made_by": "", "updated_by": "",
	"owner": "", "owner_id": "", "ownerid": "", "creator": "", "creator_id": "", "author_id": "", "assignee_id": "", "assignee": ""}

// messageIDs are nouns whose ids name a message, a run or a client.
var messageIDs = set(`request correlation trace span client operation idempotency x_request x_correlation x_trace nonce state app google facebook stripe external`)

func (b *builder) tenantNoun(noun string) bool {
	of, ok := spec.NamesOwner(noun)
	return ok && of == "tenant"
}

// personName is what the API calls its people, "user" where it has none.
func (b *builder) personName() string {
	for _, n := range []string{"user", "customer", "member", "account", "profile", "person"} {
		if b.g.byName[n] != nil {
			return n
		}
	}
	return "user"
}

// near is the resource of a noun, of several the one closest to an operation.
func (b *builder) near(op *Op, noun string) *Resource {
	for _, r := range op.Objects {
		if r != nil && (r.Name == noun || strings.HasSuffix(r.Name, "_"+noun)) {
			return r
		}
	}
	if op.About != nil && (op.About.Name == noun || op.About.Name == op.under+"_"+noun) {
		return op.About
	}
	if r := b.g.byName[noun]; r != nil {
		return r
	}
	if b.bySuffix == nil {
		b.bySuffix = map[string]*Resource{}
		for name, r := range b.g.byName {
			for i := range len(name) {
				if name[i] == '_' {
					if _, twice := b.bySuffix[name[i+1:]]; twice {
						r = nil // two end so: neither is meant for sure
					}
					b.bySuffix[name[i+1:]] = r
				}
			}
		}
	}
	if r := b.bySuffix[noun]; r != nil {
		return r
	}
	if i := strings.LastIndexByte(noun, '_'); i > 0 && formNouns[noun[i+1:]] { // "menu_item" of a menu
		return b.near(op, noun[:i])
	}
	return nil
}

var formNouns = set(`item object record entity`)

// holderOf is the resource of the object that a leaf is a member of.
func (b *builder) holderOf(op *Op, l *leaf) *Resource {
	if l.holderType != "" {
		if op.About != nil && op.About.types[l.holderType] && (l.holderType == op.About.Name || b.g.byName[l.holderType] == nil) {
			return op.About
		}
		if r := b.near(op, l.holderType); r != nil {
			return r
		}
	}
	switch name := strings.ToLower(l.holder); {
	case l.holder == "" || wrappers[name]:
		return op.About
	default:
		noun := spec.ResourceName(l.holder)
		if op.About != nil && (op.About.Name == noun || strings.HasSuffix(op.About.Name, "_"+noun)) {
			return op.About
		}
		if r := b.near(op, noun); r != nil {
			return r
		}
		if of, owns := spec.NamesOwner(noun); owns && of == "subject" {
			if r := b.g.byName[b.personName()]; r != nil {
				return r
			}
		}
	}
	return nil
}

// keyOf is a name without that of the resource whose it is: "id" of "order_id"
// in an order, "title" of "book_title" in a book, "" of "book" there.
func keyOf(name string, holder *Resource) string {
	if holder == nil {
		return keyIn(name, "")
	}
	return keyIn(name, holder.Name)
}

func keyIn(name, resource string) string {
	w := spec.Words(name)
	if resource != "" && len(w) > 0 {
		nouns := strings.Split(resource, "_")
		for i := range nouns {
			if n := nouns[i:]; len(w) >= len(n) && slices.Equal(w[:len(n)], n) {
				w = w[len(n):]
				break
			}
		}
		if len(w) > 1 && formNouns[w[0]] { // item_id of what is listed in a menu
			w = w[1:]
		}
		if len(w) == 1 { // orderid
			if tail, ok := strings.CutPrefix(w[0], strings.Join(nouns, "")); ok && (idEnds[tail] || weakIDEnds[tail]) {
				w = []string{tail}
			}
		}
	}
	key := strings.Join(w, "_")
	switch key {
	case "ids", "identifier", "pk", "oid", "uid":
		return "id"
	case "guid":
		return "uuid"
	}
	if s, ok := strings.CutSuffix(key, "_ids"); ok {
		return s + "_id"
	}
	return key
}

// outputs lists every value of an operation's successful answers.
func (b *builder) outputs(op *Op) {
	seen := map[string]bool{}
	for _, r := range successes(op.Operation) {
		for _, h := range r.Headers {
			if !seen["header "+strings.ToLower(h.Name)] {
				seen["header "+strings.ToLower(h.Name)] = true
				op.Outputs = append(op.Outputs, b.header(op, h.Name))
			}
		}
		for _, m := range r.Content {
			if m.Schema == nil {
				continue
			}
			for i := range b.cache.of(m.Schema).list {
				l := &b.cache.of(m.Schema).list[i]
				if l.writeOnly || seen[l.pointer] {
					continue
				}
				seen[l.pointer] = true
				o := &Output{Op: op, Pointer: l.pointer, Name: l.name, Type: l.typ, Format: l.format, Values: l.values(), under: l.under}
				b.means(o, l)
				op.Outputs = append(op.Outputs, o)
			}
		}
	}
}

func (b *builder) header(op *Op, name string) *Output {
	o := &Output{Op: op, Header: name, Name: name, Type: "string", joined: strings.Join(spec.Words(name), "_")}
	switch strings.ToLower(name) {
	case "location", "content-location":
		o.Meaning = MeansURL
		if op.About != nil && (op.Kind == Create || op.Kind == Action) {
			o.Object = &spec.ObjectRef{Resource: op.About.Name, Param: name}
			o.holder, o.key = op.About, "id"
		}
	case "set-cookie":
		o.Meaning = MeansToken
	default:
		o.Meaning, _ = meaningOf(name, "", "string")
		o.key = keyOf(name, nil)
	}
	o.Class = spec.ClassOf(name, "")
	return o
}

// means fills in what an output is.
func (b *builder) means(o *Output, l *leaf) {
	op := o.Op
	o.holder = b.holderOf(op, l)
	o.key, o.joined = keyOf(l.name, o.holder), strings.Join(spec.Words(l.name), "_")
	var sure bool
	o.Meaning, sure = meaningOf(l.name, l.format, l.typ)
	o.Class = spec.ClassOf(l.name, l.holder)
	if o.Class == spec.ClassNone && o.Meaning == MeansPassword {
		o.Class = spec.ClassSecret
	}
	if !sure || o.Meaning == MeansID {
		if m, ref := b.refOf(op, o.holder, l.name, l.typ); ref != nil {
			o.Meaning, o.Object = m, ref
		}
		if o.Object == nil && o.Meaning == MeansID && l.holder != "" && !wrappers[strings.ToLower(l.holder)] {
			if noun, ok := idNoun(l.name, false); ok && noun == "" {
				o.Object = &spec.ObjectRef{Resource: spec.ResourceName(l.holder), Param: l.name}
			}
		}
	}
	o.Owner = b.owns(op, o, l)
}

// owns reports whether an output says whose the object around it is: a field
// called after its owner, a member of an object called so ("author": {"username": …}),
// or the identifier of a person.
func (b *builder) owns(op *Op, o *Output, l *leaf) bool {
	if l.typ == "boolean" || l.typ == "object" || strings.HasSuffix(l.pointer, "/*") {
		return false
	}
	if o.Meaning == MeansOwner || o.Meaning == MeansTenant {
		return true
	}
	if o.Object != nil && o.Meaning == MeansID {
		if _, owns := spec.NamesOwner(o.Object.Resource); owns {
			return true
		}
	}
	if l.holder == "" {
		return false
	}
	noun := spec.ResourceName(l.holder)
	_, owns := spec.NamesOwner(noun)
	_, phrase := ownerPhrases[noun]
	if !owns && !phrase || op.About != nil && op.About.Name == noun {
		return false
	}
	return o.Meaning == MeansID || o.Meaning == MeansUsername || o.Meaning == MeansEmail
}
