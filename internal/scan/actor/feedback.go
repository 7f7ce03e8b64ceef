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

// complaint is one thing that an answer says was wrong.
type complaint struct {
	field string // as the answer calls it, "" when it does not say
	text  string
}

// obstacle is what stands in the way of an account and cannot be overcome from here.
type obstacle string

const (
	obstacleNone    obstacle = ""
	obstacleVerify  obstacle = "the account must be confirmed (by e-mail, SMS or an administrator) before it can be used"
	obstacleCaptcha obstacle = "a captcha is asked for"
	obstacleInvite  obstacle = "an invitation is asked for"
	obstacleOTP     obstacle = "a second factor is asked for"
	obstacleLogin   obstacle = "the operation is only for those who are logged in"
	obstacleClosed  obstacle = "registration is closed"
	obstacleRate    obstacle = "too many tries: the API asks to wait"
)

// complaintsIn reads what an answer says was wrong, in whatever form frameworks say it.
func complaintsIn(ex *target.Exchange) []complaint {
	v := tree(ex)
	if v == nil {
		text := strings.TrimSpace(stripTags(string(ex.Body[:min(len(ex.Body), 8<<10)])))
		if text == "" {
			return nil
		}
		return []complaint{{text: text}}
	}
	var out []complaint
	var walk func(v *value.Value, key, field string, depth int)
	walk = func(v *value.Value, key, field string, depth int) {
		if len(out) >= 60 || depth > 12 {
			return
		}
		switch v.Kind {
		case value.Object:
			if f := fieldNamed(v); f != "" {
				field = f
			}
			for i := range v.Kids {
				k := &v.Kids[i]
				if fieldKeys[strings.ToLower(k.Name)] {
					continue
				}
				inner := field
				if !wrapperKeys[strings.ToLower(k.Name)] {
					inner = k.Name
				}
				walk(k, k.Name, inner, depth+1)
			}
		case value.Array:
			for i := range v.Kids {
				walk(&v.Kids[i], key, field, depth+1)
			}
		case value.String:
			if skipKeys[strings.ToLower(key)] || v.Text == "" {
				return
			}
			out = append(out, complaint{field, v.Text})
		}
	}
	walk(v, "", "", 0)
	return out
}

var (
	fieldKeys   = setOf("field", "fieldname", "field_name", "param", "path", "loc", "property", "propertypath", "property_path", "attribute", "pointer", "source", "name", "key", "parameter", "location", "instancepath", "datapath", "objectname")
	wrapperKeys = setOf("error", "errors", "message", "messages", "msg", "detail", "details", "description", "reason", "title", "violations", "invalid_params", "invalidparams", "invalid-params", "validation", "validationerrors",
		"validation_errors", "fielderrors", "field_errors", "fields", "body", "data", "issues", "constraints", "info", "error_description", "defaultmessage", "non_field_errors", "cause", "causes", "problems", "faults", "suggestion", "payload", "response", "keys", "json", "modelstate", "result", "_errors", "properties", "error_message", "errormessage", "hint", "meta", "extra")
	skipKeys = setOf("type", "status", "code", "timestamp", "requestid", "request_id", "trace", "traceid", "trace_id", "stack", "instance", "method", "value", "rejectedvalue", "input", "url", "kind", "error_code", "errorcode", "version", "documentation_url")
)

func setOf(names ...string) map[string]bool {
	m := make(map[string]bool, len(names))
	for _, n := range names {
		m[n] = true
	}
	return m
}

// fieldNamed finds the member of an error that names the field.
func fieldNamed(v *value.Value) string {
	for _, want := range []string{"field", "fieldname", "field_name", "pointer", "loc", "path", "param", "property", "propertypath", "attribute", "source", "parameter", "instancepath", "datapath", "key", "name"} {
		for i := range v.Kids {
			k := &v.Kids[i]
			if strings.ToLower(k.Name) != want {
				continue
			}
			switch k.Kind {
			case value.String:
				if f := lastStep(k.Text); f != "" && !strings.ContainsAny(f, " ") {
					return f
				}
			case value.Array:
				// ["body", "password"]
				for j := len(k.Kids) - 1; j >= 0; j-- {
					if k.Kids[j].Kind == value.String {
						return k.Kids[j].Text
					}
				}
			case value.Object:
				if f := fieldNamed(k); f != "" {
					return f
				}
			}
		}
	}
	return ""
}

// lastStep is the last name of "/user/email", "user.email", "$.email", "body.email" or "items[0].name".
func lastStep(s string) string {
	s = strings.TrimRight(s, "/")
	if i := strings.LastIndexAny(s, "/.#"); i >= 0 {
		s = s[i+1:]
	}
	if i := strings.IndexByte(s, '['); i > 0 {
		s = s[:i]
	}
	return value.UnescapeToken(s)
}

var tags = regexp.MustCompile(`(?s)<(script|style)[^>]*>.*?</(script|style)>|<[^>]*>`)

func stripTags(s string) string { return tags.ReplaceAllString(s, " ") }

var (
	reTaken    = regexp.MustCompile(`already|taken|exist(s|ing|ed)\b|duplicate|in use|not unique|must be unique|has been used|not available|unavailable|is registered`)
	reMissing  = regexp.MustCompile(`required|missing|can'?t be (blank|empty|null)|cannot be (blank|empty|null|undefined)|(must|should|may) not be (blank|empty|null|undefined)|not provided|must be (provided|present|specified|supplied|given|set)|is (empty|blank|undefined|null)\b|(please )?(provide|supply|specify|enter)\b|must have required|must contain an? ["'a-z_]+ (field|property)|undefined\b|is mandatory`)
	reMin      = regexp.MustCompile(`(?:at least|minimum(?: length)?(?: (?:of|is|allowed|required|length))*|min(?:imum)?(?:length)?[ :=]+|no (?:less|fewer|shorter) than|(?:not|longer|more|greater|larger) (?:be )?(?:than or equal to|less than|shorter than|fewer than|than)|must (?:have|contain|be) (?:≥|>=)|minlength[^0-9]{0,6}|too short[^0-9]{0,40})\s*:?\s*(\d{1,4})`)
	reBetween  = regexp.MustCompile(`(?:between|from|length of|size)\s+(\d{1,4})\s*(?:and|to|-|–)\s*(\d{1,4})|(\d{1,4})\s*(?:-|–|to)\s*(\d{1,4})\s*(?:characters|chars|digits|letters)|(\d{1,4}),\s*(\d{1,4})`)
	reMax      = regexp.MustCompile(`(?:at most|maximum(?: length)?(?: (?:of|is|allowed|length))*|max(?:imum)?(?:length)?[ :=]+|no (?:more|longer|greater) than|not (?:be )?(?:exceed|more than|longer than|greater than)|(?:less|shorter|fewer|smaller) than(?: or equal to)?|up to|exceeds?(?: the)?(?: maximum)?|too long[^0-9]{0,40}|maxlength[^0-9]{0,6})\s*:?\s*(\d{1,4})`)
	reExactly  = regexp.MustCompile(`(?:exactly|must be|have|of)\s+(\d{1,3})[ -](?:characters|chars|digits)`)
	reOneOf    = regexp.MustCompile(`(?:one of|any of|either|allowed values?(?: are| is)?|permitted values?(?: are)?|expected(?: one of)?|valid (?:values|options|choices|roles)(?: are| is)?|accepted (?:values|types)(?: are)?|following(?: enum)? values?|must be in|permitted:|choose from|enum(?:eration)?(?: member)?s?:?)[\s:]*[\[({]?\s*((?:["'\x60]?[A-Za-z0-9_\-]+["'\x60]?(?:\s*(?:,|\||/|\bor\b|\band\b)\s*)?)+)`)
	reUnknown  = regexp.MustCompile(`not allowed|unknown|unrecogni[sz]ed|additional propert|unexpected|should not exist|extra (fields|inputs|keys)|not permitted|unsupported (field|property|parameter)|does not exist on|is forbidden|no such (field|property)`)
	reMatch    = regexp.MustCompile(`(do(es)? not|don'?t|must|should) (be )?(match|equal|identical|the same)|mismatch|are not the same`)
	reVerify   = regexp.MustCompile(`(verif|confirm|activat)[a-z]* (your|the|this|link|code|mail|e-?mail|account|it)|(e-?mail|account|address|phone|user)( address| is| has| must be| needs to be| not| yet| been)* (not |un|yet |be )*(been )?(verif|confirm|activat)|not (yet )?(verified|activated|confirmed|active|approved|enabled)|un(verified|confirmed)|(pending|awaiting|waiting for|requires?|needs?) (e-?mail |admin |administrator |account |manual )?(verification|confirmation|activation|approval|review)|inactive account|account (is )?(inactive|disabled|pending|locked)|user is (inactive|disabled)`)
	reCaptcha  = regexp.MustCompile(`captcha|are (you )?(a )?(human|robot)`)
	reInvite   = regexp.MustCompile(`invit(e|ation)|referral code`)
	reOTP      = regexp.MustCompile(`\botp\b|\btotp\b|\bmfa\b|\b2fa\b|two[- ]?factor|second factor|multi[- ]?factor|one[- ]time (code|password|pass)|verification code|authenticator|mfa_?(required|token)|2fa_?required`)
	reClosed   = regexp.MustCompile(`(registration|sign[- ]?up|signup)s?( is| are| has been)? (closed|disabled|not allowed|not open|turned off|unavailable)`)
	reCSRF     = regexp.MustCompile(`csrf|xsrf|cross[- ]site request|authenticity token|page expired|anti-?forgery`)
	reNumberIn = regexp.MustCompile(`\b(must|should|has to|needs to)( only)? (be|contain|consist of)( an?| only| a valid)? (number|integer|numeric|float|decimal|digits?)\b|is not an? (number|integer)|expected (type )?['"]?(number|integer|int|float)|valid (integer|number)|type ['"]?(integer|number)|unable to parse string as an integer|cast to number|into (int|float|long|integer)`)
	reStringIn = regexp.MustCompile(`must be (a |of type )?(string|text)|is not (a|of type) ['"]?string|expected (type )?['"]?string|valid string|into (field [a-z.]+ of type )?string`)
	reBoolIn   = regexp.MustCompile(`must be (a |an |of type )?(boolean|true or false)|valid boolean|is not (a|of type) ['"]?boolean|expected (type )?['"]?bool|must be (accepted|true|agreed|checked)`)
	reListIn   = regexp.MustCompile(`must be an? (array|list)|valid (array|list)|expected (type )?['"]?(array|list)|is not of type ['"]?array`)
	reQuoted   = regexp.MustCompile("[\"'`]([A-Za-z_][A-Za-z0-9_.\\-]{0,60})[\"'`]")
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
	if reTaken.MatchString(text) && (about(factEmail, factUsername, factPhone, factID, factName, "user", "account", "mail") || status == http.StatusConflict) && fact != factTenant {
		a.who.identity()
		a.note("the account exists already: another name was taken")
		return true, obstacleNone
	}
	if reTaken.MatchString(text) && fact == factTenant {
		a.who.facts[factTenant] += " " + clip(a.who.facts[factUsername], 20)
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
	if about(factPassword) && a.passwordRule(text) {
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
