package source

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/crenel-project/crenel/config"
)

// ldapOrigin searches a directory.
type ldapOrigin struct {
	cfg *config.LDAPSource
	bounds
	tls *tls.Config
}

// Operational attributes (RFC 4512 section 3.4).
const modified = "modifyTimestamp"

func newLDAP(c *config.LDAPSource, b bounds) (*ldapOrigin, error) {
	t, err := tlsConfig(c.CA, "", "")
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("the url does not parse")
	}
	t.ServerName = u.Hostname()
	if _, err := ldap.CompileFilter(c.Filter); err != nil {
		return nil, fmt.Errorf("filter %s: %w", c.Filter, err)
	}
	return &ldapOrigin{cfg: c, bounds: b, tls: t}, nil
}

func (o *ldapOrigin) close() {}

// rowsLike is what the attributes are as columns.
func (o *ldapOrigin) rowsLike() config.Rows {
	return config.Rows{Key: []string{o.cfg.Key}, Value: o.cfg.Value}
}

func (o *ldapOrigin) look(ctx context.Context, last *version, whole bool) (*version, error) {
	conn, err := o.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // nothing was written
	// The library's calls take no context: a look that takes too long loses its connection.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	if whole || !o.cfg.Incremental || last.mark == nil {
		t := newIntake(o.rowsLike(), o.bounds, false)
		mark, err := o.search(conn, o.cfg.Filter, t.add)
		if err != nil {
			return nil, err
		}
		doc, err := t.finish()
		if err != nil {
			return nil, err
		}
		return &version{doc: doc, mark: orNil(mark), rows: t.rows}, nil
	}
	return o.changes(conn, last)
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// changes reads the entries that were modified since the last look. One that
// was, and that the filter does not find any more, is removed.
func (o *ldapOrigin) changes(conn *ldap.Conn, last *version) (*version, error) {
	since := "(" + modified + ">=" + last.mark.(string) + ")"
	t := newChanges(o.rowsLike(), o.bounds)
	mark, err := o.search(conn, "(&"+o.cfg.Filter+since+")", t.add)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, c := range t.changes {
		found[c.path[0]] = true
	}
	all := *o
	only := *o.cfg
	only.Attributes, only.Value, only.Many, only.Names = nil, "", nil, nil
	all.cfg = &only
	also, err := all.search(conn, since, func(names []string, values []any) error {
		key, err := keyText(values[slices.Index(names, o.cfg.Key)])
		if err == nil && !found[key] {
			t.note([]string{key}, nil, true)
		}
		return nil // an entry without the key is none of ours
	})
	if err != nil {
		return nil, err
	}
	next := *last
	next.mark = max(last.mark.(string), mark, also)
	if next.doc, err = t.apply(last.doc); err != nil {
		return nil, err
	}
	return &next, nil
}

func (o *ldapOrigin) dial(ctx context.Context) (*ldap.Conn, error) {
	d := &net.Dialer{}
	if until, ok := ctx.Deadline(); ok {
		d.Deadline = until
	}
	conn, err := ldap.DialURL(o.cfg.URL, ldap.DialWithDialer(d), ldap.DialWithTLSConfig(o.tls))
	if err != nil {
		return nil, fmt.Errorf("connecting to the directory: %w", err)
	}
	if until, ok := ctx.Deadline(); ok {
		conn.SetTimeout(time.Until(until))
	}
	if o.cfg.StartTLS {
		if err := conn.StartTLS(o.tls); err != nil {
			_ = conn.Close() // it is of no use
			return nil, fmt.Errorf("beginning TLS with the directory: %w", err)
		}
	}
	if o.cfg.BindDN == "" {
		err = conn.UnauthenticatedBind("")
	} else {
		err = conn.Bind(o.cfg.BindDN, o.cfg.Password.Reveal())
	}
	if err != nil {
		_ = conn.Close() // it is of no use
		return nil, fmt.Errorf("binding to the directory as %q: %w", o.cfg.BindDN, redacted(err, o.cfg.Password.Reveal()))
	}
	return conn, nil
}

// search reads page by page, and returns the latest time of modification.
func (o *ldapOrigin) search(conn *ldap.Conn, filter string, f func([]string, []any) error) (string, error) {
	want := slices.Clone(o.cfg.Attributes)
	for _, a := range []string{o.cfg.Key, modified} {
		if a != "dn" && !slices.Contains(want, a) {
			want = append(want, a)
		}
	}
	names := []string{o.cfg.Key}
	for _, a := range o.cfg.Attributes {
		if a != o.cfg.Key {
			names = append(names, a)
		}
	}
	paging := ldap.NewControlPaging(uint32(o.cfg.Page))
	latest := ""
	for n := 0; ; {
		r, err := conn.Search(ldap.NewSearchRequest(o.cfg.Base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, want, []ldap.Control{paging}))
		if err != nil {
			return "", fmt.Errorf("searching the directory: %w", err)
		}
		if len(r.Referrals) > 0 {
			return "", fmt.Errorf("searching the directory: it refers to %s: write that in the config", r.Referrals[0])
		}
		for _, e := range r.Entries {
			if n++; n > o.maxRows {
				return "", fmt.Errorf("searching the directory: more than %d entries (max_rows)", o.maxRows)
			}
			latest = max(latest, e.GetEqualFoldAttributeValue(modified))
			values, err := o.values(e, names)
			if err != nil {
				return "", fmt.Errorf("entry %s: %w", e.DN, err)
			}
			if err := f(names, values); err != nil {
				return "", fmt.Errorf("entry %s: %w", e.DN, err)
			}
		}
		next, _ := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if next == nil || len(next.Cookie) == 0 {
			return latest, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// values are an entry's columns.
func (o *ldapOrigin) values(e *ldap.Entry, names []string) ([]any, error) {
	out := make([]any, len(names))
	for i, name := range names {
		if name == "dn" {
			out[i] = e.DN
			continue
		}
		list := e.GetEqualFoldAttributeValues(name)
		if slices.Contains(o.cfg.Names, name) {
			list = slices.Clone(list)
			for j, v := range list {
				first, err := firstName(v)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", name, err)
				}
				list[j] = first
			}
		}
		switch {
		case slices.Contains(o.cfg.Many, name):
			values := make([]any, len(list))
			for j, v := range list {
				values[j] = v
			}
			out[i] = values
		case len(list) > 1:
			return nil, fmt.Errorf("%s has %d values: add it to many", name, len(list))
		case len(list) == 1:
			out[i] = list[0]
		}
	}
	return out, nil
}

// firstName is the value of the first part of a DN (RFC 4514).
func firstName(dn string) (string, error) {
	d, err := ldap.ParseDN(dn)
	if err != nil || len(d.RDNs) == 0 || len(d.RDNs[0].Attributes) == 0 {
		return "", fmt.Errorf("%q is not the name of an entry", strings.ToValidUTF8(dn, "?"))
	}
	return d.RDNs[0].Attributes[0].Value, nil
}
