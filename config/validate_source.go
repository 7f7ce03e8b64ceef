package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

var (
	sourceAt  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(/[A-Za-z_][A-Za-z0-9_-]*)*$`)
	parameter = regexp.MustCompile(`\$1\b|\?`)
)

func (v *validator) sources(a *Authz, path string) {
	if len(a.Sources) > 0 && len(a.Policies) == 0 {
		v.add(path+".sources", "there are sources and no policy that would read them", "set policies, or remove the sources")
	}
	for i := range a.Sources {
		s, at := &a.Sources[i], fmt.Sprintf("%s.sources[%d]", path, i)
		if s.At != "" && !sourceAt.MatchString(s.At) {
			v.value(at+".at", s.At, "is not a place in data", "write owners, or relations/owners for data.relations.owners")
		}
		for j := range i {
			o := a.Sources[j].At
			if s.At == o || strings.HasPrefix(s.At, o+"/") || strings.HasPrefix(o, s.At+"/") {
				v.value(at+".at", s.At, fmt.Sprintf("overlaps sources[%d], %s", j, o), "give each source a place of its own")
			}
		}
		if s.At == "crenel" || strings.HasPrefix(s.At, "crenel/lib") {
			v.value(at+".at", s.At, "is where Crenel's own packages lie", "choose another place")
		}
		v.source(s, at)
	}
}

func (v *validator) source(s *Source, path string) {
	n := 0
	for _, set := range []bool{s.SQL != nil, s.HTTP != nil, s.LDAP != nil, s.File != nil} {
		if set {
			n++
		}
	}
	switch {
	case n != 1:
		v.add(path, fmt.Sprintf("the source is of %d kinds", n), "set one of sql, http, ldap and file")
	case s.SQL != nil:
		v.sqlSource(s.SQL, path+".sql")
	case s.HTTP != nil:
		v.httpSource(s.HTTP, path+".http")
	case s.LDAP != nil:
		v.ldapSource(s.LDAP, path+".ldap")
	default:
		v.rows(&s.File.Rows, path+".file")
		v.pointer(s.File.Pointer, path+".file.pointer")
		if s.File.Cursor != "" || s.File.Tombstone != "" {
			v.add(path+".file", "a file is read whole when it changes: cursor and tombstone mean nothing", "remove them")
		}
	}
	if s.MaxAge < s.Every && !v.broken(path+".max_age") {
		v.value(path+".max_age", s.MaxAge.String(), "is shorter than every, "+s.Every.String(), "data may not become too old before they are looked for again")
	}
	if s.MinRows > s.MaxRows {
		v.add(path+".min_rows", "min_rows is more than max_rows", "no answer would ever be taken")
	}
}

func (v *validator) rows(r *Rows, path string) {
	for i, k := range r.Key {
		if slices.Contains(r.Key[:i], k) {
			v.value(fmt.Sprintf("%s.key[%d]", path, i), k, "stands twice", "remove one")
		}
		if k == r.Value {
			v.value(path+".value", k, "is a key too", "name another column")
		}
	}
	if len(r.Key) == 0 && (r.Value != "" || r.Many || r.Cursor != "" || r.Tombstone != "") {
		v.add(path+".key", "must be set where rows are spoken of", "such as key: [id]")
	}
}

func (v *validator) pointer(p, path string) {
	if p != "" && p[0] != '/' {
		v.value(path, p, "is not a JSON pointer", "write /items, or /data/items to descend")
	}
}

func (v *validator) sqlSource(s *SQLSource, path string) {
	if len(s.Key) == 0 {
		v.add(path+".key", "must be set", "such as key: [id]")
	}
	v.rows(&s.Rows, path)
	switch {
	case s.Driver == "postgres" && s.DSN.IsZero() && !v.broken(path+".dsn"):
		v.add(path+".dsn", "must be set for postgres", "such as dsn: ${DATABASE_URL}")
	case s.Driver == "postgres" && s.Path != "":
		v.add(path+".path", "is the file of SQLite, and the driver is postgres", "remove it")
	case s.Driver == "sqlite" && s.Path == "":
		v.add(path+".path", "must be set for sqlite", "such as path: app.db")
	case s.Driver == "sqlite" && !s.DSN.IsZero():
		v.add(path+".dsn", "is not for SQLite", "write the file as path")
	}
	switch {
	case s.Changed != "" && s.Cursor == "":
		v.add(path+".cursor", "must be set for changed", "name the column whose greatest value changes are asked for by")
	case s.Changed != "" && !parameter.MatchString(s.Changed):
		v.add(path+".changed", "has no parameter", "write WHERE updated_at >= $1, or ? with SQLite")
	case s.Changed == "" && s.Tombstone != "":
		v.add(path+".tombstone", "means nothing without changed", "let query leave deleted rows out")
	}
}

func (v *validator) httpSource(s *HTTPSource, path string) {
	v.rows(&s.Rows, path)
	v.pointer(s.Pointer, path+".pointer")
	if s.Since != "" && (s.Cursor == "" || len(s.Key) == 0) {
		v.add(path+".since", "needs key and cursor", "name the columns, or remove since")
	}
	if s.Since == "" && s.Tombstone != "" {
		v.add(path+".tombstone", "means nothing without since", "remove it")
	}
	if (s.Cert == "") != (s.CertKey == "") {
		v.add(path+".cert", "cert and cert_key belong together", "set both")
	}
	if u, err := url.Parse(s.URL); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		v.warn(path+".url", "the data are fetched in the clear", "whoever is on the way can change who may do what: use https")
	}
}

func (v *validator) ldapSource(s *LDAPSource, path string) {
	u, err := url.Parse(s.URL)
	switch {
	case s.URL == "":
	case err != nil || u.Host == "" || u.Scheme != "ldap" && u.Scheme != "ldaps":
		v.value(path+".url", s.URL, "is not the URL of a directory", "write ldaps://host")
	case u.User != nil:
		v.add(path+".url", "the URL has credentials", "write them as bind_dn and password")
	case u.Scheme == "ldap" && !s.StartTLS && !isLoopback(u.Hostname()):
		v.warn(path+".url", "the password and the data go in the clear", "use ldaps, or set start_tls")
	case u.Scheme == "ldaps" && s.StartTLS:
		v.add(path+".start_tls", "ldaps begins with TLS", "remove one of the two")
	}
	if (s.BindDN == "") != s.Password.IsZero() && !v.broken(path+".password") {
		v.add(path+".bind_dn", "bind_dn and password belong together", "set both; without them the bind is anonymous")
	}
	for i, a := range s.Attributes {
		if slices.Contains(s.Attributes[:i], a) {
			v.value(fmt.Sprintf("%s.attributes[%d]", path, i), a, "stands twice", "remove one")
		}
	}
	for name, list := range map[string][]string{"many": s.Many, "names": s.Names, "value": {s.Value}} {
		for _, a := range list {
			if a != "" && !slices.Contains(s.Attributes, a) {
				v.value(path+"."+name, a, "is not one of attributes", "add it there")
			}
		}
	}
}
