package scan

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/crenel-project/crenel/internal/freeport"
)

// embassy is an API over a real directory, into whose filters it pastes what it
// takes: of searches, exact and in part, and of logins, which compare the password
// in the filter or bind as what was found. Its fixed twin escapes values, and binds.
type embassy struct {
	open  bool
	binds bool
	url   string

	mu   sync.Mutex
	conn *ldap.Conn
}

const embassySpec = `openapi: 3.0.3
info: {title: Embassy, version: "1"}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
paths:
  /register:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string, pattern: '^[a-z0-9]{3,30}$'}, password: {type: string, minLength: 8}}}}}}
      responses: {"201": {description: made, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}
  /login:
    post:
      requestBody: {required: true, content: {application/json: {schema: {type: object, required: [username, password], properties: {username: {type: string}, password: {type: string}}}}}}
      responses: {"200": {description: in, content: {application/json: {schema: {type: object, properties: {token: {type: string}}}}}}}
  /me:
    get:
      security: [{bearer: []}]
      responses: {"200": {description: me, content: {application/json: {schema: {type: object, properties: {username: {type: string}}}}}}}
  /staff:
    get:
      summary: Somebody of the staff
      parameters: [{name: uid, in: query, required: true, schema: {type: string, example: ann}}]
      responses: {"200": {description: it, content: {application/json: {schema: {type: object, properties: {name: {type: string}}}}}}, "404": {description: none}}
  /phonebook:
    get:
      summary: Search the phone book
      parameters: [{name: name, in: query, required: true, schema: {type: string}}]
      responses: {"200": {description: them, content: {application/json: {schema: {type: array, items: {type: object, properties: {name: {type: string}, room: {type: string}}}}}}}}
`

func newEmbassy(binds bool) func(t *testing.T, open bool) http.Handler {
	return func(t *testing.T, open bool) http.Handler {
		t.Helper()
		server := "/usr/sbin/slapd"
		if _, err := os.Stat(server); err != nil {
			server = "slapd"
		}
		dir, address := t.TempDir(), freeport.Address(t)
		if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
			t.Fatal(err)
		}
		conf := written(t, "slapd.conf", `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix "dc=example,dc=com"
rootdn "cn=root,dc=example,dc=com"
rootpw r00t
directory `+filepath.Join(dir, "db")+"\n")
		program(t, address, server, "-f", conf, "-h", "ldap://"+address, "-d", "0")
		s := &embassy{open: open, binds: binds, url: "ldap://" + address}
		var err error
		for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if s.conn, err = ldap.DialURL(s.url); err == nil {
				if err = s.conn.Bind("cn=root,dc=example,dc=com", "r00t"); err == nil {
					break
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.conn.Close() })
		for _, e := range []struct{ dn, attributes string }{
			{"dc=example,dc=com", "objectClass=dcObject|organization,o=Example"},
			{"ou=people,dc=example,dc=com", "objectClass=organizationalUnit"},
			{"ou=staff,dc=example,dc=com", "objectClass=organizationalUnit"},
			{"uid=ann,ou=staff,dc=example,dc=com", "objectClass=inetOrgPerson,cn=Ann Archer,sn=Archer,roomNumber=12"},
			{"uid=bob,ou=staff,dc=example,dc=com", "objectClass=inetOrgPerson,cn=Bob Baker,sn=Baker,roomNumber=3"},
		} {
			r := ldap.NewAddRequest(e.dn, nil)
			for _, a := range strings.Split(e.attributes, ",") {
				name, values, _ := strings.Cut(a, "=")
				r.Attribute(name, strings.Split(values, "|"))
			}
			if err := s.conn.Add(r); err != nil {
				t.Fatalf("%s: %v", e.dn, err)
			}
		}
		return s
	}
}

// find is what a filter finds in which a ? stands for each value.
func (s *embassy) find(base, filter string, values ...string) ([]*ldap.Entry, error) {
	for _, v := range values {
		if !s.open {
			v = ldap.EscapeFilter(v)
		}
		filter = strings.Replace(filter, "?", v, 1)
	}
	r, err := s.conn.Search(ldap.NewSearchRequest("ou="+base+",dc=example,dc=com", ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 50, 0, false, filter, []string{"uid", "cn", "roomNumber"}, nil))
	if err != nil {
		return nil, err
	}
	return r.Entries, nil
}

// opens: the name and the password are somebody's.
func (s *embassy) opens(name, password string) (string, bool) {
	if s.open && !s.binds {
		list, err := s.find("people", "(&(uid=?)(userPassword=?))", name, password)
		if err != nil || len(list) != 1 {
			return "", false
		}
		return list[0].GetAttributeValue("uid"), true
	}
	list, err := s.find("people", "(uid=?)", name)
	if err != nil || len(list) != 1 || password == "" {
		return "", false
	}
	c, err := ldap.DialURL(s.url)
	if err != nil {
		return "", false
	}
	defer func() { _ = c.Close() }()
	return list[0].GetAttributeValue("uid"), c.Bind(list[0].DN, password) == nil
}

func (s *embassy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // to a client of the test's own
	}
	token := func(name string) string { return fmt.Sprintf("%s.%x", name, sha256.Sum256([]byte("embassy "+name))) }
	var in struct{ Username, Password string }
	_ = json.NewDecoder(r.Body).Decode(&in) // what is no JSON is nobody
	switch r.Method + " " + r.URL.Path {
	case "POST /register":
		add := ldap.NewAddRequest("uid="+ldap.EscapeDN(in.Username)+",ou=people,dc=example,dc=com", nil)
		for name, v := range map[string]string{"objectClass": "inetOrgPerson", "cn": in.Username, "sn": in.Username, "userPassword": in.Password} {
			add.Attribute(name, []string{v})
		}
		if strings.Trim(in.Username, "abcdefghijklmnopqrstuvwxyz0123456789") != "" || len(in.Username) < 3 || len(in.Password) < 8 || s.conn.Add(add) != nil {
			answer(422, map[string]any{"error": "username of letters and digits, password of 8"})
			return
		}
		answer(201, map[string]any{"username": in.Username})
	case "POST /login":
		name, ok := s.opens(in.Username, in.Password)
		if !ok {
			answer(401, map[string]any{"error": "wrong"})
			return
		}
		answer(200, map[string]any{"token": token(name)})
	case "GET /me":
		name, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
		if name == "" || r.Header.Get("Authorization") != "Bearer "+token(name) {
			answer(401, map[string]any{"error": "who is it"})
			return
		}
		answer(200, map[string]any{"username": name})
	case "GET /staff":
		list, err := s.find("staff", "(&(objectClass=person)(uid=?))", r.URL.Query().Get("uid"))
		if err != nil || len(list) == 0 {
			answer(404, map[string]any{"error": "nobody"})
			return
		}
		answer(200, map[string]any{"name": list[0].GetAttributeValue("cn")})
	case "GET /phonebook":
		list, err := s.find("staff", "(cn=*?*)", r.URL.Query().Get("name"))
		if err != nil && s.open {
			answer(500, map[string]any{"error": "it went wrong"})
			return
		}
		out := []map[string]string{}
		for _, e := range list {
			out = append(out, map[string]string{"name": e.GetAttributeValue("cn"), "room": e.GetAttributeValue("roomNumber")})
		}
		answer(200, out)
	default:
		answer(404, map[string]any{"error": "none"})
	}
}

func TestEmbassy(t *testing.T) {
	searches := []hole{
		{"ldap-injection", "GET", "/staff", "query.uid"},
		{"ldap-injection", "GET", "/phonebook", "query.name"},
	}
	t.Run("the password is compared in the filter", func(t *testing.T) {
		twins(t, embassySpec, newEmbassy(false), append(searches, hole{"ldap-login", "POST", "/login", "body./password"}), "ldap-injection", "ldap-login")
	})
	t.Run("the password is bound with", func(t *testing.T) {
		twins(t, embassySpec, newEmbassy(true), append(searches, hole{"ldap-login", "POST", "/login", "body./username"}), "ldap-injection", "ldap-login")
	})
}
