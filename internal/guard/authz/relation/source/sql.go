package source

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/guard/authz/relation"
)

// rowsOf runs a query in a read-only transaction and calls f with each row.
type rowsOf func(ctx context.Context, query string, args []any, f func(names []string, values []any) error) error

// sqlOrigin reads from a database.
type sqlOrigin struct {
	cfg *config.SQLSource
	bounds
	query rowsOf
	end   func()
}

func newSQL(c *config.SQLSource, b bounds) *sqlOrigin {
	o := &sqlOrigin{cfg: c, bounds: b}
	if c.Driver == "sqlite" {
		s := &sqliteReader{path: c.Path}
		o.query, o.end = s.rows, s.close
	} else {
		p := &postgresReader{dsn: c.DSN}
		o.query, o.end = p.rows, p.close
	}
	return o
}

func (o *sqlOrigin) close() { o.end() }

func (o *sqlOrigin) look(ctx context.Context, last *version, whole bool) (*version, error) {
	if whole || o.cfg.Changed == "" || last.mark == nil {
		return o.whole(ctx)
	}
	t := newChanges(o.cfg.Rows, o.bounds)
	t.mark = last.mark
	if err := o.query(ctx, o.wrap(o.cfg.Changed, false), []any{last.mark}, o.row(t)); err != nil {
		return nil, fmt.Errorf("asking for changes: %w", err)
	}
	next := *last
	var err error
	if next.doc, err = t.apply(last.doc); err != nil {
		return nil, err
	}
	next.mark = t.mark
	return &next, nil
}

func (o *sqlOrigin) whole(ctx context.Context) (*version, error) {
	// Rows that go into one member are asked for one after the other, so that
	// none need be held.
	t := newIntake(o.cfg.Rows, o.bounds, true)
	if err := o.query(ctx, o.wrap(o.cfg.Query, o.cfg.Many || len(o.cfg.Key) > 1), nil, o.row(t)); err != nil {
		return nil, fmt.Errorf("asking for all: %w", err)
	}
	doc, err := t.finish()
	if err != nil {
		return nil, err
	}
	return &version{doc: doc, mark: t.mark, rows: t.rows}, nil
}

// cursorColumn carries the cursor as the database has it. The SQLite driver makes
// a time of a column that is declared as one, which would not compare the same.
const cursorColumn = "crenel_cursor"

// wrap asks for a query's rows in the order of their key, where that matters.
func (o *sqlOrigin) wrap(query string, order bool) string {
	query = strings.TrimRight(query, "; \t\n")
	lite := o.cfg.Driver == "sqlite" && o.cfg.Cursor != ""
	if !order && !lite {
		return query
	}
	columns := "*"
	if lite {
		columns += ", +" + quoted(o.cfg.Cursor) + " AS " + cursorColumn
	}
	out := "SELECT " + columns + " FROM (" + query + "\n) AS crenel_rows"
	if order {
		keys := make([]string, len(o.cfg.Key))
		for i, k := range o.cfg.Key {
			keys[i] = quoted(k)
		}
		out += " ORDER BY " + strings.Join(keys, ", ")
	}
	return out
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// row hands rows on, with columns of JSON decoded.
func (o *sqlOrigin) row(t *intake) func([]string, []any) error {
	var texts []int
	cursor := -1
	var seen []string
	tree := relation.NewTree(maxDepth)
	return func(names []string, values []any) error {
		if seen == nil {
			seen = slices.Clone(names)
			if cursor = slices.Index(seen, cursorColumn); cursor >= 0 {
				seen = seen[:cursor]
			}
			for _, c := range o.cfg.JSON {
				i := slices.Index(seen, c)
				if i < 0 {
					return fmt.Errorf("the rows have no column %s (json)", c)
				}
				texts = append(texts, i)
			}
		}
		if cursor >= 0 {
			if at := slices.Index(seen, o.cfg.Cursor); at >= 0 {
				values[at] = values[cursor]
			}
			values = values[:cursor]
		}
		for _, i := range texts {
			v, err := decodeJSON(tree, values[i])
			if err != nil {
				return fmt.Errorf("column %s: %w", seen[i], err)
			}
			values[i] = v
		}
		return t.add(seen, values)
	}
}

func decodeJSON(tree *relation.Tree, v any) (any, error) {
	var s string
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		return nil, fmt.Errorf("%T holds no JSON", v)
	}
	if err := relation.NewJSON(strings.NewReader(s), tree).Document(); err != nil {
		return nil, err
	}
	return tree.Take(), nil
}

// sqliteReader reads from a file, which it opens for reading alone.
type sqliteReader struct {
	path string
	db   *sql.DB
}

func (s *sqliteReader) open() error {
	if s.db != nil {
		return nil
	}
	q := url.Values{"mode": {"ro"}, "_pragma": {"query_only(1)", "busy_timeout(5000)"}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: s.path}).EscapedPath(), RawQuery: q.Encode()}
	var err error
	if s.db, err = sql.Open("sqlite", u.String()); err != nil {
		return fmt.Errorf("opening %s: %w", s.path, err)
	}
	s.db.SetMaxOpenConns(1)
	return nil
}

func (s *sqliteReader) close() {
	if s.db != nil {
		_ = s.db.Close() // it was only read from
		s.db = nil
	}
}

func (s *sqliteReader) rows(ctx context.Context, query string, args []any, f func([]string, []any) error) (err error) {
	if err := s.open(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.close() // a file that was replaced is opened anew
		}
	}()
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("querying: %w", err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return fmt.Errorf("querying: %w", err)
	}
	values, into := make([]any, len(names)), make([]any, len(names))
	for i := range into {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return fmt.Errorf("reading rows: %w", err)
		}
		if err := f(names, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading rows: %w", err)
	}
	return nil
}

// postgresReader reads over one connection, which it keeps while all is well.
type postgresReader struct {
	dsn  config.Secret
	conn *pgx.Conn
}

func (p *postgresReader) close() {
	if p.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeWait)
		defer cancel()
		_ = p.conn.Close(ctx) // nothing was written
		p.conn = nil
	}
}

func (p *postgresReader) connect(ctx context.Context) error {
	if p.conn != nil && !p.conn.IsClosed() {
		return nil
	}
	c, err := pgx.ParseConfig(p.dsn.Reveal())
	if err != nil {
		return errors.New("the dsn does not parse: write postgres://user:password@host/database") // the parser's words may hold the password
	}
	// Statements that are prepared on a server break behind connection poolers.
	c.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	c.RuntimeParams["application_name"] = "crenel"
	c.RuntimeParams["default_transaction_read_only"] = "on"
	if p.conn, err = pgx.ConnectConfig(ctx, c); err != nil {
		return fmt.Errorf("connecting: %w", redacted(err, c.Password))
	}
	return nil
}

// redacted is an error without a secret, should one be in it.
func redacted(err error, secret string) error {
	if secret != "" && strings.Contains(err.Error(), secret) {
		return errors.New(strings.ReplaceAll(err.Error(), secret, "[redacted]"))
	}
	return err
}

func (p *postgresReader) rows(ctx context.Context, query string, args []any, f func([]string, []any) error) (err error) {
	if err := p.connect(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	tx, err := p.conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly, IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return fmt.Errorf("beginning to read: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	if until, ok := ctx.Deadline(); ok {
		if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", max(1, untilMillis(until)))); err != nil {
			return fmt.Errorf("setting a time-out: %w", err)
		}
	}
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("querying: %w", err)
	}
	defer rows.Close()
	var names []string
	var raw []int // columns of JSON, which must not pass through float64
	tree := relation.NewTree(maxDepth)
	for rows.Next() {
		if names == nil {
			for i, c := range rows.FieldDescriptions() {
				names = append(names, c.Name)
				if c.DataTypeOID == pgtype.JSONOID || c.DataTypeOID == pgtype.JSONBOID {
					raw = append(raw, i)
				}
			}
		}
		values, err := rows.Values()
		if err != nil {
			return fmt.Errorf("reading rows: %w", err)
		}
		for _, i := range raw {
			if values[i], err = rawJSON(tree, rows, i); err != nil {
				return fmt.Errorf("column %s: %w", names[i], err)
			}
		}
		for i, v := range values {
			if values[i], err = fromPostgres(v); err != nil {
				return fmt.Errorf("column %s: %w", names[i], err)
			}
		}
		if err := f(names, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading rows: %w", err)
	}
	return nil
}

func rawJSON(tree *relation.Tree, rows pgx.Rows, i int) (any, error) {
	b := rows.RawValues()[i]
	d := rows.FieldDescriptions()[i]
	if d.DataTypeOID == pgtype.JSONBOID && d.Format == pgx.BinaryFormatCode && len(b) > 0 {
		b = b[1:] // the version of the format
	}
	if b == nil {
		return nil, nil
	}
	return decodeJSON(tree, b)
}

// fromPostgres turns types that are pgx's own into those of JSON.
func fromPostgres(v any) (any, error) {
	switch v := v.(type) {
	case pgtype.Numeric:
		d, err := v.Value()
		if s, ok := d.(string); ok {
			return json.Number(s), err
		}
		return d, err
	case []any:
		for i := range v {
			var err error
			if v[i], err = fromPostgres(v[i]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// closeWait bounds a goodbye.
const closeWait = 2 * time.Second

func untilMillis(t time.Time) int64 { return time.Until(t).Milliseconds() }
