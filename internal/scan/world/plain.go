package world

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/crenel-project/crenel/internal/scan/graph"
)

// byName are values that services of all kinds take for what is called so. The
// first that fits the schema is used. Cards and accounts are those that their
// issuers publish for tests; domains are those of RFC 2606.
var byName = []struct {
	words  string // all of them are in the name
	values []string
}{
	{"card number", []string{`"4242424242424242"`, `"4111111111111111"`, `4242424242424242`}},
	{"credit card", []string{`"4242424242424242"`, `4242424242424242`}},
	{"cardnumber", []string{`"4242424242424242"`, `4242424242424242`}},
	{"pan", []string{`"4242424242424242"`}},
	{"cvv", []string{`"123"`, `123`}}, {"cvc", []string{`"123"`, `123`}}, {"cvc2", []string{`"123"`, `123`}}, {"security code", []string{`"123"`, `123`}},
	{"exp month", []string{`12`, `"12"`}}, {"expiry month", []string{`12`, `"12"`}}, {"expiration month", []string{`12`, `"12"`}},
	{"exp year", []string{`2031`, `"2031"`, `"31"`, `31`}}, {"expiry year", []string{`2031`, `"2031"`, `"31"`, `31`}}, {"expiration year", []string{`2031`, `"2031"`, `"31"`, `31`}},
	{"expiry", []string{`"12/31"`, `"2031-12-31"`, `"12/2031"`}}, {"exp", []string{`"12/31"`, `"2031-12-31"`}}, {"expires", []string{`"2031-12-31"`}},
	{"iban", []string{`"DE89370400440532013000"`, `"GB82WEST12345698765432"`}}, {"bic", []string{`"COBADEFFXXX"`, `"DEUTDEFF"`}}, {"swift", []string{`"COBADEFFXXX"`, `"DEUTDEFF"`}},
	{"account number", []string{`"532013000"`, `"0532013000"`, `532013000`}}, {"routing number", []string{`"110000000"`}}, {"sort code", []string{`"108800"`, `"10-88-00"`}},
	{"vat", []string{`"DE136695976"`}}, {"ssn", []string{`"078-05-1120"`, `"078051120"`}}, {"isbn", []string{`"9783161484100"`, `"978-3-16-148410-0"`}}, {"ean", []string{`"4006381333931"`}}, {"barcode", []string{`"4006381333931"`}},
	{"vin", []string{`"1HGCM82633A004352"`}}, {"imei", []string{`"490154203237518"`}},
	{"country code", []string{`"DE"`, `"DEU"`, `"+49"`, `"49"`}}, {"country", []string{`"DE"`, `"DEU"`, `"Germany"`}}, {"nationality", []string{`"DE"`, `"German"`}},
	{"currency", []string{`"EUR"`, `"USD"`, `"eur"`}}, {"language", []string{`"en"`, `"en-US"`, `"eng"`}}, {"lang", []string{`"en"`, `"en-US"`}}, {"locale", []string{`"en-US"`, `"en_US"`, `"en"`}},
	{"timezone", []string{`"Europe/Berlin"`, `"UTC"`}}, {"time zone", []string{`"Europe/Berlin"`, `"UTC"`}}, {"tz", []string{`"Europe/Berlin"`, `"UTC"`}},
	{"postcode", []string{`"10117"`, `"SW1A 1AA"`, `10117`}}, {"postal code", []string{`"10117"`, `"SW1A 1AA"`, `10117`}}, {"zip", []string{`"10117"`, `10117`}}, {"pincode", []string{`"110001"`, `"1234"`, `110001`}},
	{"latitude", []string{`52.52`, `"52.52"`}}, {"lat", []string{`52.52`, `"52.52"`}}, {"longitude", []string{`13.405`, `"13.405"`}}, {"lng", []string{`13.405`, `"13.405"`}}, {"lon", []string{`13.405`, `"13.405"`}}, {"long", []string{`13.405`, `"13.405"`}},
	{"first name", []string{`"Ada"`}}, {"last name", []string{`"Byron"`}}, {"surname", []string{`"Byron"`}}, {"full name", []string{`"Ada Byron"`}}, {"given name", []string{`"Ada"`}}, {"family name", []string{`"Byron"`}},
	{"street", []string{`"Main Street 1"`}}, {"address", []string{`"Main Street 1"`}}, {"city", []string{`"Berlin"`}}, {"region", []string{`"Berlin"`, `"eu-central-1"`}}, {"state", []string{`"BE"`, `"Berlin"`, `"active"`}}, {"province", []string{`"Berlin"`}},
	{"house number", []string{`"1"`, `1`}}, {"company", []string{`"Crenel"`}}, {"gender", []string{`"female"`, `"F"`, `"other"`}}, {"sex", []string{`"female"`, `"F"`}}, {"title", []string{`"Crenel"`}},
	{"color", []string{`"#336699"`, `"blue"`}}, {"colour", []string{`"#336699"`, `"blue"`}}, {"ip", []string{`"192.0.2.1"`}}, {"hostname", []string{`"host.example.com"`}}, {"host", []string{`"host.example.com"`}}, {"domain", []string{`"example.com"`}}, {"port", []string{`8080`, `"8080"`}},
	{"mac", []string{`"00:00:5e:00:53:01"`}}, {"user agent", []string{`"Mozilla/5.0"`}}, {"mime", []string{`"text/plain"`}}, {"content type", []string{`"text/plain"`, `"application/json"`}}, {"filename", []string{`"note.txt"`}}, {"file name", []string{`"note.txt"`, `"paper.pdf"`}},
	{"cron", []string{`"0 9 * * 1"`}}, {"version", []string{`"1.0.0"`, `"1"`, `1`}}, {"rating", []string{`4`, `"4"`}}, {"stars", []string{`4`}}, {"score", []string{`4`}}, {"age", []string{`36`, `"36"`}}, {"year", []string{`2024`, `"2024"`}}, {"month", []string{`6`, `"06"`, `"6"`}}, {"day", []string{`15`, `"15"`}},
	{"quantity", []string{`1`, `"1"`}}, {"qty", []string{`1`, `"1"`}}, {"count", []string{`1`, `"1"`}}, {"guests", []string{`1`}}, {"page", []string{`1`, `"1"`, `0`}}, {"offset", []string{`0`, `"0"`}}, {"limit", []string{`20`, `"20"`, `10`}}, {"size", []string{`20`, `"M"`, `10`}},
	{"price", []string{`10`, `"10.00"`, `10.5`}}, {"amount", []string{`10`, `"10.00"`, `1000`}}, {"total", []string{`10`, `"10.00"`}}, {"balance", []string{`10`, `"10.00"`}}, {"weight", []string{`1`, `"1"`, `100`}}, {"height", []string{`10`}}, {"width", []string{`10`}}, {"percent", []string{`10`}}, {"discount", []string{`10`}}, {"duration", []string{`60`, `"PT1H"`}},
	{"scope", []string{`"read"`}}, {"grant type", []string{`"password"`}}, {"emoji", []string{`"👍"`}}, {"template", []string{`"A note."`}}, {"query", []string{`"a"`}}, {"search", []string{`"a"`}}, {"q", []string{`"a"`}}, {"keyword", []string{`"a"`}}, {"term", []string{`"a"`}},
	{"remember", []string{`true`}}, {"agree", []string{`true`, `"true"`, `"on"`}}, {"terms", []string{`true`, `"true"`}}, {"accept", []string{`true`, `"true"`}}, {"consent", []string{`true`}},
}

// plain lists values for a spot that mean no harm, the likeliest first.
func (m *maker) plain(s *spot) []string {
	var out []string
	words := wordsOf(s.name)
	format, description := "", ""
	if s.schema != nil {
		format, description = strings.ToLower(s.schema.Format()), s.schema.Description()
	}
	out = append(out, mentioned(description)...)
	out = append(out, m.dates(s, words, format, description)...)
	switch meaning := s.meaning(); {
	case meaning == graph.MeansPassword || format == "password":
		if like := m.w.passwordLike(); like != "" {
			out = append(out, like)
		}
		out = append(out, `"Cr3nel-Pass!word"`, `"Cr3nel!9"`, `"Cr3nel99"`, `"123456"`, `"1234"`)
	case meaning == graph.MeansEmail || format == "email" || format == "idn-email":
		out = append(out, `"crenel@example.com"`)
	case meaning == graph.MeansPhone || format == "phone":
		out = append(out, `"+4915112345678"`, `"+14155552671"`, `"4155552671"`, `"015112345678"`, `4155552671`)
	case meaning == graph.MeansURL || meaning == graph.MeansCallback || format == "uri" || format == "url":
		out = append(out, `"https://example.com/"`, `"https://example.com"`, `"http://example.com/a"`)
	case meaning == graph.MeansUsername:
		out = append(out, `"crenel"`)
	case meaning == graph.MeansOTP:
		out = append(out, `"123456"`, `"1234"`, `123456`, `1234`)
	case meaning == graph.MeansFileName:
		out = append(out, `"note.txt"`, `"paper.pdf"`, `"picture.png"`)
	case meaning == graph.MeansQuantity:
		out = append(out, "1")
	case meaning == graph.MeansMoney:
		out = append(out, "10", "100", "1000", `"10.00"`)
	case meaning == graph.MeansPage:
		out = append(out, "1", "0")
	case meaning == graph.MeansPageSize:
		out = append(out, "20", "10")
	}
	switch format {
	case "uuid":
		out = append(out, quoted(uuidOf(m.w.mint.sum())))
	case "ipv4":
		out = append(out, `"192.0.2.1"`)
	case "ipv6":
		out = append(out, `"2001:db8::1"`)
	case "hostname":
		out = append(out, `"host.example.com"`)
	case "byte", "base64":
		out = append(out, `"QSBub3RlLg=="`)
	}
	around := words // with what it is a member of: the number of a card
	if m.op.About != nil {
		around = append(wordsOf(m.op.About.Name), words...)
	}
	for _, row := range byName {
		want := strings.Fields(row.words)
		if all(around, want) && has(words, want[len(want)-1]) {
			out = append(out, row.values...)
		}
	}
	switch s.typ() {
	case "boolean":
		out = append(out, "true", "false")
	case "integer":
		out = append(out, "1", "10", "100", "2")
	case "number":
		out = append(out, "1", "1.5", "10", "100")
	case "string", "":
		if s.kind != "path" {
			out = append(out, `"crenel"`, `"A note."`, `"abc"`, `"1"`)
		}
	}
	return append(out, s.bounds()...)
}

func all(words, want []string) bool {
	for _, w := range want {
		if !has(words, w) {
			return false
		}
	}
	return true
}

// bounds are the numbers at the ends of what a schema allows.
func (s *spot) bounds() []string {
	if s.schema == nil {
		return nil
	}
	var out []string
	b := s.schema.Bounds()
	for _, text := range []string{b.Minimum, b.Maximum} {
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

var (
	oneOf  = regexp.MustCompile(`(?i)(?:one of|either|allowed values?(?: are)?|valid values?(?: are)?|possible values?(?: are)?|must be|can be|values?)\s*[:=]?\s*\[?((?:["'` + "`" + `]?[\w.\-]+["'` + "`" + `]?\s*(?:,|\||/|\bor\b|\band\b)\s*)+["'` + "`" + `]?[\w.\-]+["'` + "`" + `]?)`)
	eg     = regexp.MustCompile(`(?i)(?:e\.g\.|eg\.|for example|example|such as|like)[:,]?\s*["'` + "`" + `]([^"'` + "`" + `]{1,100})["'` + "`" + `]`)
	egBare = regexp.MustCompile(`(?i)(?:e\.g\.|for example|example)[:,]?\s*([A-Za-z0-9@_.:+\-/]{1,60})`)
)

// mentioned are the values that a description or a message names.
func mentioned(text string) []string {
	if text == "" {
		return nil
	}
	var out []string
	if m := oneOf.FindStringSubmatch(text); m != nil {
		for _, v := range splitValues(m[1]) {
			out = append(out, typed(v)...)
		}
	}
	if m := eg.FindStringSubmatch(text); m != nil {
		out = append(out, typed(m[1])...)
	} else if m := egBare.FindStringSubmatch(text); m != nil {
		out = append(out, typed(strings.TrimRight(m[1], "."))...)
	}
	return out
}

var between = regexp.MustCompile(`\s*(?:,|\||/|\bor\b|\band\b)\s*`)

func splitValues(text string) []string {
	var out []string
	for _, v := range between.Split(text, -1) {
		if v = strings.Trim(v, " \t\"'`[](){}."); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// typed writes a text as a JSON string, and as a number or a boolean where it looks like one.
func typed(v string) []string {
	if isNumber(v) || v == "true" || v == "false" {
		return []string{v, quoted(v)}
	}
	return []string{quoted(v)}
}

// layouts are how dates are written, with the words that ask for them.
var layouts = []struct {
	pattern *regexp.Regexp
	layout  string
}{
	{regexp.MustCompile(`(?i)yyyy-mm-dd[t ]+hh:mm:ss(?:\.s+)?z|iso.?8601|rfc.?3339|date.?time`), "2006-01-02T15:04:05Z"},
	{regexp.MustCompile(`(?i)yyyy-mm-dd hh:mm:ss`), "2006-01-02 15:04:05"},
	{regexp.MustCompile(`(?i)yyyy-mm-dd[t ]hh:mm`), "2006-01-02T15:04"},
	{regexp.MustCompile(`(?i)yyyy-mm-dd|%Y-%m-%d|Y-m-d`), "2006-01-02"},
	{regexp.MustCompile(`(?i)dd/mm/yyyy|d/m/y\b|%d/%m/%Y`), "02/01/2006"},
	{regexp.MustCompile(`(?i)mm/dd/yyyy|m/d/y\b|%m/%d/%Y`), "01/02/2006"},
	{regexp.MustCompile(`(?i)dd-mm-yyyy|d-m-y\b|%d-%m-%Y`), "02-01-2006"},
	{regexp.MustCompile(`(?i)dd\.mm\.yyyy`), "02.01.2006"},
	{regexp.MustCompile(`(?i)yyyy/mm/dd`), "2006/01/02"},
	{regexp.MustCompile(`(?i)yyyymmdd`), "20060102"},
	{regexp.MustCompile(`(?i)\bmm/yyyy\b`), "01/2006"},
	{regexp.MustCompile(`(?i)\bmm/yy\b`), "01/06"},
	{regexp.MustCompile(`(?i)\byyyy-mm\b`), "2006-01"},
	{regexp.MustCompile(`(?i)hh:mm:ss`), "15:04:05"},
	{regexp.MustCompile(`(?i)hh:mm`), "15:04"},
}

// layoutOf is the layout that a text asks for, "" for none.
func layoutOf(text string) string {
	for _, l := range layouts {
		if l.pattern.MatchString(text) {
			return l.layout
		}
	}
	return ""
}

// exampleLayouts are those that an example is compared with.
var exampleLayouts = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02", "02/01/2006", "01/02/2006", "02-01-2006", "02.01.2006", "2006/01/02", "20060102", "2006-01", "01/06", "15:04:05", "15:04", time.RFC1123, time.RFC1123Z}

// dates lists values for a spot that wants a day or a moment.
func (m *maker) dates(s *spot, words []string, format, description string) []string {
	switch {
	case format == "date" || format == "date-time" || format == "datetime" || format == "time" || s.meaning() == graph.MeansDate:
	case s.in == nil && has(words, "date", "datetime", "deadline", "birthday", "dob"):
	default:
		return nil
	}
	when := m.w.moment(words)
	var out []string
	if m.w.o.Now != nil {
		for _, e := range s.examples() {
			text := scalarText(e)
			for _, l := range exampleLayouts {
				if _, err := time.Parse(l, text); err == nil {
					out = append(out, quoted(when.Format(l)))
					break
				}
			}
		}
	}
	if l := layoutOf(description); l != "" {
		out = append(out, quoted(when.Format(l)))
	}
	switch format {
	case "date":
		out = append(out, quoted(when.Format("2006-01-02")))
	case "time":
		out = append(out, quoted(when.Format("15:04:05Z")), quoted(when.Format("15:04:05")), quoted(when.Format("15:04")))
	default:
		out = append(out, quoted(when.Format("2006-01-02T15:04:05Z")))
	}
	if has(words, "time") && !has(words, "date") {
		out = append(out, quoted(when.Format("15:04")), quoted(when.Format("15:04:05")))
	}
	if has(words, "year") {
		out = append([]string{strconv.Itoa(when.Year()), quoted(when.Format("2006"))}, out...)
	}
	for _, l := range []string{"2006-01-02", "2006-01-02T15:04:05Z", "2006-01-02 15:04:05", "02/01/2006", "01/02/2006", "2006-01", "15:04", "01/06"} {
		out = append(out, quoted(when.Format(l)))
	}
	return append(out, strconv.FormatInt(when.Unix(), 10), strconv.FormatInt(when.UnixMilli(), 10))
}

// moment is a time that fits a name: starts lie in the future and before their
// ends, births in the past.
func (w *World) moment(words []string) time.Time {
	day := w.o.Now().UTC().Truncate(24 * time.Hour).Add(10 * time.Hour)
	switch {
	case has(words, "birth", "birthday", "birthdate", "dob", "born"):
		return time.Date(1990, 5, 17, 10, 0, 0, 0, time.UTC)
	case has(words, "expiry", "expires", "expiration", "expire", "valid", "until"):
		return day.AddDate(2, 0, 0)
	case has(words, "issued", "created", "hired", "hire", "joined", "since", "purchased", "purchase", "manufactured", "occurred", "past", "founded", "graduated"):
		return day.AddDate(0, 0, -30)
	case has(words, "end", "ends", "to", "checkout", "return", "finish", "out", "close", "due", "deadline", "arrival", "dropoff", "till"):
		return day.AddDate(0, 0, 63)
	}
	return day.AddDate(0, 0, 60)
}
