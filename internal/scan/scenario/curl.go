package scenario

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/actor"
)

// Curl is a shell script that shows the scenario with curl and jq. Credentials
// are taken from the environment, never written into it. parts says how an
// actor's credentials are presented: Value is not read.
func (s *Scenario) Curl(origin, basePath, title string, parts func(name string) []actor.Part) string {
	c := &curl{vars: map[string]string{}, computed: map[string]bool{}}
	c.line("#!/bin/sh")
	c.line("# %s", oneLine(title))
	c.line("# Needs curl and jq%s. Each actor's credential comes from the environment.", s.needs())
	switch {
	case slices.ContainsFunc(s.Steps, func(st Step) bool { return len(st.Serve) > 0 }):
		c.line("# It does not run by itself: an address that the target calls must answer as the comments below say.")
		c.line("# crenel scan --regressions DIRECTORY writes a file for this finding; one command serves, sends and proves:")
		c.line("#   %s", VerifyFile)
	case s.listens():
		c.line("# Needs an address as well at which you see who calls. One command listens, sends and proves,")
		c.line("# with the file that crenel scan --regressions DIRECTORY writes for this finding:")
		c.line("#   %s", VerifyFile)
	}
	c.line("set -eu")
	c.line("BASE=${BASE:-%s}", quote(origin+basePath))
	c.line("RUN=cr$(date +%%s)")
	for _, name := range s.Actors() {
		c.vars[credentialOf(name)] = credentialOf(name)
		what := "the credential of " + name + ", without its prefix"
		if parts != nil && slices.ContainsFunc(parts(name), actor.Part.Computed) {
			what = "name:password of " + name
		}
		c.line(": \"${%s:?%s}\"", credentialOf(name), what)
	}
	for i := range s.Steps {
		c.step(&s.Steps[i], parts)
	}
	return c.b.String()
}

// VerifyFile is the command by which a script's head says that its scenario is
// run with a listener; FILE stands for a regression file until there is one.
const VerifyFile = "crenel scan verify FILE"

// listens reports whether the scenario needs somebody who listens.
func (s *Scenario) listens() bool {
	return slices.ContainsFunc(s.Steps, func(st Step) bool {
		return slices.ContainsFunc(st.uses(), func(name string) bool { return strings.HasPrefix(name, "listener.") })
	})
}

type curl struct {
	b        strings.Builder
	vars     map[string]string // placeholder → shell variable
	computed map[string]bool   // placeholders that steps compute
}

func (c *curl) line(format string, args ...any) {
	fmt.Fprintf(&c.b, format, args...)
	c.b.WriteByte('\n')
}

// digestFlag is curl's for HTTP Digest, challengeOff takes the head of the server's
// challenge off what curl prints then.
const (
	digestFlag   = "--digest"
	challengeOff = ` | awk 'NR==1 && / 401/ {skip=1} !skip; /^\r?$/ {skip=0}'`
)

func credentialOf(name string) string { return variable(name) + "_CREDENTIAL" }

// variable is a name as the shell allows it.
func variable(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// use makes sure that a placeholder's variable is set before it is used.
func (c *curl) use(name string) string {
	if v := c.vars[name]; v != "" {
		return v
	}
	v := variable(name)
	c.vars[name] = v
	head, rest, _ := strings.Cut(name, ".")
	switch head {
	case "canary":
		c.line("%s=$RUN%s", v, quote(strings.ToLower(variable(rest))))
	case "number":
		c.line("%s=$(date +%%s | tail -c 10)", v)
	case "uuid":
		c.line("%s=$(cat /proc/sys/kernel/random/uuid)", v)
	case "now":
		c.line("%s=$(date +%%s)", v)
	case "day":
		days, _, _ := strings.Cut(rest, ".")
		c.line("%s=$(date -u -d '+%s days' +%%F) # another day in each run", v, days)
	case "run":
		c.line("%s=$RUN", v)
	case "listener":
		c.line(": \"${%s:?an address where you see who calls}\"", v)
	default:
		if rest == "token" {
			c.line("%s=$%s", v, credentialOf(head))
		} else {
			c.line(": \"${%s:?%s of %s}\"", v, rest, head)
		}
	}
	return v
}

// text is a shell word for a text with placeholders.
func (c *curl) text(t string) string { return c.textIn(t, inPlain) }

func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`, "`", "\\`").Replace(s)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func (c *curl) step(st *Step, parts func(string) []actor.Part) {
	// Variables are set on lines of their own, before the words that use them.
	if st.Raw != nil {
		c.host()
	}
	if st.Send != nil || st.Raw != nil {
		for _, n := range st.uses() {
			if n != "credentials" && !st.computes(n) {
				c.use(n)
			}
		}
	}
	c.line("")
	note := st.Note
	if note == "" {
		note = st.ID
	}
	part := st.Part
	if part == "" {
		part = Attack
	}
	c.line("# %s: %s", part, oneLine(note))
	for _, f := range st.Compute {
		var args []string
		for k := range f.Args {
			args = append(args, k)
		}
		slices.Sort(args)
		for i, k := range args {
			args[i] = k + "=" + c.text(f.Args[k])
		}
		v := variable(f.Set)
		c.vars[f.Set], c.computed[f.Set] = v, true
		c.line("%s=$(crenel scan compute %s %s)", v, f.Do, strings.Join(args, " "))
	}
	for _, v := range st.Serve {
		c.line("# At that address, answer %s with: %s", c.use("listener."+v.Listener), oneLine(c.text(v.Body)))
	}
	if st.Wait > 0 {
		c.line("sleep %g", st.Wait.Seconds())
	}
	switch {
	case st.Handshake != nil:
		c.handshake(st.Handshake)
		for i := range st.Save {
			c.shown(&st.Save[i])
		}
		return
	case st.Raw != nil:
		c.raw(st, parts)
		return
	case st.Send == nil:
		return
	}
	words := c.words(st, parts)
	command := "curl -sS -i -g --path-as-is " + strings.Join(words, " ")
	if slices.Contains(words, digestFlag) {
		command += challengeOff
	}
	switch {
	case st.Times > 1 && st.Together:
		c.line("for i in $(seq %d); do %s & done; wait", st.Times, command)
	case st.Times > 1:
		c.line("for i in $(seq %d); do %s; done", st.Times, command)
	case len(st.Save) > 0:
		c.line("ANSWER=$(%s)", command)
		c.line(`printf '%%s\n' "$ANSWER"`)
		for i := range st.Save {
			c.save(&st.Save[i])
		}
	default:
		c.line("%s", command)
	}
}

func (c *curl) words(st *Step, parts func(string) []actor.Part) []string {
	s := st.Send
	w := []string{"-X", quote(s.Method)}
	url := s.Path
	var query []string
	for _, p := range s.Query {
		query = append(query, queryTemplate(p.Name)+"="+queryTemplate(p.Value))
	}
	q := strings.Join(query, "&")
	if s.RawQ != "" {
		q = s.RawQ
	}
	if st.As != "" && parts != nil {
		swapped := s.Credential == ""
		for _, p := range parts(st.As) {
			if slices.Contains(s.Without, "*") || slices.Contains(s.Without, p.Name) || p.CSRF {
				continue
			}
			value := "${" + credentialOf(st.As) + "}"
			if !swapped {
				word := c.text(s.Credential)
				value, swapped = word[1:len(word)-1], true
			}
			switch p.In {
			case "query":
				if q != "" {
					q += "&"
				}
				q += p.Name + "=" + p.Prefix + value
			case "cookie":
				w = append(w, "-b", `"`+escape(p.Name+"="+p.Prefix)+value+`"`)
			default:
				if p.Computed() {
					w = append(w, digestFlag, "-u", `"`+value+`"`)
					continue
				}
				w = append(w, "-H", `"`+escape(p.Name+": "+p.Prefix)+value+`"`)
			}
		}
	}
	if q != "" {
		url += "?" + q
	}
	if s.Type != "" {
		w = append(w, "-H", c.text("Content-Type: "+s.Type))
	} else if s.Body != "" {
		w = append(w, "-H", `"Content-Type: application/json"`)
	}
	for _, h := range s.Header {
		w = append(w, "-H", c.text(h.Name+": "+h.Value))
	}
	if s.Host != "" {
		w = append(w, "-H", c.text("Host: "+s.Host))
	}
	switch {
	case s.Base64 != "":
		if raw, err := base64.StdEncoding.DecodeString(s.Base64); err == nil && len(raw) <= 4096 {
			// By a file: the shell's own strings lose what is no text.
			fill := ""
			if s.Fill {
				for _, name := range names(string(raw)) {
					fill += ` | LC_ALL=C sed "s/\\\${` + strings.ReplaceAll(name, ".", `\\.`) + `}/$(printf %s "${` + c.use(name) + `}" | ` + inReplacement + `)/g"`
				}
			}
			c.line(`BODY=$(mktemp) && printf %%s %s | base64 -d%s >"$BODY"`, quote(s.Base64), fill)
			w = append(w, "--data-binary", `@"$BODY"`)
		}
	case s.Body != "":
		w = append(w, "--data-raw", c.textIn(s.Body, bodyPlace(cmp.Or(s.Type, "application/json")))) // an @ at its beginning names no file
	}
	word := c.textIn(url, inQuery)
	base := "${BASE}"
	if s.Root {
		c.line(`ROOT=$(printf %%s "$BASE" | sed -E 's#^([a-z]+://[^/]*).*#\1#')`)
		base = "${ROOT}"
	}
	if s.Origin != "" {
		base = escape(s.Origin)
	}
	return append(w, `"`+base+word[1:])
}

// queryTemplate encodes what is not a placeholder.
func queryTemplate(t string) string {
	var b strings.Builder
	last := 0
	for _, l := range placeholder.FindAllStringIndex(t, -1) {
		b.WriteString(queryText(t[last:l[0]]))
		b.WriteString(t[l[0]:l[1]])
		last = l[1]
	}
	b.WriteString(queryText(t[last:]))
	return b.String()
}

func (c *curl) save(s *Save) {
	v := variable(s.As)
	c.vars[s.As] = v
	switch {
	case s.Header != "":
		found := ""
		if s.Pattern != "" {
			found = " | jq -Rrs " + c.match(s.Pattern)
		}
		c.line(`%s=$(printf '%%s' "$ANSWER" | tr -d '\r' | sed -n %s | head -1 | tr -d '\n'%s)`, v, quote("s/^"+literal(s.Header)+": *//Ip"), found)
	case s.Cookie != "":
		c.line(`%s=$(printf '%%s' "$ANSWER" | tr -d '\r' | sed -n %s | head -1)`, v, quote("s/^set-cookie: *"+literal(s.Cookie)+`=\([^;]*\).*/\1/Ip`))
	case s.Pattern != "" && s.At != "":
		c.line(`%s=$(printf '%%s' "$ANSWER" | tr -d '\r' | sed '1,/^$/d' | jq -j %s | jq -Rrs %s)`, v, quote(jqPath(s.At)), c.match(s.Pattern))
	case s.Pattern != "":
		c.line(`%s=$(printf '%%s' "$ANSWER" | tr -d '\r' | sed '1,/^$/d' | jq -Rrs %s)`, v, c.match(s.Pattern))
	default:
		c.line(`%s=$(printf '%%s' "$ANSWER" | tr -d '\r' | sed '1,/^$/d' | jq -r %s)`, v, quote(jqPath(s.At)))
	}
}

// literal is a name as a basic regular expression of sed's. It may be the target's: what
// a header or a cookie is called may hold every character that the shell and sed read
// as more than a character (RFC 9110, section 5.6.2).
func literal(name string) string {
	return inExpression.ReplaceAllString(name, `\$0`)
}

var inExpression = regexp.MustCompile(`[][\\.*^$/]`)

// inReplacement is the sed that keeps a value from being read as more than the text of
// a replacement: an unescaped slash would end it, and what follows be sed's commands.
const inReplacement = `sed 's/[\/&\\]/\\&/g'`

// oneLine is a text for a comment of the script: what follows a line's end would be run.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

// match is a jq program for the first group of a pattern, or all of it.
func (c *curl) match(pattern string) string {
	return c.text("match(" + jsonText(pattern) + ") | (.captures[0].string // .string)")
}

// jqPath is a JSON pointer as jq writes it.
func jqPath(pointer string) string {
	if pointer == "" {
		return "."
	}
	var b strings.Builder
	b.WriteByte('.')
	for _, t := range strings.Split(strings.TrimPrefix(pointer, "/"), "/") {
		t = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
		switch {
		case t == "*":
			b.WriteString("[0]")
		case t != "" && strings.Trim(t, "0123456789") == "":
			b.WriteString("[" + t + "]")
		default:
			b.WriteString("[" + jsonText(t) + "]")
		}
	}
	return b.String()
}
