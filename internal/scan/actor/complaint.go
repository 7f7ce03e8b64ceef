package actor

import (
	"regexp"
	"strings"

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

// complaintsIn reads what an answer says was wrong, in whatever form frameworks
// say it. It keeps every text, for what stands in an account's way ("check your
// inbox") is often no complaint of a field; the world, which looks for values that
// would do, keeps only what is one (world/feedback.go).
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
