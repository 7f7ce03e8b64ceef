package scenario

import (
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// opensslCiphers are the groups of cipher suites as OpenSSL names them.
var opensslCiphers = map[string]string{
	"modern": "ECDHE+AESGCM:ECDHE+CHACHA20", "dhe": "kDHE", "cbc": "ECDHE+AES", "rsa": "kRSA+AES", "3des": "3DES", "rc4": "RC4",
	"des": "LOW", "export": "EXPORT", "anon": "aNULL", "null": "eNULL", "none": "PSK",
}

var opensslVersions = map[string]string{"SSL 3.0": "-ssl3", "TLS 1.0": "-tls1", "TLS 1.1": "-tls1_1", "TLS 1.2": "-tls1_2"}

// needs names what the script calls beside curl and jq.
func (s *Scenario) needs() string {
	for i := range s.Steps {
		if s.Steps[i].Handshake != nil || s.Steps[i].Raw != nil {
			return ", and openssl"
		}
	}
	return ""
}

// host makes sure that the target's host, port and base path stand in variables.
func (c *curl) host() {
	if c.vars["target.host"] != "" {
		return
	}
	c.vars["target.host"], c.vars["target.base"] = "TARGET_HOST", "TARGET_BASE"
	c.line(`TARGET_HOST=$(printf %%s "$BASE" | sed -E 's#^[a-z]+://([^/]*).*#\1#')`)
	c.line(`TARGET_BASE=$(printf %%s "$BASE" | sed -E 's#^[a-z]+://[^/]*##')`)
	c.line(`case $TARGET_HOST in *:[0-9]*) TARGET_AT=$TARGET_HOST;; *) case $BASE in https:*) TARGET_AT=$TARGET_HOST:443;; *) TARGET_AT=$TARGET_HOST:80;; esac;; esac`)
	c.line(`TARGET_NAME=${TARGET_AT%%:*}`)
}

// handshake shows one with OpenSSL. A build of it that has left old versions or
// cipher suites out cannot offer them: it says so, and nothing is shown by that.
func (c *curl) handshake(h *Handshake) {
	c.host()
	if h.Version == "" {
		c.line(`openssl s_client -connect "$TARGET_AT" -servername "$TARGET_NAME" -verify_hostname "$TARGET_NAME" -showcerts </dev/null | tee /dev/stderr | openssl x509 -noout -subject -issuer -dates -ext subjectAltName -text | grep -E 'subject|issuer|not|DNS|IP|Signature Algorithm|Public-Key'`)
		return
	}
	list := []string{"ALL", "COMPLEMENTOFALL"}
	if len(h.Ciphers) > 0 {
		list = nil
		for _, g := range h.Ciphers {
			list = append(list, opensslCiphers[g])
		}
	}
	c.line(`openssl s_client -connect "$TARGET_AT" -servername "$TARGET_NAME" %s -cipher '%s:@SECLEVEL=0' </dev/null | grep -E 'Protocol|Cipher|New,' || true`, opensslVersions[h.Version], strings.Join(list, ":"))
}

// shown keeps what a handshake shows: of its places, the certificate alone is there for
// the shell.
func (c *curl) shown(s *Save) {
	if s.At != "/certificate/pem" {
		c.line("# %s is the handshake's %s, which crenel scan verify reads", s.As, oneLine(s.At))
		return
	}
	v := variable(s.As)
	c.vars[s.As] = v
	c.line(`%s=$(openssl s_client -connect "$TARGET_AT" -servername "$TARGET_NAME" </dev/null 2>/dev/null | openssl x509)`, v)
}

// raw sends bytes with printf. What is HTTP/2 the shell cannot frame: it is
// shown as a comment.
func (c *curl) raw(st *Step, parts func(string) []actor.Part) {
	r := st.Raw
	c.host()
	if r.H2 != nil {
		c.line("# Over HTTP/2, which takes a client that sends a request as it is told to (crenel scan verify does), these fields:")
		for _, p := range r.H2 {
			c.line("#   %s: %s", oneLine(p.Name), oneLine(p.Value))
		}
		c.line("# and these data, with the end of the stream: %s", oneLine(strings.Join(r.Lines, `\r\n`)))
		return
	}
	var b strings.Builder
	for i, l := range r.Lines {
		if l == credentialLine {
			if st.As == "" || parts == nil {
				continue
			}
			for _, p := range parts(st.As) {
				if !p.CSRF && p.In != "query" && p.In != "cookie" {
					b.WriteString(escape(p.Name+": "+p.Prefix) + "${" + credentialOf(st.As) + "}" + `\\r\\n`)
				} else if p.In == "cookie" {
					b.WriteString(escape("Cookie: "+p.Name+"="+p.Prefix) + "${" + credentialOf(st.As) + "}" + `\\r\\n`)
				}
			}
			continue
		}
		word := c.text(octal(l))
		b.WriteString(word[1 : len(word)-1])
		if i < len(r.Lines)-1 {
			b.WriteString(`\\r\\n`)
		}
	}
	wait := max(r.Wait.Seconds(), 1)
	send := fmt.Sprintf(`{ printf '%%b' "%s"; sleep %g; }`, b.String(), wait)
	// What comes back is read as long as it waits; over TLS by OpenSSL, in plain by curl.
	c.line(`%s | case $BASE%s in https:*) openssl s_client -quiet -connect "$TARGET_AT" -servername "$TARGET_NAME" 2>/dev/null;; *) curl -sS -N --max-time %g "telnet://$TARGET_AT";; esac || true`, send, map[bool]string{true: "-plain"}[r.Plain], wait)
}

// octal writes \xHH as printf's %b reads it everywhere.
func octal(l string) string {
	var b strings.Builder
	for i := 0; i < len(l); i++ {
		if l[i] == '\\' && i+3 < len(l) && l[i+1] == 'x' {
			var n int
			if _, err := fmt.Sscanf(l[i+2:i+4], "%02x", &n); err == nil {
				fmt.Fprintf(&b, `\0%03o`, n)
				i += 3
				continue
			}
		}
		if l[i] == '\\' && i+1 < len(l) {
			b.WriteByte(l[i])
			i++
		}
		b.WriteByte(l[i])
	}
	return b.String()
}
