package config

import (
	"fmt"
	"strings"
)

func (v *validator) limit(a *API, path string) {
	l := &a.Guards.Limit
	v.rates(l.Rates, path+".rates")
	v.claimName(path+".plan.claim", l.Plan.Claim)
	v.challenge(l, path)
	for i, c := range l.Concurrent {
		at := fmt.Sprintf("%s.concurrent[%d]", path, i)
		if (c.By == "claim") != (c.Claim != "") {
			v.add(at+".claim", "belongs to by: claim, and by: claim needs it", "name the claim whose value makes one caller, or remove it")
		}
		v.claimName(at+".claim", c.Claim)
	}
	if c := l.Concurrency; c.Most > 0 && c.Least > c.Most {
		v.add(path+".concurrency.least", "is more than most", "write at most concurrency.most")
	}
	if l.Shared != nil && *l.Shared && v.c.State.Redis == "" {
		v.add(path+".shared", "there is no server that gateways share", "set state.redis, or remove it")
	}
}

func (v *validator) challenge(l *Limit, path string) {
	if k := l.Challenge.Key; !k.IsZero() && len(k.Reveal()) < 32 {
		v.add(path+".challenge.key", "the key is shorter than 32 bytes", "one that can be guessed lets everybody make cookies and answers")
	}
	for i := range l.Flows {
		f, at := &l.Flows[i], fmt.Sprintf("%s.flows[%d]", path, i)
		if len(f.Steps) > 60 {
			v.add(at+".steps", "has more than 60 steps", "name those that matter")
		}
		if f.HumanTime > 0 && len(f.Steps) < 2 {
			v.add(at+".human_time", "there are no two steps", "name the step before as well")
		}
		v.rates(f.Rates, at+".rates")
	}
	for i, status := range l.Login.Failed {
		if status < 400 || status > 499 {
			v.add(fmt.Sprintf("%s.login.failed[%d]", path, i), "is no answer to a failed try", "write statuses from 400 to 499")
		}
	}
}

func (v *validator) loginOperation(o *LoginOperation, path string) {
	if o == nil || o.Account == "" || o.Account == "identity" || strings.HasPrefix(o.Account, "/") {
		return
	}
	in, name, ok := strings.Cut(o.Account, ":")
	if !ok || name == "" || in != "path" && in != "query" && in != "header" {
		v.value(path+".account", o.Account, "is not a place", "write /pointer, path:name, query:name, header:name or identity")
	}
}

func (v *validator) claimName(path, c string) {
	if c != "" && (strings.HasPrefix(c, ".") || strings.HasSuffix(c, ".") || strings.Contains(c, "..")) {
		v.value(path, c, "is not the name of a claim", "write org_id, or org.id to descend")
	}
}

func (v *validator) rates(list []Rate, path string) {
	for i := range list {
		r, at := &list[i], fmt.Sprintf("%s[%d]", path, i)
		if strings.ContainsAny(r.Name, "\"\\") || !printable(r.Name) {
			v.value(at+".name", r.Name, "cannot stand in a header field", "write letters, digits and hyphens")
		}
		switch {
		case r.By == "claim" && r.Claim == "":
			v.add(at+".claim", "is missing", "name the claim whose value shares a bucket")
		case r.By != "claim" && r.Claim != "":
			v.add(at+".claim", "has no effect", "it belongs to by: claim")
		}
		v.claimName(at+".claim", r.Claim)
		if r.Window == "calendar" && r.Burst != 0 {
			v.add(at+".burst", "a quota of the calendar has no burst", "remove it: all of it may be used at once")
		}
		if (r.By == "address" || r.By == "prefix") && len(r.Plans) > 0 {
			v.add(at+".plans", "who calls from an address is not known yet when it is counted", "count by identity, key, plan, claim, operation or api")
		}
	}
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
