package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func (v *validator) decisionLog() {
	d := &v.c.DecisionLog
	const path = "decision_log"
	for i, k := range d.Keys {
		at := fmt.Sprintf("%s.keys[%d]", path, i)
		if v.broken(at) {
			continue
		}
		if len(k.Reveal()) < 32 {
			v.add(at, "the key is shorter than 32 bytes", "such as the output of: openssl rand -base64 32")
		}
		for j := range i {
			if d.Keys[j].Reveal() == k.Reveal() {
				v.add(at, fmt.Sprintf("the key is also keys[%d]", j), "remove one")
			}
		}
	}
	if d.Sink.URL != "" {
		v.selfCall(path+".sink.url", d.Sink.URL)
		if u, err := url.Parse(d.Sink.URL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) && !d.Sink.Token.IsZero() {
			v.add(path+".sink.token", "the token would be sent in the clear", "use https")
		}
	}
	if d.WhenFull == "refuse" && len(d.Keys) == 0 && d.On() {
		v.add(path+".when_full", "nothing is kept without keys, so nothing can be full", "set keys, or remove when_full")
	}
}

// mask checks a pointer of decision_log.mask.
func (v *validator) mask(path, s string) {
	first, _, _ := strings.Cut(strings.TrimPrefix(s, "/"), "/")
	if !strings.HasPrefix(s, "/") || !slices.Contains([]string{"input", "result", "nd_builtin_cache"}, first) {
		v.value(path, s, "is not a place in an event", "write a JSON pointer below /input, /result or /nd_builtin_cache, such as /input/body/note")
	}
}

func (v *validator) impact(a *API, path string) {
	z := &a.Guards.Authz
	if s := &z.Shadow; s.Bundle != "" && len(s.Policies)+len(s.Data) > 0 {
		v.add(path+".authz.shadow.bundle", "the candidate is both a bundle and files", "set bundle, or policies and data")
	}
	if z.Activation.On() && len(v.c.DecisionLog.Keys) == 0 && !v.broken("decision_log.keys") && !v.broken("decision_log") {
		v.add(path+".authz.activation", "a new policy is held against recorded decisions, and none are kept", "set decision_log.keys")
	}
}
