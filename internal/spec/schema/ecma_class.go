package schema

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// class reads a bracketed class.
func (e *ecma) class() error {
	var b strings.Builder
	e.at++
	e.quant = true
	negated := strings.HasPrefix(e.src[e.at:], "^")
	if negated {
		e.at++
	}
	for {
		if e.at >= len(e.src) {
			return fmt.Errorf("%w: a class is not closed", errPattern)
		}
		if e.src[e.at] == ']' {
			e.at++
			break
		}
		if err := e.classItem(&b); err != nil {
			return err
		}
	}
	switch body := b.String(); {
	case body == "" && negated:
		e.put(anyRune)
	case body == "":
		e.put(noRune)
	case negated:
		e.put("[^" + body + "]")
	default:
		e.put("[" + body + "]")
	}
	return nil
}

// classItem reads one rune, range or set of a class.
func (e *ecma) classItem(b *strings.Builder) error {
	if name := posix(e.src[e.at:]); name != "" {
		e.note("POSIX classes")
		if e.engine == forNET {
			return fmt.Errorf("%w: POSIX classes beside look-around", errPattern)
		}
		b.WriteString(name)
		e.at += len(name)
		return nil
	}
	set, low, isSet, err := e.classAtom()
	if err != nil {
		return err
	}
	if isSet {
		b.WriteString(set)
		return nil
	}
	rest := e.src[e.at:]
	if len(rest) < 2 || rest[0] != '-' || rest[1] == ']' {
		writeRange(b, low, low)
		return nil
	}
	e.at++
	set, high, isSet, err := e.classAtom()
	if err != nil {
		return err
	}
	if isSet { // [a-\d]: Annex B reads three members
		writeRange(b, low, low)
		writeRange(b, '-', '-')
		b.WriteString(set)
		return nil
	}
	if high < low {
		return fmt.Errorf("%w: a range runs backwards", errPattern)
	}
	writeRange(b, low, high)
	return nil
}

// posix returns the POSIX class that s starts with and Go knows, or "".
func posix(s string) string {
	if !strings.HasPrefix(s, "[:") {
		return ""
	}
	end := strings.Index(s, ":]")
	if end < 0 {
		return ""
	}
	switch strings.TrimPrefix(s[2:end], "^") {
	case "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
		"word", "xdigit":
		return s[:end+2]
	}
	return ""
}

func (e *ecma) classAtom() (set string, r rune, isSet bool, err error) {
	if e.src[e.at] == '\\' {
		if e.at+1 == len(e.src) {
			return "", 0, false, fmt.Errorf("%w: a lone backslash at the end", errPattern)
		}
		return e.atom(true)
	}
	r, n := utf8.DecodeRuneInString(e.src[e.at:])
	e.at += n
	return "", r, false, nil
}

// writeRange writes the runes from low to high, without the surrogates: no
// string that reaches us holds one, and Go has no place for them.
func writeRange(b *strings.Builder, low, high rune) {
	if surrogate(low) {
		low = 0xE000
	}
	if surrogate(high) {
		high = 0xD7FF
	}
	if low > high {
		return
	}
	fmt.Fprintf(b, `\x{%x}`, low)
	if high > low {
		fmt.Fprintf(b, `-\x{%x}`, high)
	}
}

// categories are the long names of Unicode's general categories.
var categories = map[string]string{
	"Letter": "L", "Cased_Letter": "LC", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll", "Titlecase_Letter": "Lt",
	"Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Combining_Mark": "M", "Nonspacing_Mark": "Mn",
	"Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N", "Decimal_Number": "Nd", "digit": "Nd",
	"Letter_Number": "Nl", "Other_Number": "No", "Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc",
	"Dash_Punctuation": "Pd", "Open_Punctuation": "Ps", "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi",
	"Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm", "Currency_Symbol": "Sc",
	"Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z", "Space_Separator": "Zs", "Line_Separator": "Zl",
	"Paragraph_Separator": "Zp", "Other": "C", "Control": "Cc", "cntrl": "Cc", "Format": "Cf", "Surrogate": "Cs",
	"Private_Use": "Co",
}

// binaries are properties and other languages' names that have an exact class.
var binaries = map[string]string{
	"Any": `\x{0}-\x{10ffff}`, "ASCII": `\x{0}-\x{7f}`, "ASCII_Hex_Digit": `0-9A-Fa-f`, "White_Space": spaces,
}

// foreignSets are Java's and others' POSIX names.
var foreignSets = map[string]string{
	"Alnum": `0-9A-Za-z`, "Alpha": `A-Za-z`, "Digit": `0-9`, "Lower": `a-z`, "Upper": `A-Z`, "Punct": `!-/:-@\[-` + "`" + `{-~`,
	"Space": `\x{9}-\x{d} `, "XDigit": `0-9A-Fa-f`, "Graph": `!-~`, "Print": ` -~`, "Blank": ` \x{9}`, "Cntrl": `\x{0}-\x{1f}\x{7f}`,
	"IsLetter": `\p{L}`, "LD": `\p{L}\p{Nd}`, "all": `\x{0}-\x{10ffff}`, "IsAlphabetic": `\p{L}\p{Nl}`, "IsLatin": `\p{Latin}`, "IsDigit": `\p{Nd}`,
}

// property reads \p{…} after its letter and returns it as part of a class.
func (e *ecma) property(kind byte) (string, error) {
	rest := e.src[e.at:]
	var name string
	switch {
	case strings.HasPrefix(rest, "{"):
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return "", fmt.Errorf("%w: a property's name is not closed", errPattern)
		}
		name = rest[1:end]
		e.at += end + 1
	case rest != "" && isLetter(rest[0]):
		e.note(`\pL`)
		name = rest[:1]
		e.at++
	default:
		return "", fmt.Errorf(`%w: \p needs a name`, errPattern)
	}
	for _, prefix := range []string{"General_Category=", "gc=", "Script=", "sc="} {
		name = strings.TrimPrefix(name, prefix)
	}
	if short, ok := categories[name]; ok {
		name = short
	}
	negate := kind == 'P'
	if strings.HasPrefix(name, "^") {
		e.note(`\p{^…}`)
		negate, name = !negate, name[1:]
	}
	if name == "LC" && !negate {
		return `\p{Lu}\p{Ll}\p{Lt}`, nil
	}
	if set, ok := binaries[name]; ok && !negate {
		return set, nil
	}
	if set, ok := foreignSets[name]; ok && !negate {
		e.note(`\p{` + name + `}`)
		return set, nil
	}
	_, category := unicode.Categories[name]
	_, script := unicode.Scripts[name]
	if !category && !script {
		return "", fmt.Errorf("%w: the property %q is not known", errPattern, name)
	}
	if negate {
		return `\P{` + name + `}`, nil
	}
	return `\p{` + name + `}`, nil
}
