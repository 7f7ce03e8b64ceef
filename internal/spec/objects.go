package spec

import (
	"strings"
)

// idSuffixes are words at the end of a name that identifies an object.
var idSuffixes = map[string]bool{
	"id": true, "ids": true, "uuid": true, "guid": true, "uid": true, "key": true, "number": true, "no": true, "num": true, "code": true, "slug": true, "name": true, "ref": true,
	"reference": true, "handle": true, "sku": true, "identifier": true, "urn": true, "hash": true, "oid": true,
}

// notObjects are path variables that choose a form or a range, not an object.
var notObjects = map[string]bool{
	"version": true, "api": true, "locale": true, "lang": true, "language": true, "format": true, "ext": true, "extension": true, "page": true, "limit": true, "offset": true, "date": true, "year": true, "month": true, "day": true,
	"from": true, "to": true, "start": true, "end": true, "action": true, "type": true, "kind": true, "status": true, "state": true, "size": true, "width": true, "height": true, "sort": true, "order_by": true, "query": true, "currency": true,
	"latitude": true, "longitude": true, "lat": true, "lng": true, "lon": true, "x": true, "y": true, "z": true, "hour": true, "week": true, "quarter": true,
}

// notResources are nouns whose ids name a message, a run or a client, not an object that somebody owns.
var notResources = map[string]bool{
	"request": true, "correlation": true, "trace": true, "span": true, "client": true, "operation": true, "idempotency": true, "x_request": true, "x_correlation": true, "x_trace": true, "request_correlation": true, "state": true, "nonce": true,
}

// verbs are last segments that act on what stands before them.
var verbs = map[string]bool{
	"search": true, "query": true, "login": true, "logout": true, "register": true, "signup": true, "signin": true, "export": true, "import": true, "upload": true, "download": true, "cancel": true, "activate": true, "deactivate": true,
	"enable": true, "disable": true, "approve": true, "reject": true, "confirm": true, "verify": true, "validate": true, "refresh": true, "reset": true, "send": true, "resend": true, "start": true, "stop": true, "pause": true, "resume": true,
	"restart": true, "run": true, "execute": true, "batch": true, "bulk": true, "count": true, "me": true, "self": true, "current": true, "all": true, "new": true, "latest": true, "archive": true, "restore": true, "publish": true, "unpublish": true,
	"lock": true, "unlock": true, "close": true, "open": true, "copy": true, "move": true, "clone": true, "merge": true, "sync": true, "preview": true, "test": true, "check": true, "transfer": true, "pay": true, "refund": true, "apply": true, "redeem": true,
	"assign": true, "unassign": true, "accept": true, "decline": true, "subscribe": true, "unsubscribe": true, "join": true, "leave": true, "invite": true, "complete": true, "submit": true, "process": true, "retry": true, "track": true, "find": true, "list": true,
	"get": true, "create": true, "update": true, "delete": true, "remove": true, "add": true, "set": true, "health": true, "ping": true, "debug": true, "forgot": true, "change": true, "rotate": true, "revoke": true, "renew": true, "claim": true, "notify": true, "poll": true, "admin": true, "public": true, "internal": true, "api": true, "mine": true,
}

// principals are resources that are callers themselves: the id of one is its own owner.
var principals = map[string]bool{"user": true, "customer": true, "member": true, "subscriber": true, "patient": true, "tenant": true}

// owners are nouns that name whom an object belongs to.
var owners = map[string]bool{
	"owner": true, "user": true, "customer": true, "account": true, "member": true, "creator": true, "author": true, "patient": true, "subscriber": true, "tenant": true,
	"company": true, "org": true, "organization": true, "organisation": true, "workspace": true,
}

// ownedBy are names that say so in a phrase.
var ownedBy = map[string]bool{"created_by": true, "owned_by": true, "belongs_to": true, "uploaded_by": true, "submitted_by": true}

// idOf splits the words of an identifier's name: "customerId" names a customer.
// noun is "" for "id" alone; ok is false when the name has no identifier's end.
func idOf(name string, weak bool) (noun string, ok bool) {
	w := words(name)
	if len(w) == 0 {
		return "", false
	}
	last := w[len(w)-1]
	if !idWords[last] && !(weak && idSuffixes[last]) {
		return "", false
	}
	w = w[:len(w)-1]
	if len(w) > 0 {
		w[len(w)-1] = singular(w[len(w)-1])
	}
	return strings.Join(w, "_"), true
}

// refOf is the object that a parameter or field called name refers to, by its name alone.
func refOf(name string) *ObjectRef {
	noun, ok := idOf(name, false)
	if !ok || noun == "" || notResources[noun] {
		return nil
	}
	return &ObjectRef{Resource: noun, Param: name}
}

// objects finds out which variables of op's path name objects, and what the path is about.
func objects(op *Operation, t *template) {
	at := 0 // next of op.PathParams
	noun := ""
	plural := false
	var last *ObjectRef
	afterLast := 0 // nouns that follow the last object
	for i := range t.segments {
		s := &t.segments[i]
		if s.vars() == 0 {
			text := s.lits[0]
			w := words(text)
			if len(w) == 0 || isVersion(w) {
				continue
			}
			if verbs[text] || verbs[w[0]] && len(w) == 1 {
				continue
			}
			noun, plural = resourceName(text), isPlural(w[len(w)-1])
			op.Resource = noun
			if plural {
				afterLast++
			}
			continue
		}
		for v := range s.vars() {
			p := op.PathParams[at]
			at++
			holder, isList := noun, plural
			if prefix := words(s.lits[v]); len(prefix) > 0 && s.lits[v] != "" && v == 0 {
				holder, isList = resourceName(s.lits[v]), true // OData: Users('{key}')
			}
			ref := pathRef(p.Name, holder, isList)
			if ref == nil {
				continue
			}
			c := *p
			c.Object = ref
			op.PathParams[at-1] = &c
			for j := range op.Parameters {
				if op.Parameters[j] == p {
					op.Parameters[j] = &c
				}
			}
			last, afterLast = ref, 0
			op.Resource = ref.Resource
			noun, plural = "", false
		}
	}
	if last != nil && afterLast == 0 {
		op.Object = last
		op.Resource = last.Resource
	}
}

// pathRef decides whether a path variable after a noun names an object of it.
func pathRef(name, noun string, plural bool) *ObjectRef {
	own, isID := idOf(name, true)
	joined := strings.Join(words(name), "_")
	switch {
	case !isID && notObjects[joined]:
		return nil
	case noun != "" && plural:
		return &ObjectRef{Resource: noun, Param: name}
	case isID && own != "" && !notResources[own]:
		return &ObjectRef{Resource: own, Param: name}
	case noun != "" && (isID || resourceName(name) == noun):
		return &ObjectRef{Resource: noun, Param: name}
	}
	return nil
}

// isVersion: v1, v2.1, 2020-01-01.
func isVersion(w []string) bool {
	return w[0] == "v" && len(w) > 1 || w[0][0] >= '0' && w[0][0] <= '9'
}

// isOwner reports whether a field called name, in an object held by holder of
// resource, names whom that object belongs to.
func isOwner(name, holder string) bool {
	joined := strings.Join(words(name), "_")
	if ownedBy[joined] || owners[joined] {
		return true
	}
	if noun, ok := idOf(name, false); ok {
		switch {
		case noun == "":
			return owners[holder] || principals[holder]
		case owners[noun] || ownedBy[noun]:
			return true
		default:
			// owner_user_id, created_by_account_id
			w := strings.Split(noun, "_")
			return owners[w[len(w)-1]] && (owners[w[0]] || w[0] == "created" || w[0] == "parent")
		}
	}
	return false
}
