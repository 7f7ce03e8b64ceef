package config

import (
	"fmt"
	"strings"
)

func (v *validator) limit(a *API, path string) {
	l := &a.Guards.Limit
	v.rates(l.Rates, path+".rates")
	v.claimName(path+".plan.claim", l.Plan.Claim)
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
