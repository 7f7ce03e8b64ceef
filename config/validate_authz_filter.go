package config

import (
	"fmt"
	"regexp"
	"strings"
)

var inputRef = regexp.MustCompile(`^input(\.[A-Za-z_][A-Za-z0-9_]*)+$`)

// ownHeaders are headers towards the upstream that the gateway sets for other ends.
var ownHeaders = map[string]bool{
	"authorization": true, "cookie": true, "host": true, "content-length": true, "content-type": true, "content-encoding": true, "transfer-encoding": true,
	"connection": true, "te": true, "trailer": true, "upgrade": true, "expect": true, "forwarded": true, "x-forwarded-for": true, "x-forwarded-proto": true,
	"x-forwarded-host": true, "x-request-id": true, "x-crenel-subject": true, "x-crenel-tenant": true, "x-crenel-roles": true, "accept-encoding": true,
}

func (v *validator) authzFilters(a *API, path string) {
	for i := range a.Guards.Authz.Filters {
		f, at := &a.Guards.Authz.Filters[i], fmt.Sprintf("%s.authz.filters[%d]", path, i)
		if f.Rule != "" && !regoRef.MatchString(f.Rule) {
			v.value(at+".rule", f.Rule, "is not a reference to a rule", "write data.package.rule")
		}
		if f.Masks != "" && !regoRef.MatchString(f.Masks) {
			v.value(at+".masks", f.Masks, "is not a reference to a rule", "write data.package.rule")
		}
		for j, u := range f.Unknowns {
			if !inputRef.MatchString(u) {
				v.value(fmt.Sprintf("%s.unknowns[%d]", at, j), u, "is not a reference below input", "write input.row")
			}
		}
		switch {
		case f.As == "header" && f.Name != "" && (!headerName.MatchString(f.Name) || ownHeaders[strings.ToLower(f.Name)]):
			v.value(at+".name", f.Name, "is not a header that a filter may have", "use a name of its own, such as X-Row-Filter")
		case f.As == "answer" && f.Name != "":
			v.add(at+".name", "a filter of the answer has no name", "remove it, or set as: header or as: query")
		case f.As == "query" && f.Format == "fields" && f.Name != "":
			v.add(at+".name", "with format fields each field is a parameter of its own", "remove it")
		}
		if f.As != "answer" && f.List != "" && f.Masks == "" {
			v.add(at+".list", "the list is looked for only by a filter of the answer and by masks", "remove it, or set as: answer")
		}
		if f.List != "" && !strings.HasPrefix(f.List, "/") {
			v.value(at+".list", f.List, "is not a JSON pointer", "write /items, or / for the answer itself")
		}
	}
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
