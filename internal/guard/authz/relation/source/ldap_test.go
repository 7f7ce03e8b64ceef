package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
)

// slapd is a directory of the test's own.
type slapd struct {
	t    *testing.T
	path string
	conf string
	url  string
	stop func()
}

func newSlapd(t *testing.T) *slapd {
	t.Helper()
	s := &slapd{t: t, path: find(t, "slapd", "/usr/sbin/slapd"), url: fmt.Sprintf("ldap://127.0.0.1:%d", freeport.Port(t))}
	dir := t.TempDir()
	s.conf = filepath.Join(dir, "slapd.conf")
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
sizelimit size.soft=3 size.hard=unlimited size.prtotal=unlimited
database mdb
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw r00t
directory ` + filepath.Join(dir, "db") + `
overlay memberof
index modifyTimestamp,entryCSN,entryUUID eq
limits dn.exact="cn=reader,dc=example,dc=com" size.soft=2 size.hard=unlimited size.prtotal=unlimited
access to attrs=userPassword by anonymous auth
access to * by dn.exact="cn=reader,dc=example,dc=com" read by * none
`
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

func (s *slapd) start() {
	s.stop = run(s.t, exec.Command(s.path, "-f", s.conf, "-h", s.url, "-d", "0"))
}

func (s *slapd) connect() *ldap.Conn {
	s.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var c *ldap.Conn
		if c, err = ldap.DialURL(s.url); err != nil {
			continue
		}
		if err = c.Bind("cn=root,dc=example,dc=com", "r00t"); err == nil {
			s.t.Cleanup(func() { _ = c.Close() }) // the server may be gone
			return c
		}
	}
	s.t.Fatal(err)
	return nil
}

func add(t *testing.T, c *ldap.Conn, dn string, attributes ...string) {
	t.Helper()
	r := ldap.NewAddRequest(dn, nil)
	for _, a := range attributes {
		name, values, _ := strings.Cut(a, "=")
		r.Attribute(name, strings.Split(values, "|"))
	}
	if err := c.Add(r); err != nil {
		t.Fatalf("%s: %v", dn, err)
	}
}

func TestLDAP(t *testing.T) {
	d := newSlapd(t)
	c := d.connect()
	add(t, c, "dc=example,dc=com", "objectClass=dcObject|organization", "o=Example")
	add(t, c, "cn=reader,dc=example,dc=com", "objectClass=person", "sn=Reader", "userPassword=s3cret")
	add(t, c, "ou=people,dc=example,dc=com", "objectClass=organizationalUnit")
	add(t, c, "ou=groups,dc=example,dc=com", "objectClass=organizationalUnit")
	person := func(uid, title string) {
		t.Helper()
		add(t, c, "uid="+uid+",ou=people,dc=example,dc=com", "objectClass=inetOrgPerson", "cn="+uid, "sn="+uid, "title="+title)
	}
	for _, uid := range []string{"ann", "bob", "cat", "dan", "eve"} { // more than a page
		person(uid, "staff")
	}
	add(t, c, "cn=admins,ou=groups,dc=example,dc=com", "objectClass=groupOfNames", "member=uid=ann,ou=people,dc=example,dc=com|uid=bob,ou=people,dc=example,dc=com")
	add(t, c, `cn=a\, b,ou=groups,dc=example,dc=com`, "objectClass=groupOfNames", "member=uid=ann,ou=people,dc=example,dc=com")

	s := settings("x")
	s.Timeout = 2 * time.Second
	s.LDAP = &config.LDAPSource{
		URL: d.url, BindDN: "cn=reader,dc=example,dc=com", Password: config.NewSecret("s3cret"), Base: "ou=people,dc=example,dc=com",
		Filter: "(title=staff)", Key: "uid", Attributes: []string{"sn", "memberOf", "mail"}, Many: []string{"memberOf"}, Names: []string{"memberOf"},
		Incremental: true, Page: 2,
	}
	r := start(t, nil, s)
	plain := func(uid string) string { return fmt.Sprintf(`%q:{"sn":%q,"memberOf":[],"mail":null}`, uid, uid) }
	rest := plain("cat") + "," + plain("dan") + "," + plain("eve")
	r.becomes(`{"ann":{"sn":"ann","memberOf":["admins","a, b"],"mail":null},"bob":{"sn":"bob","memberOf":["admins"],"mail":null},` + rest + `}`)

	// Times of modification are whole seconds: a change within the second of the last look is seen too.
	change := func(dn string, f func(*ldap.ModifyRequest)) {
		t.Helper()
		m := ldap.NewModifyRequest(dn, nil)
		f(m)
		if err := c.Modify(m); err != nil {
			t.Fatal(err)
		}
	}
	change("uid=bob,ou=people,dc=example,dc=com", func(m *ldap.ModifyRequest) { m.Replace("mail", []string{"bob@example.com"}) })
	change("uid=ann,ou=people,dc=example,dc=com", func(m *ldap.ModifyRequest) { m.Replace("title", []string{"former"}) })
	r.becomes(`{"bob":{"sn":"bob","memberOf":["admins"],"mail":"bob@example.com"},` + rest + `}`)

	t.Run("several values", func(t *testing.T) {
		w, l := s, *s.LDAP
		l.Many, l.Names, l.Filter = nil, nil, "(uid=ann)"
		w.LDAP = &l
		start(t, nil, w).wrong("memberOf has 2 values: add it to many", "")
	})
	t.Run("as who", func(t *testing.T) {
		w, l := s, *s.LDAP
		l.Password = config.NewSecret("wr0ng")
		w.LDAP = &l
		start(t, nil, w).wrong("Invalid Credentials", "")
	})
	t.Run("groups", func(t *testing.T) {
		w := s
		w.LDAP = &config.LDAPSource{
			URL: d.url, BindDN: s.LDAP.BindDN, Password: s.LDAP.Password, Base: "ou=groups,dc=example,dc=com", Filter: "(objectClass=groupOfNames)",
			Key: "cn", Value: "member", Attributes: []string{"member"}, Many: []string{"member"}, Names: []string{"member"}, Page: 100,
		}
		g := start(t, nil, w)
		g.becomes(`{"admins":["ann","bob"],"a, b":["ann"]}`)
		if err := c.Del(ldap.NewDelRequest("cn=admins,ou=groups,dc=example,dc=com", nil)); err != nil {
			t.Fatal(err)
		}
		g.becomes(`{"a, b":["ann"]}`)
	})
	t.Run("stopped and started again", func(t *testing.T) {
		d.stop()
		r.t, d.t = t, t
		r.wrong("connecting to the directory", "")
		r.now.Store(int64(time.Hour))
		if _, err := r.data(); err == nil {
			t.Fatal("data older than max_age decide")
		}
		r.now.Store(0)
		d.start()
		c = d.connect()
		person("fay", "staff")
		r.becomes(`{"bob":{"sn":"bob","memberOf":[],"mail":"bob@example.com"},` + rest + "," + plain("fay") + `}`)
	})
}

func TestFirstName(t *testing.T) {
	for dn, want := range map[string]string{"cn=admins,ou=x": "admins", `cn=a\2c b+sn=y,ou=x`: "a, b", "": "", "no name": "", "=": ""} {
		got, err := firstName(dn)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", dn, got, err)
		}
	}
}
