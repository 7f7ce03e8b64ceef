package actor

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/crenel-project/crenel/internal/scan/graph"
	"github.com/crenel-project/crenel/internal/scan/target"
	"github.com/crenel-project/crenel/internal/value"
)

// adviser obeys what answers say, by changing the form and the account.
type adviser struct {
	f     *form
	who   *persona
	notes []string
}

func (a *adviser) note(s string) {
	if !slices.Contains(a.notes, s) {
		a.notes = append(a.notes, s)
	}
}

// obey reads a refusal, and says whether it changed anything, or what stands in the way.
func (a *adviser) obey(ex *target.Exchange) (changed bool, stop obstacle) {
	if ex.Status == http.StatusUnsupportedMediaType {
		return a.nextMedia(), obstacleNone
	}
	list := complaintsIn(ex)
	if ex.Status == http.StatusConflict && len(list) == 0 {
		list = []complaint{{"", "already exists"}}
	}
	for _, c := range list {
		did, s := a.one(c, ex.Status)
		if s != obstacleNone {
			stop = s
		}
		changed = changed || did
	}
	if !changed && stop == obstacleNone && ex.Status == http.StatusConflict {
		a.who.identity()
		a.note("the account exists already: another name was taken")
		return true, obstacleNone
	}
	if changed {
		return true, obstacleNone
	}
	return false, stop
}

func (a *adviser) nextMedia() bool {
	all := mediaOf(a.f.op)
	for i, m := range all {
		if m == a.f.media && i+1 < len(all) {
			a.f.media = all[i+1]
			a.note("the body is sent as " + a.f.media)
			return true
		}
	}
	return false
}

// one obeys one complaint.
func (a *adviser) one(c complaint, status int) (changed bool, stop obstacle) {
	text := strings.ToLower(c.text)
	in := a.input(c)
	fact := ""
	if in != nil {
		fact = a.f.fact(in)
	} else if c.field != "" {
		fact = factByName(words(c.field), "", "")
	}
	about := func(list ...string) bool {
		return slices.Contains(list, fact) || fact == "" && slices.ContainsFunc(list, func(f string) bool { return strings.Contains(text, f) })
	}
	switch {
	case reCaptcha.MatchString(text):
		return false, obstacleCaptcha
	case reClosed.MatchString(text):
		return false, obstacleClosed
	case reInvite.MatchString(text) && (reMissing.MatchString(text) || strings.Contains(text, "invalid")):
		return false, obstacleInvite
	case status == http.StatusTooManyRequests:
		return false, obstacleRate
	}
	if reUnknown.MatchString(text) && in != nil && !in.Required && !reTaken.MatchString(text) && fact != factPassword {
		a.f.drop[in.Where()] = true
		return true, obstacleNone
	}
	if reMatch.MatchString(text) && strings.Contains(text, "pass") && !strings.Contains(text, "pattern") && !strings.Contains(text, "regex") {
		return a.confirm(c), obstacleNone
	}
	if reTaken.MatchString(text) && (in == nil || fact != "") && (about(factEmail, factUsername, factPhone, factID, factName, "user", "account", "mail") || status == http.StatusConflict) && fact != factTenant {
		a.who.identity()
		a.note("the account exists already: another name was taken")
		return true, obstacleNone
	}
	if reTaken.MatchString(text) && fact == factTenant {
		a.who.facts[factTenant] += " " + clip(a.who.facts[factUsername], 20)
		return true, obstacleNone
	}
	if reTaken.MatchString(text) && in != nil && fact == "" && in.Type != "boolean" {
		a.f.unique[in.Where()] = true
		delete(a.who.facts, uniqueKey(in))
		return true, obstacleNone
	}
	if changed := a.lengths(in, fact, text); changed {
		return true, obstacleNone
	}
	if m := reOneOf.FindStringSubmatch(c.text); m == nil {
		m = reOneOf.FindStringSubmatch(text)
		if m != nil && in != nil && a.choose(in, fact, m[1]) {
			return true, obstacleNone
		}
	} else if in != nil && a.choose(in, fact, m[1]) {
		return true, obstacleNone
	}
	if about(factPassword) && a.passwordRule(text) || strings.Contains(text, "pass") && a.passwordPattern(c.text) {
		return true, obstacleNone
	}
	if in != nil && a.types(in, text) {
		return true, obstacleNone
	}
	invalid := strings.Contains(text, "valid") || strings.Contains(text, "format") || strings.Contains(text, "incorrect") || strings.Contains(text, "not a ") || strings.Contains(text, "well-formed") || strings.Contains(text, "match")
	sent := in != nil && a.f.wants(in)
	switch {
	case reMissing.MatchString(text) && !sent:
		return a.include(c, in), obstacleNone
	case invalid && about(factEmail) && !strings.Contains(text, "password") && status != http.StatusUnauthorized:
		if a.who.domain < len(domains)-1 {
			a.who.domain++
			a.who.identity()
			return true, obstacleNone
		}
	case invalid && about(factPhone):
		if a.who.phone < len(phones)-1 {
			a.who.phone++
			a.who.facts[factPhone] = phones[a.who.phone](a.who.rng.IntN(100000))
			return true, obstacleNone
		}
	case invalid && fact == factUsername && status != http.StatusUnauthorized:
		if a.who.facts[factUsername] != a.who.facts[factEmail] && a.f.as[in0(in)] == "" && in != nil {
			a.f.as[in.Where()] = factEmail
			a.note("the name to log in by is an e-mail address")
			return true, obstacleNone
		}
	}
	switch {
	case reVerify.MatchString(text) && !about(factConfirm):
		return false, obstacleVerify
	case reOTP.MatchString(text):
		return false, obstacleOTP
	}
	return false, obstacleNone
}

func in0(in *graph.Input) string {
	if in == nil {
		return ""
	}
	return in.Where()
}

// input finds the input that a complaint is about.
func (a *adviser) input(c complaint) *graph.Input {
	byName := func(name string) *graph.Input {
		want := strings.Join(words(name), "")
		if want == "" {
			return nil
		}
		for _, in := range a.f.op.Inputs {
			if strings.Join(words(in.Name), "") == want {
				return in
			}
		}
		return nil
	}
	if in := byName(lastStep(c.field)); in != nil {
		return in
	}
	for _, m := range reQuoted.FindAllStringSubmatch(c.text, 4) {
		if in := byName(lastStep(m[1])); in != nil {
			return in
		}
	}
	// The field's name as words of the text: the longest that occurs.
	text := " " + strings.Join(words(c.text), " ") + " "
	var best *graph.Input
	for _, in := range a.f.op.Inputs {
		name := strings.Join(words(in.Name), " ")
		if name != "" && strings.Contains(text, " "+name+" ") && (best == nil || len(name) > len(strings.Join(words(best.Name), " "))) {
			best = in
		}
	}
	return best
}

// include sends along what was missing.
func (a *adviser) include(c complaint, in *graph.Input) bool {
	if in != nil {
		if a.f.take[in.Where()] {
			return false
		}
		a.f.take[in.Where()] = true
		delete(a.f.drop, in.Where())
		return true
	}
	names := []string{lastStep(c.field)}
	for _, m := range reQuoted.FindAllStringSubmatch(c.text, 4) {
		names = append(names, lastStep(m[1]))
	}
	if names[0] == "" && len(names) == 1 {
		if m := reFirstWord.FindStringSubmatch(strings.TrimSpace(c.text)); m != nil {
			names = append(names, m[1])
		}
	}
	for _, n := range names {
		if n == "" || strings.ContainsAny(n, " /") || wrapperKeys[strings.ToLower(n)] || fieldKeys[strings.ToLower(n)] && strings.ToLower(n) != "name" {
			continue
		}
		ptr := a.beside() + "/" + value.EscapeToken(n)
		if _, there := a.f.extra[ptr]; there {
			continue
		}
		a.f.extra[ptr] = a.guess(n)
		a.note("the field " + n + " is asked for and not described")
		return true
	}
	return false
}

var reFirstWord = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_]*) (?:is|field|must|cannot|can't|should)\b`)

// beside is where in the body the other fields of the account are.
func (a *adviser) beside() string {
	for _, in := range a.f.op.Inputs {
		if in.In == "body" && (a.f.fact(in) == factPassword || a.f.fact(in) == factEmail) {
			if i := strings.LastIndexByte(in.Pointer, '/'); i > 0 {
				return in.Pointer[:i]
			}
		}
	}
	return ""
}

// guess is a value for a field of which only the name is known.
func (a *adviser) guess(name string) any {
	switch f := factByName(words(name), "", ""); f {
	case factConfirm:
		return fromFact(factPassword)
	case "":
	case factRole:
		return "user"
	default:
		if a.who.facts[f] != "" {
			return fromFact(f)
		}
	}
	w := words(name)
	switch {
	case anyWord(w, "age"):
		return 30
	case anyWord(w, "terms", "accept", "agree", "tos", "consent"):
		return true
	case anyWord(w, "country"):
		return "US"
	case anyWord(w, "zip", "postcode", "postal", "zipcode"):
		return "10115"
	}
	return "crenel"
}

// confirm sends the password a second time, under the name that the answer gives or the usual one.
func (a *adviser) confirm(c complaint) bool {
	for _, in := range a.f.op.Inputs {
		if a.f.fact(in) == factConfirm && !a.f.wants(in) {
			a.f.take[in.Where()] = true
			return true
		}
	}
	name := lastStep(c.field)
	if factByName(words(name), "", "") != factConfirm {
		name = ""
	}
	for _, n := range []string{name, "confirm_password", "confirmPassword", "password_confirmation", "passwordConfirm", "password2", "repeatPassword"} {
		if n == "" {
			continue
		}
		ptr := a.beside() + "/" + n
		if _, there := a.f.extra[ptr]; !there {
			a.f.extra[ptr] = fromFact(factPassword)
			return true
		}
	}
	return false
}

// lengths obeys bounds on how long a value is.
func (a *adviser) lengths(in *graph.Input, fact, text string) bool {
	low, high := -1, -1
	if m := reBetween.FindStringSubmatch(text); m != nil && (strings.Contains(text, "char") || strings.Contains(text, "length") || strings.Contains(text, "size") || strings.Contains(text, "long") || strings.Contains(text, "digit")) {
		for i := 1; i+1 < len(m); i += 2 {
			if m[i] != "" {
				low, high = atoi(m[i]), atoi(m[i+1])
			}
		}
	} else {
		if m := reExactly.FindStringSubmatch(text); m != nil {
			low, high = atoi(m[1]), atoi(m[1])
		}
		if m := reMin.FindStringSubmatch(text); m != nil {
			low = atoi(m[1])
			high = -1
			if strings.Contains(text, "more than") || strings.Contains(text, "greater than") && !strings.Contains(text, "or equal") {
				low++
			}
		}
		if m := reMax.FindStringSubmatch(text); m != nil && !strings.Contains(m[0], "at least") {
			high = atoi(m[1])
			if strings.HasPrefix(m[0], "less") || strings.HasPrefix(m[0], "shorter") || strings.HasPrefix(m[0], "fewer") {
				if !strings.Contains(m[0], "equal") {
					high--
				}
			}
		}
	}
	if low <= 0 && high <= 0 || low > 256 {
		return false
	}
	if fact == factPassword || fact == factConfirm || in == nil && strings.Contains(text, "pass") {
		old := a.who.pass
		if low > 0 {
			a.who.pass.min = max(a.who.pass.min, low)
		}
		if high > 0 && (a.who.pass.max == 0 || high < a.who.pass.max) {
			a.who.pass.max = high
		}
		if strings.Contains(text, "digit") && strings.Contains(text, "only") || strings.Contains(text, "pin") {
			a.who.pass.digitsOnly = true
		}
		if a.who.pass == old {
			return false
		}
		a.who.password()
		return true
	}
	if in == nil || in.Type == "integer" || in.Type == "number" || in.Type == "boolean" {
		return false
	}
	now := a.who.facts[fact]
	if fact == "" || now == "" {
		now = plainText(a.f.value(in, a.who.facts, a.who.rng))
	}
	next := now
	if high > 0 && len(next) > high {
		if fact == factEmail {
			at := strings.IndexByte(next, '@')
			next = next[max(0, at-max(high-(len(next)-at), 1)):]
		} else {
			next = next[len(next)-high:]
		}
	}
	for low > 0 && len(next) < low {
		next += "x"
	}
	if next == now {
		return false
	}
	if fact == "" || a.who.facts[fact] == "" {
		a.f.over[in.Where()] = typed(in, next)
	} else {
		a.who.facts[fact] = next
	}
	return true
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// choose takes one of the values that an answer lists.
func (a *adviser) choose(in *graph.Input, fact, list string) bool {
	var options []string
	for _, o := range regexp.MustCompile(`[\s,|/]+|\bor\b|\band\b`).Split(list, -1) {
		if o = strings.Trim(o, "\"'`[](){}.;:"); o != "" && o != "the" && o != "following" {
			options = append(options, o)
		}
	}
	if len(options) == 0 || fact == factPassword || fact == factEmail {
		return false
	}
	pick := options[0]
	if fact == factRole || in.Meaning == graph.MeansRole || anyWord(words(strings.Join(options, " ")), privileged...) {
		pick = leastRole(options)
	}
	v := typed(in, pick)
	if a.f.over[in.Where()] == v {
		return false
	}
	a.f.over[in.Where()] = v
	return true
}

// passwordRule obeys what a password must be made of.
func (a *adviser) passwordRule(text string) bool {
	old := a.who.pass
	switch {
	case regexp.MustCompile(`only (digits|numbers|numeric)|(digits|numbers) only|must be numeric`).MatchString(text):
		a.who.pass.digitsOnly = true
	case regexp.MustCompile(`only letters|letters only`).MatchString(text) && !strings.Contains(text, "number") && !strings.Contains(text, "digit"):
		a.who.pass.lettersOnly = true
	case regexp.MustCompile(`(no|not (contain|include|have|use)( any)?|without|invalid|illegal|forbidden) (special|symbol|punctuation|character)|only (contain )?(letters and (numbers|digits)|alphanumeric)|must be alphanumeric|alphanumeric only`).MatchString(text):
		a.who.pass.noSymbols = true
	}
	if a.who.pass == old {
		return false
	}
	a.who.password()
	return true
}

// rePattern is a regular expression for all of a value, as messages quote it.
var rePattern = regexp.MustCompile(`\^[^\s"'\x60]{2,200}\$`)

// passwordPattern obeys a pattern that an answer quotes and the password does not fit.
func (a *adviser) passwordPattern(text string) bool {
	re, err := regexp.Compile(rePattern.FindString(text))
	if err != nil || re.String() == "" || re.MatchString(a.who.facts[factPassword]) {
		return false
	}
	old := a.who.pass
	for _, rule := range []func(*passwordRules){
		func(r *passwordRules) { r.noSymbols = true },
		func(r *passwordRules) { r.lettersOnly = true },
		func(r *passwordRules) { r.digitsOnly = true },
	} {
		a.who.pass = old
		rule(&a.who.pass)
		if a.who.password(); re.MatchString(a.who.facts[factPassword]) {
			return true
		}
	}
	a.who.pass = old
	a.who.password()
	return false
}

// types sends a value as the type that the answer asks for.
func (a *adviser) types(in *graph.Input, text string) bool {
	var v any
	now := plainText(a.f.value(in, a.who.facts, a.who.rng))
	switch {
	case reBoolIn.MatchString(text):
		v = true
	case reListIn.MatchString(text):
		v = []any{typed(in, now)}
	case reNumberIn.MatchString(text) && a.f.fact(in) != factPassword:
		n, err := strconv.ParseInt(now, 10, 64)
		if err != nil {
			n = int64(a.who.rng.IntN(800_000_000) + 100_000_000)
		}
		v = n
	case reStringIn.MatchString(text):
		v = now
	default:
		return false
	}
	if prev, there := a.f.over[in.Where()]; there && plainText(prev) == plainText(v) {
		return false
	}
	a.f.over[in.Where()] = v
	return true
}
