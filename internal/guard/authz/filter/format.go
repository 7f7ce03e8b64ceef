package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/crenel-project/crenel/internal/value"
)

// Formats in which a condition is written for an upstream.
const (
	SQL    = "sql"    // the expression behind WHERE
	UCAST  = "ucast"  // JSON, as OPA's compile API
	OData  = "odata"  // $filter, OData 4.01 part 2 section 5.1.1
	RSQL   = "rsql"   // RSQL, a superset of FIQL
	Fields = "fields" // equalities alone: owner=7&tenant=north
)

// Dialects of SQL.
const (
	PostgreSQL = "postgresql"
	MySQL      = "mysql"
	SQLServer  = "sqlserver"
	SQLite     = "sqlite"
)

// Write writes the condition. A condition that a format cannot say, or only
// wider, is an error.
func (c *Cond) Write(format, dialect string) (string, error) {
	if c.Op == False {
		return "", errors.New("a condition that never holds is a denial, not a filter")
	}
	c = c.columns()
	switch format {
	case UCAST, "":
		b, err := json.Marshal(c)
		return ascii(string(b)), err
	case SQL:
		w := sqlWriter{dialect: dialect}
		return w.cond(c)
	case OData:
		return odata(c)
	case RSQL:
		if c.Op == True {
			return "", nil
		}
		return rsql(c, false)
	case Fields:
		list, err := c.Equalities()
		if err != nil {
			return "", err
		}
		q := url.Values{}
		for _, e := range list {
			q.Set(e.Name, e.Text)
		}
		return q.Encode(), nil
	}
	return "", fmt.Errorf("the format %q is not known", format)
}

// columns leaves out that a field is there where its value is denied as well: a
// row of a table has all its columns.
func (c *Cond) columns() *Cond {
	if c.Op != And && c.Op != Or && c.Op != Not {
		return c
	}
	kids := make([]Cond, 0, len(c.Kids))
	for i := range c.Kids {
		k := &c.Kids[i]
		denied := func(o Cond) bool { return o.Op == Not && slices.Equal(o.Kids[0].Field, k.Field) }
		if c.Op == And && k.Op == Exists && slices.ContainsFunc(c.Kids, denied) {
			continue
		}
		kids = append(kids, *k.columns())
	}
	if c.Op == And && len(kids) == 1 {
		return &kids[0]
	}
	return &Cond{Op: c.Op, Kids: kids}
}

// ascii writes what is not ASCII in JSON as escapes, so that it fits a header.
func ascii(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r <= unicode.MaxASCII:
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Equality is one field that must have one value.
type Equality struct{ Name, Text string }

// Equalities are the condition as fields that must each have a value, which is
// all that many APIs can filter by. Anything else is an error.
func (c *Cond) Equalities() ([]Equality, error) {
	var out []Equality
	switch c.Op {
	case True:
		return nil, nil
	case Eq:
		if c.Other != nil || c.Value.Kind == value.Null || c.Value.Kind >= value.Array {
			return nil, c.cannot("only equality with a text, number or boolean can be said by fields")
		}
		out = []Equality{{c.Field.String(), c.Value.Text}}
	case In:
		return oneText(c.Field, c.Value.Kids, c)
	case Or: // owner = "7" or owner = 7 is one text
		var all []Equality
		for i := range c.Kids {
			list, err := c.Kids[i].Equalities()
			if err != nil || len(list) != 1 {
				return nil, c.cannot("alternatives cannot be said by fields")
			}
			all = append(all, list[0])
		}
		all = slices.Compact(all)
		if len(all) != 1 {
			return nil, c.cannot("alternatives cannot be said by fields")
		}
		out = all
	case And:
		for i := range c.Kids {
			list, err := c.Kids[i].Equalities()
			if err != nil {
				return nil, err
			}
			for _, e := range list {
				if slices.ContainsFunc(out, func(o Equality) bool { return o.Name == e.Name }) {
					return nil, c.cannot("a field cannot be said twice")
				}
				out = append(out, e)
			}
		}
	default:
		return nil, c.cannot("only equality can be said by fields")
	}
	for _, e := range out {
		if err := printable(e.Text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func oneText(f Field, list []value.Value, c *Cond) ([]Equality, error) {
	for i := range list {
		if list[i].Kind == value.Null || list[i].Text != list[0].Text {
			return nil, c.cannot("alternatives cannot be said by fields")
		}
	}
	return []Equality{{f.String(), list[0].Text}}, printable(list[0].Text)
}

func (c *Cond) cannot(why string) error {
	name := names[c.Op]
	if c.Field != nil {
		name += " of " + c.Field.String()
	}
	return fmt.Errorf("%s: %s", name, why)
}

// printable refuses control characters, which no format needs and which are
// read differently by many parsers.
func printable(s string) error {
	if strings.ContainsFunc(s, unicode.IsControl) || !isUTF8(s) {
		return errors.New("a value holds control characters")
	}
	return nil
}

func isUTF8(s string) bool { return strings.ToValidUTF8(s, "") == s }

// identifier reports whether a name can stand in a query as it is.
func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

var odataOps = map[Op]string{Eq: "eq", Ne: "ne", Lt: "lt", Le: "le", Gt: "gt", Ge: "ge"}

func odata(c *Cond) (string, error) {
	switch c.Op {
	case True:
		return "true", nil
	case And, Or:
		parts := make([]string, len(c.Kids))
		for i := range c.Kids {
			var err error
			if parts[i], err = odata(&c.Kids[i]); err != nil {
				return "", err
			}
		}
		return "(" + strings.Join(parts, map[Op]string{And: " and ", Or: " or "}[c.Op]) + ")", nil
	case Not:
		inner, err := odata(&c.Kids[0])
		return "not (" + inner + ")", err
	default:
	}
	name, err := odataField(c.Field)
	if err != nil {
		return "", err
	}
	if c.Other != nil {
		other, err := odataField(c.Other)
		return name + " " + odataOps[c.Op] + " " + other, err
	}
	if op := odataOps[c.Op]; op != "" {
		if c.Op > Ne && c.Value.Kind != value.Number && c.Value.Kind != value.String {
			return "", c.cannot("only numbers and strings have an order")
		}
		lit, err := odataLiteral(&c.Value)
		return name + " " + op + " " + lit, err
	}
	switch c.Op {
	case In:
		parts := make([]string, len(c.Value.Kids))
		for i := range c.Value.Kids {
			if parts[i], err = odataLiteral(&c.Value.Kids[i]); err != nil {
				return "", err
			}
		}
		return name + " in (" + strings.Join(parts, ",") + ")", nil
	case Has:
		lit, err := odataLiteral(&c.Value)
		return name + "/any(e:e eq " + lit + ")", err
	case StartsWith, EndsWith, Contains:
		lit, err := odataLiteral(&c.Value)
		return names[c.Op] + "(" + name + "," + lit + ")", err
	case Exists:
		return name + " ne null", nil
	case Truthy:
		return name + " eq true", nil // narrower: a text is true for OPA as well
	default:
		return "", c.cannot("OData has no such test; give the column's type")
	}
}

func odataField(f Field) (string, error) {
	for _, s := range f {
		if !identifier(s) {
			return "", fmt.Errorf("the column %q is no identifier", f)
		}
	}
	return strings.Join(f, "/"), nil
}

func odataLiteral(v *value.Value) (string, error) {
	switch v.Kind {
	case value.String:
		return "'" + strings.ReplaceAll(v.Text, "'", "''") + "'", printable(v.Text)
	case value.Number, value.Bool:
		return v.Text, nil
	case value.Null:
		return "null", nil
	default:
		return "", errors.New("a list or an object is no literal")
	}
}

// rsql writes RSQL. It has no negation, which goes down to the comparisons.
func rsql(c *Cond, negated bool) (string, error) {
	switch c.Op {
	case Not:
		return rsql(&c.Kids[0], !negated)
	case And, Or:
		sep := map[bool]string{true: ";", false: ","}[(c.Op == And) != negated]
		parts := make([]string, len(c.Kids))
		for i := range c.Kids {
			var err error
			if parts[i], err = rsql(&c.Kids[i], negated); err != nil {
				return "", err
			}
		}
		return "(" + strings.Join(parts, sep) + ")", nil
	default:
	}
	for _, s := range c.Field {
		if !identifier(s) {
			return "", fmt.Errorf("the column %q is no identifier", c.Field)
		}
	}
	type pair struct{ plain, negated string }
	ops := map[Op]pair{Eq: {"==", "!="}, Ne: {"!=", "=="}, Lt: {"=lt=", "=ge="}, Le: {"=le=", "=gt="}, Gt: {"=gt=", "=le="}, Ge: {"=ge=", "=lt="}, In: {"=in=", "=out="}}
	op, ok := ops[c.Op]
	if !ok || c.Other != nil {
		return "", c.cannot("RSQL has no such test")
	}
	word := op.plain
	if negated {
		word = op.negated
	}
	list := []value.Value{c.Value}
	if c.Op == In {
		list = c.Value.Kids
	}
	parts := make([]string, len(list))
	for i := range list {
		if list[i].Kind == value.Null || list[i].Kind >= value.Array {
			return "", c.cannot("RSQL has no null and no lists of lists")
		}
		// Many servers take an asterisk, and what they make of it, for a wildcard, also in quotes.
		if strings.ContainsAny(list[i].Text, "*%") {
			return "", c.cannot("a value holds an asterisk or a percent sign, which servers take for wildcards")
		}
		if err := printable(list[i].Text); err != nil {
			return "", err
		}
		parts[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(list[i].Text) + `"`
	}
	text := parts[0]
	if c.Op == In {
		text = "(" + strings.Join(parts, ",") + ")"
	}
	return c.Field.String() + word + text, nil
}
