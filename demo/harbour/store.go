package harbour

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"time"

	_ "modernc.org/sqlite" // registers the driver
)

//go:embed schema.sql
var schema string

// openStore opens the database on one connection: SQLite writes one at a time
// anyway, and an in-memory database belongs to its connection.
func openStore(path string) (*sql.DB, error) {
	dsn := ":memory:"
	if path != "" {
		dsn = "file:" + path + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)"
	}
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetMaxOpenConns(1)
	db.SetConnMaxLifetime(0)
	_, err = db.Exec(schema)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("creating the tables: %w", err), db.Close())
	}
	return db, nil
}

func (s *Server) dataSource() string {
	if s.opts.DB == "" {
		return ":memory:"
	}
	return s.opts.DB
}

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// many reads all rows before it returns: with one connection, a query made
// while rows are open would wait for itself.
func many[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("querying: %w", err)
	}
	defer rows.Close()
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("reading a row: %w", err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading rows: %w", err)
	}
	return out, nil
}

type scanner interface{ Scan(into ...any) error }

var errNoRow = errors.New("no such row")

func one[T any](ctx context.Context, q querier, scan func(scanner) (T, error), query string, args ...any) (T, error) {
	all, err := many(ctx, q, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = errNoRow
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return all[0], nil
}

func scanInt(r scanner) (int64, error) {
	var n int64
	return n, r.Scan(&n)
}

// exec runs a statement and returns how many rows it changed.
func exec(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("changing: %w", err)
	}
	return res.RowsAffected()
}

// insert runs an INSERT and returns the new row's number.
func insert(ctx context.Context, q querier, query string, args ...any) (int64, error) {
	res, err := q.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("inserting: %w", err)
	}
	return res.LastInsertId()
}

func (s *Server) inTx(ctx context.Context, do func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	err = do(tx)
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	err = tx.Commit()
	if err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// stamp is how times are stored and sent: RFC 3339 in UTC, to the second.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// likePattern makes user text literal inside LIKE … ESCAPE '\'.
func likePattern(text string) string {
	return "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text) + "%"
}
