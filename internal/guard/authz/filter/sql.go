package filter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/crenel-project/crenel/internal/value"
)

// sqlWriter writes an SQL expression. NULL makes a comparison neither true nor
// false, and such a row is left out: an SQL filter never passes more than OPA
// would, as long as columns compare by their bytes. With a case-insensitive
// collation (the default of MySQL and SQL Server) 'alice' is 'ALICE'.
type sqlWriter struct{ dialect string }

var sqlOps = map[Op]string{Eq: "=", Ne: "<>", Lt: "<", Le: "<=", Gt: ">", Ge: ">="}

func (w sqlWriter) cond(c *Cond) (string, error) {
	switch c.Op {
	case True:
		return "1=1", nil
	case And, Or:
		parts := make([]string, len(c.Kids))
		for i := range c.Kids {
			var err error
			if parts[i], err = w.cond(&c.Kids[i]); err != nil {
				return "", err
			}
		}
		return "(" + strings.Join(parts, map[Op]string{And: " AND ", Or: " OR "}[c.Op]) + ")", nil
	case Not:
		inner, err := w.cond(&c.Kids[0])
		return "NOT (" + inner + ")", err
	default:
	}
	name, err := w.name(c.Field)
	if err != nil {
		return "", err
	}
	if c.Other != nil {
		other, err := w.name(c.Other)
		return name + " " + sqlOps[c.Op] + " " + other, err
	}
	switch c.Op {
	case Eq, Ne, Lt, Le, Gt, Ge:
		if c.Value.Kind == value.Null {
			switch c.Op {
			case Eq:
				return name + " IS NULL", nil
			case Ne:
				return name + " IS NOT NULL", nil
			default:
				return "", c.cannot("nothing is before or after NULL")
			}
		}
		if c.Op > Ne && c.Value.Kind == value.Bool {
			return "", c.cannot("only numbers and strings have an order")
		}
		lit, err := w.literal(&c.Value)
		return name + " " + sqlOps[c.Op] + " " + lit, err
	case In:
		return w.in(name, c)
	case StartsWith, EndsWith, Contains:
		return w.text(name, c)
	case Exists:
		return name + " IS NOT NULL", nil
	case Truthy:
		lit, err := w.literal(&value.Value{Kind: value.Bool, Text: "false"})
		return name + " <> " + lit, err
	default:
		return "", c.cannot("SQL has no such test; give the column's type")
	}
}

func (w sqlWriter) in(name string, c *Cond) (string, error) {
	var parts []string
	null := false
	for i := range c.Value.Kids {
		if c.Value.Kids[i].Kind == value.Null {
			null = true
			continue
		}
		lit, err := w.literal(&c.Value.Kids[i])
		if err != nil {
			return "", err
		}
		parts = append(parts, lit)
	}
	switch {
	case len(parts) == 0:
		return name + " IS NULL", nil
	case null:
		return "(" + name + " IS NULL OR " + name + " IN (" + strings.Join(parts, ", ") + "))", nil
	}
	return name + " IN (" + strings.Join(parts, ", ") + ")", nil
}

// text writes a comparison with a part of a string. LIKE of SQLite ignores case.
func (w sqlWriter) text(name string, c *Cond) (string, error) {
	if w.dialect == SQLite {
		lit, err := w.literal(&c.Value)
		n := len([]rune(c.Value.Text))
		switch {
		case n == 0:
			return "typeof(" + name + ") = 'text'", err
		case c.Op == StartsWith:
			return fmt.Sprintf("substr(%s, 1, %d) = %s", name, n, lit), err
		case c.Op == EndsWith:
			return fmt.Sprintf("substr(%s, -%d) = %s", name, n, lit), err
		}
		return fmt.Sprintf("instr(%s, %s) > 0", name, lit), err
	}
	escaped := value.Value{Kind: value.String, Text: strings.NewReplacer("!", "!!", "%", "!%", "_", "!_", "[", "![").Replace(c.Value.Text)}
	if c.Op != EndsWith {
		escaped.Text += "%"
	}
	if c.Op != StartsWith {
		escaped.Text = "%" + escaped.Text
	}
	lit, err := w.literal(&escaped)
	return name + " LIKE " + lit + " ESCAPE '!'", err
}

func (w sqlWriter) name(f Field) (string, error) {
	parts := make([]string, len(f))
	for i, s := range f {
		if s == "" || printable(s) != nil {
			return "", errors.New("a column's name is empty or holds control characters")
		}
		if parts[i] = s; identifier(s) {
			continue
		}
		switch w.dialect {
		case MySQL:
			parts[i] = "`" + strings.ReplaceAll(s, "`", "``") + "`"
		case SQLServer:
			parts[i] = "[" + strings.ReplaceAll(s, "]", "]]") + "]"
		default:
			parts[i] = `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
	}
	return strings.Join(parts, "."), nil
}

func (w sqlWriter) literal(v *value.Value) (string, error) {
	switch v.Kind {
	case value.Number:
		return v.Text, nil
	case value.Bool:
		if w.dialect == SQLServer || w.dialect == SQLite {
			return map[string]string{"true": "1", "false": "0"}[v.Text], nil
		}
		return strings.ToUpper(v.Text), nil
	case value.String:
		if err := printable(v.Text); err != nil {
			return "", err
		}
		if strings.HasSuffix(v.Text, " ") && (w.dialect == MySQL || w.dialect == SQLServer) {
			// PAD SPACE of the standard: to them 'alice ' is 'alice'.
			return "", errors.New("a value ends with a space, which servers do not count")
		}
		text := strings.ReplaceAll(v.Text, "'", "''")
		switch {
		case w.dialect == SQLServer:
			return "N'" + text + "'", nil
		case w.dialect == SQLite || !strings.Contains(text, `\`):
			return "'" + text + "'", nil
		}
		// Whether a backslash escapes depends on the server's settings (sql_mode,
		// standard_conforming_strings), which nobody here can see.
		return "", errors.New("a value holds a backslash, which servers read in two ways")
	default:
		return "", errors.New("a list or an object is no literal")
	}
}
