package config

import (
	"fmt"
	"net/url"
	"slices"
)

// subjectFormats are the formats of subject identifiers (RFC 9493) that a claim can stand for.
var subjectFormats = []string{"account", "did", "email", "opaque", "phone_number", "uri"}

// SignalEvents are the types of events for which what comes of them can be set.
var SignalEvents = []string{
	"session-revoked", "token-claims-change", "credential-change", "assurance-level-change", "risk-level-change",
	"account-disabled", "account-purged", "account-credential-change-required", "credential-compromise",
	"sessions-revoked", "identifier-changed", "identifier-recycled", "recovery-activated",
}

func (v *validator) signals() {
	names, paths := map[string]int{}, map[string]int{}
	for i := range v.c.Signals.Transmitters {
		t, path := &v.c.Signals.Transmitters[i], fmt.Sprintf("signals.transmitters[%d]", i)
		if first, dup := names[t.Name]; dup && t.Name != "" {
			v.value(path+".name", t.Name, fmt.Sprintf("is also the name of signals.transmitters[%d]", first), "give each its own name")
		} else {
			names[t.Name] = i
		}
		v.secure(path+".issuer", t.Issuer)
		v.secure(path+".jwks", t.JWKS)
		if t.Push == nil && t.Poll == nil {
			v.add(path, "no event would ever come", "set push or poll")
		}
		if p := t.Push; p != nil {
			if first, dup := paths[p.Path]; dup && p.Path != "" && len(p.Hosts) == 0 {
				v.value(path+".push.path", p.Path, fmt.Sprintf("is also the path of signals.transmitters[%d]", first), "give each its own path")
			}
			paths[p.Path] = i
			if !p.Token.IsZero() && len(p.Token.Reveal()) < 16 {
				v.add(path+".push.token", "the token is shorter than 16 bytes", "whoever guesses it can waste the gateway's time: make it with openssl rand -hex 32")
			}
		}
		if t.Poll != nil {
			v.secure(path+".poll.url", t.Poll.URL)
		}
		for format := range t.Subjects {
			if !slices.Contains(subjectFormats, format) {
				v.value(path+".subjects", format, "is not a format of subject identifiers", "one of "+either(subjectFormats))
			}
		}
		for event := range t.Events {
			if !slices.Contains(SignalEvents, event) {
				v.value(path+".events", event, "is not a type of events", "one of "+either(SignalEvents))
			}
		}
	}
}

// secure refuses a URL that is fetched in the clear over a network.
func (v *validator) secure(path, s string) {
	if s == "" || v.broken(path) {
		return
	}
	if u, err := url.Parse(s); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		v.add(path, "is not https", "what is fetched in the clear can be replaced on the way")
	}
}
