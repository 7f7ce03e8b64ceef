package world

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// A message is read by what it says, not by who wrote it: each pattern below is
// the way that several frameworks put it.
var (
	reRequired = regexp.MustCompile(`(?i)must be defined|\b(is|are|was)? ?(a )?required\b|can'?t be (blank|empty|null|nil)|cannot be (blank|empty|null|nil)|must not be (blank|empty|null)|(should|must) not be empty|may not be (null|blank|empty)|is missing|\bmissing\b|must be (present|provided|supplied|specified|set)|not (provided|supplied|specified|present)|should not be (null|undefined|empty)|field required|must have required|must be given|\bpresence\b|is empty|can not be (blank|empty|null)|not-null|not null constraint|please (enter|provide|specify|supply)|must contain a|is undefined|shouldn't be blank|is needed$|needs? to be (provided|specified|set)|\bno \w+ (was )?(provided|given|specified|supplied)\b|expected .*(received|got) (undefined|null)`)
	reUnknown  = regexp.MustCompile(`(?i)unknown (property|field|parameter|argument|key|name|attribute)|unrecognized|unrecognised|additional propert|unexpected (property|field|key|parameter|argument)|is not allowed$|should not exist|not (a )?(permitted|expected|allowed) (field|property|parameter)|extra (fields|inputs|keys)|unevaluated|no such (field|property)|unpermitted|is not (a )?(known|recognized|recognised)|must not be (present|provided)|unsupported (field|property)`)
	reEnum     = regexp.MustCompile(`(?i)must be (?:["'][^"']+["'],? ?)+or ["']|must be (one of|equal to one of|any of|either)|not one of|one of the following|valid (values|options|choices) (are|is)|permitted values|allowed values|expected one of|not a valid (choice|enum)|is not a valid choice|possible values|accepted values|not in (the )?(list|enum)|is not included in the list|invalid (enum|option)|expected:? ["'].*["'] ?\||input should be '|should be one of|values accepted|unsupported value|not accepted for enum|allowed:|must match one of|(supported|available) (values|options)|choose (one )?from`)
	reTaken    = regexp.MustCompile(`(?i)already (been )?(taken|exist|exists|registered|in use|used|has)|duplicate|must be unique|has already|is taken|not unique|unique constraint|e11000|is in use|not available`)
	reAbsent   = regexp.MustCompile(`(?i)(no such|unknown|invalid) (object|id\b|pk|foreign|reference|user|item|record)|does ?n[o']t exist|not (be )?found|foreign key|invalid pk|no \w+ (matches|with|found|exists)|could(n't| not) find|must exist|selected .* is invalid|is not (a )?(known|existing)|unable to find|there is no such|non-?existent`)
	reMatch    = regexp.MustCompile(`(?i)(do(es)?n'?t|do not|does not|must|should|not) (match|be (the )?(same as|identical to|equal to))(?: (?:the )?["'\x60]?([A-Za-z_][\w ]*)["'\x60]?)?`)
	reFuture   = regexp.MustCompile(`(?i)in the future|must be a (date )?after|future date|later than|must be after|cannot be in the past|can't be in the past|not be in the past|after (today|now)|in the past$`)
	rePast     = regexp.MustCompile(`(?i)(must|should|has to) be (a date )?in the past|past date|must be before|cannot be in the future|can't be in the future|not be in the future|earlier than`)

	reAtLeastChars = regexp.MustCompile(`(?i)(?:at least|minimum(?: length)?(?: is| of)?|longer than or equal to|min(?:imum)?length|more than or equal to|≥|fewer than|shorter than|less than|minlength)\D{0,20}?(\d+)[ -]*(?:character|char|letter|digit|symbol|byte)`)
	reTooShort     = regexp.MustCompile(`(?i)too short(?:.*?(\d+))?|length (?:must be|should be) (?:at least|greater than(?: or equal to)?|>=) ?(\d+)|shorter than the minimum (?:allowed )?length.*?(\d+)|ensure this (?:value|field) has at least (\d+)|minlength.*?(\d+)|length must be between (\d+)|between (\d+) and \d+ char|must not have fewer than (\d+)|(?:min_length|minimum length)\D*(\d+)`)
	reAtMostChars  = regexp.MustCompile(`(?i)(?:at most|maximum(?: length)?(?: is| of)?|shorter than or equal to|no more than|up to|less than or equal to|not exceed|longer than|more than|maxlength|may not be greater than|not be greater than)\D{0,20}?(\d+)[ -]*(?:character|char|letter|digit|symbol|byte)`)
	reTooLong      = regexp.MustCompile(`(?i)too long(?:.*?(\d+))?|length (?:must be|should be) (?:at most|less than(?: or equal to)?|<=) ?(\d+)|longer than the maximum (?:allowed )?length.*?(\d+)|ensure this (?:value|field) has (?:at most|no more than) (\d+)|maxlength.*?(\d+)|must not have more than (\d+)|value too long.*?(\d+)|(?:max_length|maximum length)\D*(\d+)`)
	reLow          = regexp.MustCompile(`(?i)(?:greater than or equal to|at least|not be less than|no less than|minimum(?: value)?(?: is| of)?|must be >=|>=|must be above|min(?:imum)? ?[:=]|not less than|from|or (?:more|greater|higher))\s*(-?\d+(?:\.\d+)?)`)
	reAbove        = regexp.MustCompile(`(?i)(?:greater than|more than|larger than|bigger than|must be >|exceed)\s*(-?\d+(?:\.\d+)?)`)
	rePositive     = regexp.MustCompile(`(?i)positive|non-?zero|greater than zero`)
	reHigh         = regexp.MustCompile(`(?i)(?:less than or equal to|at most|not be greater than|no greater than|not be more than|no more than|maximum(?: value)?(?: is| of)?|must be <=|<=|must be below|max(?:imum)? ?[:=]|not greater than|not exceed|or (?:less|fewer|lower)|up to)\s*(-?\d+(?:\.\d+)?)`)
	reBelow        = regexp.MustCompile(`(?i)(?:less than|smaller than|lower than|must be <|below)\s*(-?\d+(?:\.\d+)?)`)
	reBetween      = regexp.MustCompile(`(?i)(?:between|from|range)\s*\[?\(?(-?\d+(?:\.\d+)?)\s*(?:and|to|-|,|\.\.)\s*(-?\d+(?:\.\d+)?)`)
	reLength       = regexp.MustCompile(`(?i)(?:must|should|has to|needs to|to) (?:have|be|contain|consist of) (?:exactly |precisely )?(?:(\d+) ?(?:to|and|-|–) ?)?(\d+) ?(?:-|–)? ?(?:character|char\b|letter|symbol)`)
	reItems        = regexp.MustCompile(`(?i)(at least|minimum of|fewer than) (\d+|one|an?) (item|element|entr|value)`)

	reType = regexp.MustCompile(`(?i)(?:must be|should be|expected|expects|is not|not|need(?:s|ed)?|be|to be|of type|as|as an?|parse|valid|type)(?: of type| type)?:? (?:an? |the )?(?:valid |whole |json )?["'\x60]?(integer|int|long|number|numeric|float|double|decimal|boolean|bool|string|str|text|array|list|object|dict|dictionary|map|hash|numeric string|int32|int64)\b`)

	formats = []struct {
		want string
		re   *regexp.Regexp
	}{
		{"email", regexp.MustCompile(`(?i)e-?mail`)},
		{"uuid", regexp.MustCompile(`(?i)\bu?uid\b|\bguid\b`)},
		{"url", regexp.MustCompile(`(?i)\burl\b|\buri\b|web address|https address|http address`)},
		{"phone", regexp.MustCompile(`(?i)phone|msisdn|e\.?164|mobile number`)},
		{"date-time", regexp.MustCompile(`(?i)date-?time|datetime|iso.?8601|timestamp|rfc.?3339|localdatetime|zoneddatetime`)},
		{"date", regexp.MustCompile(`(?i)\bdate\b|localdate|yyyy|mm/dd|dd/mm`)},
		{"time", regexp.MustCompile(`(?i)hh:mm|valid time\b`)},
		{"ip", regexp.MustCompile(`(?i)\bip(v4|v6)?\b address|\bipv4\b`)},
		{"card", regexp.MustCompile(`(?i)credit card|card number|luhn|check ?digit|checksum`)},
		{"iban", regexp.MustCompile(`(?i)\biban\b`)},
		{"objectid", regexp.MustCompile(`(?i)object_?id|mongodb id|mongo id|24 (hex|character)`)},
		{"letters", regexp.MustCompile(`(?i)only (contain )?letters|alphabetic|letters only|only alpha\b`)},
		{"alphanumeric", regexp.MustCompile(`(?i)alphanumeric|alpha-numeric|letters and (numbers|digits)`)},
		{"digits", regexp.MustCompile(`(?i)only (contain )?(digits|numbers)|digits only|numeric string|must be \d+ digits|numeric characters`)},
		{"uppercase", regexp.MustCompile(`(?i)upper-?case`)},
		{"lowercase", regexp.MustCompile(`(?i)lower-?case`)},
		{"base64", regexp.MustCompile(`(?i)base ?64`)},
		{"country", regexp.MustCompile(`(?i)iso.?3166|country code`)},
		{"currency", regexp.MustCompile(`(?i)iso.?4217|currency code`)},
		{"password", regexp.MustCompile(`(?i)password (is )?(too )?(weak|common|must contain|should contain)|special character|(one|a) (digit|number) and`)},
	}
)

// classify tells what a message says is wrong.
func (c *Complaint) classify(text string) {
	lower := strings.ToLower(text)
	number := func(re *regexp.Regexp) string {
		m := re.FindStringSubmatch(text)
		for i := len(m) - 1; i > 0; i-- {
			if m[i] != "" {
				return m[i]
			}
		}
		return ""
	}
	switch {
	case reUnknown.MatchString(text):
		c.Rule = isUnknown
	case len(permitted(text)) > 0:
		c.Rule, c.Values = isEnum, permitted(text)
	case reEnum.MatchString(text):
		c.Rule, c.Values = isEnum, enumerated(text)
	case strings.Contains(lower, "password") && formats[len(formats)-1].re.MatchString(text):
		c.Rule, c.Want = isFormat, "password"
	case reTaken.MatchString(text) && !strings.Contains(lower, "does not"):
		c.Rule = isTaken
	case reAtLeastChars.MatchString(text) && !reAtMostFirst(text):
		c.Rule, c.Bound = isShort, number(reAtLeastChars)
	case reTooShort.MatchString(text):
		c.Rule, c.Bound = isShort, number(reTooShort)
	case reAtMostChars.MatchString(text):
		c.Rule, c.Bound = isLong, number(reAtMostChars)
	case reTooLong.MatchString(text):
		c.Rule, c.Bound = isLong, number(reTooLong)
	case reLength.MatchString(text):
		m := reLength.FindStringSubmatch(text)
		c.Rule, c.Bound, c.Other = isLong, m[2], cmp.Or(m[1], m[2])
	case reItems.MatchString(text):
		c.Rule, c.Bound = isShort, "1"
	case reRequired.MatchString(text) && !strings.Contains(lower, "yyyy"):
		c.Rule = isRequired
	case rePast.MatchString(text):
		c.Rule = isPast
	case reFuture.MatchString(text):
		c.Rule = isFuture
	case reBetween.MatchString(text):
		c.Rule, c.Bound = isLow, reBetween.FindStringSubmatch(text)[1]
	case reLow.MatchString(text):
		c.Rule, c.Bound = isLow, number(reLow)
	case reHigh.MatchString(text):
		c.Rule, c.Bound = isHigh, number(reHigh)
	case reAbove.MatchString(text):
		c.Rule, c.Bound = isLow, successor(number(reAbove))
	case reBelow.MatchString(text):
		c.Rule, c.Bound = isHigh, predecessor(number(reBelow))
	case rePositive.MatchString(text) && !strings.Contains(lower, "integer or"):
		c.Rule, c.Bound = isLow, "1"
	case reAbsent.MatchString(text):
		c.Rule = isAbsent
	case reMatch.MatchString(text) && !strings.Contains(lower, "pattern") && !strings.Contains(lower, "format") && !strings.Contains(lower, "regex") && !strings.Contains(lower, "regular"):
		c.Rule = isMatch
		m := reMatch.FindStringSubmatch(text)
		c.Other = strings.TrimSpace(m[len(m)-1])
	case layoutOf(text) != "" && (strings.Contains(lower, "yyyy") || strings.Contains(lower, "hh:mm") || strings.Contains(lower, "iso") || strings.Contains(lower, "%y")):
		c.Rule, c.Want = isFormat, "date"
	default:
		if m := reType.FindStringSubmatch(text); m != nil && !strings.Contains(lower, "expected format") {
			if w := typeName(m[1]); w != "" {
				c.Rule, c.Want = isType, w
				if w != "string" {
					return
				}
			}
		}
		for _, f := range formats {
			if f.re.MatchString(text) {
				c.Rule, c.Want = isFormat, f.want
				return
			}
		}
		if c.Rule == "" {
			c.Rule = isWrong
		}
	}
}

// reAtMostFirst: "longer than 30 characters" is about the most, though it has the words of the least.
func reAtMostFirst(text string) bool {
	lower := strings.ToLower(text)
	return (strings.Contains(lower, "must not") || strings.Contains(lower, "cannot") || strings.Contains(lower, "too long")) && strings.Contains(lower, "longer than") ||
		strings.Contains(lower, "must be less than") || strings.Contains(lower, "must be shorter than") || strings.Contains(lower, "must be fewer than") || strings.Contains(lower, "shorter than or equal to") || strings.Contains(lower, "less than or equal")
}

func typeName(t string) string {
	switch strings.ToLower(t) {
	case "integer", "int", "long", "int32", "int64":
		return "integer"
	case "number", "numeric", "float", "double", "decimal":
		return "number"
	case "boolean", "bool":
		return "boolean"
	case "string", "str", "text":
		return "string"
	case "array", "list":
		return "array"
	case "object", "dict", "dictionary", "map", "hash":
		return "object"
	}
	return ""
}

func successor(n string) string {
	r, ok := bigRat(n)
	if !ok {
		return n
	}
	return r.Add(r, bigOne).FloatString(0)
}

func predecessor(n string) string {
	r, ok := bigRat(n)
	if !ok {
		return n
	}
	return r.Sub(r, bigOne).FloatString(0)
}

var (
	afterEnum = regexp.MustCompile(`(?i)(?:one of(?: the following)?(?: values| fields)?|any of|either|(?:values|options|choices)(?: accepted)?(?: are| is|:)*|should be|enum class|expected|allowed:?|must be|choose (?:one )?from|permitted:?)\s*[:=]?\s*(?:the following values?:?|values?:?)?\s*(.*)$`)
	inQuotes  = regexp.MustCompile(`["'\x60]([^"'\x60]{1,60})["'\x60]`)
	inBracket = regexp.MustCompile(`[\[({]([^\[\](){}]+)[\])}]`)
)

// refusedValue is a value that is quoted only to say that it will not do.
var refusedValue = regexp.MustCompile(`(?i)["'\x60][^"'\x60]*["'\x60] (is not|isn't|was not|not accepted)`)

// received begins what a message says of the value that was sent.
var received = regexp.MustCompile(`(?i)[,;.]? (?:but )?(?:received|got|was|found|instead of|given) `)

// enumerated lists the values that a message allows.
func enumerated(text string) []string {
	if m := received.FindStringIndex(text); m != nil {
		text = text[:m[0]]
	}
	text = refusedValue.ReplaceAllString(text, "")
	rest := text
	if m := afterEnum.FindStringSubmatchIndex(text); m != nil && strings.TrimSpace(text[m[2]:m[3]]) != "" {
		rest = text[m[2]:m[3]]
		// The last of the words that announce a list is the nearest to it.
		for {
			next := afterEnum.FindStringSubmatchIndex(rest)
			if next == nil || strings.TrimSpace(rest[next[2]:next[3]]) == "" || next[0] > 40 {
				break
			}
			rest = rest[next[2]:next[3]]
		}
	}
	if m := inBracket.FindStringSubmatch(rest); m != nil && !strings.Contains(m[1], " ") || m != nil && strings.ContainsAny(m[1], ",|") {
		return splitValues(m[1])
	}
	var out []string
	for _, m := range inQuotes.FindAllStringSubmatch(rest, -1) {
		out = append(out, splitIfList(m[1])...)
	}
	if len(out) > 0 {
		return out
	}
	if i := strings.IndexAny(rest, ".;\n"); i > 0 && !strings.Contains(rest[:i], " .") && i < len(rest)-1 && rest[i+1] == ' ' {
		rest = rest[:i]
	}
	for _, v := range splitValues(rest) {
		if !strings.Contains(v, " ") || strings.ContainsAny(rest, ",|") && len(v) < 40 {
			out = append(out, v)
		}
	}
	return out
}

func splitIfList(v string) []string {
	if strings.ContainsAny(v, ",|") {
		return splitValues(v)
	}
	return []string{v}
}

// aided reads what stands beside a message: rules by name, limits, lists.
func (c *Complaint) aided(n *value.Value) {
	if n == nil {
		return
	}
	for _, name := range []string{"type", "code", "keyword", "rule", "kind", "validator", "tag"} {
		k := n.Get(name)
		if k == nil || k.Kind != value.String {
			continue
		}
		s := strings.ToLower(k.Text)
		switch {
		case c.Rule != isWrong && c.Rule != isFormat:
		case strings.Contains(s, "missing") || strings.Contains(s, "required") || s == "notnull" || s == "notblank" || s == "notempty":
			c.Rule = isRequired
		case strings.Contains(s, "unknown") || strings.Contains(s, "extra") || strings.Contains(s, "additionalprop") || strings.Contains(s, "unrecognized"):
			c.Rule = isUnknown
		case s == "enum" || strings.Contains(s, "literal_error") || strings.Contains(s, "invalid_enum") || strings.Contains(s, "any.only") || s == "invalid_value":
			c.Rule = isEnum
		case strings.Contains(s, "unique") || strings.Contains(s, "taken") || strings.Contains(s, "duplicate") || strings.Contains(s, "already_exist"):
			c.Rule = isTaken
		case strings.Contains(s, "not_found") || strings.Contains(s, "does_not_exist"):
			c.Rule = isAbsent
		}
	}
	for _, holder := range []string{"ctx", "context", "params", "constraints", "attributes", "options", "valids", "enum", "allowedValues", "allowed", "properties"} {
		k := n.Get(holder)
		if k == nil {
			continue
		}
		if k.Kind == value.Array && len(c.Values) == 0 {
			c.Values = textsOf(k)
			if len(c.Values) > 0 && c.Rule == isWrong {
				c.Rule = isEnum
			}
		}
		for _, list := range []string{"allowedValues", "valids", "enum_values", "enumValues", "permitted", "options", "expected", "values"} {
			l := k.Get(list)
			if l != nil && l.Kind == value.Array && (c.Rule == isEnum || c.Rule == isWrong) {
				c.Values, c.Rule = textsOf(l), isEnum
			}
		}
		for _, limit := range []string{"limit", "limit_value", "min", "max", "minimum", "maximum", "ge", "le", "gt", "lt", "min_length", "max_length"} {
			if l := k.Get(limit); l != nil && l.Kind == value.Number && c.Bound == "" {
				c.Bound = l.Text
				switch limit {
				case "gt":
					c.Bound = successor(l.Text)
				case "lt":
					c.Bound = predecessor(l.Text)
				}
			}
		}
	}
	if l := n.Get("options"); l != nil && l.Kind == value.Array && (c.Rule == isWrong || c.Rule == isEnum) {
		c.Values, c.Rule = textsOf(l), isEnum
	}
}

func textsOf(v *value.Value) []string {
	var out []string
	for i := range v.Kids {
		if k := &v.Kids[i]; k.Kind == value.String || k.Kind == value.Number || k.Kind == value.Bool {
			out = append(out, k.Text)
		}
	}
	return out
}

// reWrapper is how Rails asks for the member that all of a body is in: whatever it is
// called, it is a name.
var reWrapper = regexp.MustCompile(`param is missing or the value is empty(?: or invalid)?: (\w+)`)

// sentences name the field themselves; the first group is its name.
var sentences = []*regexp.Regexp{
	regexp.MustCompile(`^["'\x60]?([A-Za-z_][\w\-]*(?:[./\[][\w\-]+\]?)*)["'\x60]?: `),
	regexp.MustCompile(`is not of type '[^']+' - '([^']+)'`),
	reWrapper,
	regexp.MustCompile(`(?i)invalid (?:[a-z]+ )?(?:format|value|type|date|input) (?:for|of|in) (?:the )?(?:field |parameter )?["'\x60]?([A-Za-z_][\w\-]*)`),
	regexp.MustCompile(`Field validation for '([^']+)' failed on the '(?:[^']+)' tag`),
	regexp.MustCompile("(?i)path `([^`]+)`"),
	regexp.MustCompile(`(?i)E11000 duplicate key error.*index: \W*(?:[\w.]+\.\$)?([A-Za-z]\w*?)_-?1`),
	regexp.MustCompile(`(?i)(?:NOT NULL|UNIQUE) constraint failed: (?:\w+\.)?(\w+)`),
	regexp.MustCompile(`(?i)null value in column "(\w+)"`),
	regexp.MustCompile(`(?i)Key \((\w+)\)=\([^)]*\) already exists`),
	regexp.MustCompile(`(?i)(?:required|missing)(?: request)?(?: query| path| body| header| form| json| mandatory)* (?:parameter|param|property|field|key|attribute|argument|header|value)s?(?: in (?:the )?(?:body|query|path|request))?(?: named| called| is|:)? ?["'\x60]?([A-Za-z_][\w.\-]*)["'\x60]?`),
	regexp.MustCompile(`(?i)(?:must have|should have|have) required property '([^']+)'`),
	regexp.MustCompile(`^["'\x60]([A-Za-z_][\w.\[\]\-]*)["'\x60] (?i:is|must|should|cannot|can't|does|has|contains|length|with|fails|not|may|needs|\()`),
	regexp.MustCompile(`(?i)'([A-Za-z_][\w.\-]*)' is a required property`),
	regexp.MustCompile(`(?i)KeyError: ?['"](\w+)['"]`),
	regexp.MustCompile(`(?i)(?:unknown|unrecognized|unexpected|unsupported|invalid|bad|malformed|illegal)(?: or missing)?(?: value)?(?: for| in)?(?: the)?(?: request| query| path)? (?:property|field|parameter|param|key|attribute|argument|value for|column|input):? ["'\x60]?([A-Za-z_][\w.\-]*)["'\x60]?`),
	regexp.MustCompile(`(?i)(?:property|field|parameter|param|attribute|argument|key|column) ["'\x60]?([A-Za-z_][\w.\-]*)["'\x60]? (?:is|must|should|cannot|can't|does|has|was|may|needs|not|with|required)`),
	regexp.MustCompile(`(?i)["'\x60]([A-Za-z_][\w.\-]*)["'\x60] (?:field|property|parameter|param|attribute|argument) (?:is|must|should|cannot|was)`),
	regexp.MustCompile(`(?i)^(?:the )?(?:body|query|params|headers|querystring|request)[./]([A-Za-z_][\w./\-]*) (?:must|should|is|cannot|may|has)`),
	regexp.MustCompile(`(?i)^(?:property )?([A-Za-z_][\w\-]*(?:[./][\w\-]+)*)(?: field| parameter| property| value)?:? (?:is (?:a )?(?:required|missing|invalid|not|already|taken|too|mandatory|empty|undefined|needed|unknown)|must|should|cannot|can't|can not|may not|has (?:already|to)|does not|doesn't|already|needs to|not (?:provided|found|specified|valid|a)|required\b|missing\b|is$)`),
	regexp.MustCompile(`(?i)^the ([A-Za-z_][\w \-]{0,40}?)(?: field| parameter| property| value)? (?:is|must|should|cannot|can't|may not|has|does not|format is|confirmation does not)`),
	regexp.MustCompile(`(?i)^([A-Z][a-z]+(?: [a-z]+){0,3}) (?:can't|cannot|is (?:required|missing|invalid|too|not|already|reserved)|must|should|has already|does ?n.t match|doesn't)`),
	regexp.MustCompile(`(?i)(?:please (?:enter|provide|specify|supply)|you must (?:provide|specify|supply|enter)|provide|no|invalid|missing|wrong|bad|incorrect|unknown|unsupported|duplicate) (?:an? |the |your )?(?:valid )?["'\x60]?([A-Za-z_][\w\-]*)["'\x60]?(?: (?:provided|given|specified|supplied|value|format|in request|is required|was))?[.!]?$`),
	regexp.MustCompile(`(?i)invalid ([A-Za-z_][\w\-]*)(?: format| value)?[,:;. ]`),
	regexp.MustCompile(`(?i)\["?([A-Za-z_]\w*)"?\]`),
}

// notNames are words that the patterns above may take for a field.
var notNames = map[string]bool{
	"request": true, "body": true, "value": true, "field": true, "parameter": true, "property": true, "data": true, "input": true, "json": true, "it": true, "this": true, "that": true, "you": true, "user": false, "the": true, "payload": true,
	"content": true, "server": true, "error": true, "validation": true, "object": true, "argument": true, "key": true, "token": false, "header": true, "an": true, "a": true, "is": true, "in": true, "credentials": true, "authorization": true, "authentication": true, "and": true, "or": true, "of": true, "to": true, "for": true, "there": true, "what": true, "operation": true, "requests": true, "something": true, "some": true, "one": true, "required": true, "query": true, "params": true, "resource": true, "not": true, "all": true, "fields": true, "parameters": true, "properties": true, "syntax": true, "format": true, "access": true, "session": true, "must": true,
}

// sentence reads a message that names its field itself.
func (r *complaintReader) sentence(text string) {
	text = strings.TrimSpace(cut(text, maxMessage))
	if text == "" || len(r.out) >= maxComplaints || !complains(text) && !reRequired.MatchString(text) && !reAbsent.MatchString(text) && !strings.Contains(text, "Key") && len(permitted(text)) == 0 {
		return
	}
	if r.read++; r.read > maxSentences {
		return
	}
	if parts := splitSentences(text); len(parts) > 1 {
		for _, p := range parts {
			r.sentence(p)
		}
		return
	}
	for _, re := range sentences {
		m := re.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		in, name := cleanField(m[1])
		if strings.HasSuffix(name, "Error") || strings.HasSuffix(name, "Exception") || m[1] == "Key" || m[1] == "Path" {
			continue
		}
		if in == "body" && name == "" && (reTooShort.MatchString(text) || reTooLong.MatchString(text)) {
			name = m[1] // a field that is called so
		} else if name == "" || notNames[strings.ToLower(name)] && re != reWrapper {
			continue
		}
		c := Complaint{In: in, Field: name, Text: text}
		c.classify(strings.Replace(text, m[1], "", 1))
		if c.Rule == isWrong {
			c.classify(text)
		}
		if i := strings.Index(text, "failed on the '"); i >= 0 { // go-playground/validator
			tag, _, _ := strings.Cut(text[i+len("failed on the '"):], "'")
			c.Rule, c.Want = tagRule(tag)
		}
		if strings.Contains(text, "NOT NULL") || strings.Contains(text, "null value in column") || strings.HasPrefix(text, "KeyError") {
			c.Rule = isRequired
		}
		for _, old := range r.out {
			if old.Field == c.Field && old.Rule == c.Rule {
				return
			}
		}
		r.out = append(r.out, c)
		return
	}
	c := Complaint{Text: text}
	if c.classify(text); c.Rule != isWrong {
		r.out = append(r.out, c)
	}
}

func tagRule(tag string) (rule, string) {
	switch tag {
	case "required":
		return isRequired, ""
	case "email", "uuid", "url", "ip":
		return isFormat, tag
	case "uri", "http_url":
		return isFormat, "url"
	case "uuid4":
		return isFormat, "uuid"
	case "datetime":
		return isFormat, "date"
	case "e164":
		return isFormat, "phone"
	case "oneof":
		return isEnum, ""
	case "min", "gte", "gt":
		return isLow, ""
	case "max", "lte", "lt":
		return isHigh, ""
	case "alphanum":
		return isFormat, "alphanumeric"
	case "alpha":
		return isFormat, "letters"
	case "numeric", "number":
		return isType, "number"
	}
	return isWrong, ""
}

var sentenceEnd = regexp.MustCompile(`(?:; |\n+|, (?:and )?"|\. (?:[A-Z"'\x60])|,(?:Key: ))`)

// splitSentences parts a message that holds several complaints.
func splitSentences(text string) []string {
	if strings.Contains(text, "\n") || strings.Contains(text, "; ") {
		var out []string
		for p := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ';' }) {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, p)
			}
		}
		return out
	}
	locs := sentenceEnd.FindAllStringIndex(text, -1)
	if locs == nil {
		return []string{text}
	}
	var out []string
	last := 0
	for _, l := range locs {
		rest := text[l[0]:]
		// A list of values after "one of" is one sentence.
		if rest[0] == ',' && reEnum.MatchString(text[last:l[0]]) || !complains(text[l[0]:]) {
			continue
		}
		out = append(out, strings.TrimSpace(text[last:l[0]]))
		last = l[0] + 1
		for last < len(text) && (text[last] == ' ' || text[last] == ',' || text[last] == '.') {
			last++
		}
		if strings.HasPrefix(text[last:], "and ") {
			last += 4
		}
	}
	return append(out, strings.TrimSpace(text[last:]))
}
