package source

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crenel-project/crenel/config"
	"github.com/crenel-project/crenel/internal/freeport"
)

func exec1(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec1(t, db, `CREATE TABLE objects (id TEXT, owner TEXT, tags TEXT, size INT, updated_at DATETIME, deleted INT)`,
		`INSERT INTO objects VALUES ('a','ann','["x",1.50]',7,'2026-01-01 10:00:00',0),('b','bob',NULL,NULL,'2026-01-02 10:00:00',0)`)
	s := settings("x")
	s.SQL = &config.SQLSource{
		Rows:   config.Rows{Key: []string{"id"}, Cursor: "updated_at", Tombstone: "deleted"},
		Driver: "sqlite", Path: path, JSON: []string{"tags"},
		Query:   "SELECT * FROM objects WHERE NOT deleted;",
		Changed: "SELECT * FROM objects WHERE updated_at >= ?",
	}
	r := start(t, nil, s)
	r.becomes(`{"a":{"owner":"ann","tags":["x",1.50],"size":7},"b":{"owner":"bob","tags":null,"size":null}}`)
	exec1(t, db, `INSERT INTO objects VALUES ('c','cat','{}',1,'2026-01-02 10:00:00',0)`) // in the same second as the last seen
	r.becomes(`{"a":{"owner":"ann","tags":["x",1.50],"size":7},"b":{"owner":"bob","tags":null,"size":null},"c":{"owner":"cat","tags":{},"size":1}}`)
	exec1(t, db, `UPDATE objects SET deleted = 1, updated_at = '2026-01-03 10:00:00' WHERE id IN ('a','b')`,
		`UPDATE objects SET owner = 'dog', updated_at = '2026-01-03 10:00:01' WHERE id = 'c'`)
	r.becomes(`{"c":{"owner":"dog","tags":{},"size":1}}`)
	exec1(t, db, `ALTER TABLE objects DROP COLUMN tags`)
	r.wrong("no column tags", `{"c":{"owner":"dog","tags":{},"size":1}}`)
	exec1(t, db, `ALTER TABLE objects RENAME COLUMN id TO object_id`)
	r.wrong("no column tags", `{"c":{"owner":"dog","tags":{},"size":1}}`)
	exec1(t, db, `DROP TABLE objects`)
	r.wrong("no such table", `{"c":{"owner":"dog","tags":{},"size":1}}`)
}

func TestSQLiteManyAndNested(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec1(t, db, `CREATE TABLE members (tenant TEXT, id INT, role TEXT, n INT)`,
		`INSERT INTO members VALUES ('t1',1,'a',1),('t2',1,'a',2),('t1',2,'b',3),('t1',1,'c',4)`)
	s := settings("x")
	s.SQL = &config.SQLSource{
		Rows:   config.Rows{Key: []string{"tenant", "id"}, Value: "role", Many: true, Cursor: "n"},
		Driver: "sqlite", Path: path, Query: "SELECT tenant, id, role, n FROM members",
		Changed: "SELECT tenant, id, role, n FROM members m WHERE EXISTS (SELECT 1 FROM members c WHERE c.tenant = m.tenant AND c.id = m.id AND c.n > ?)",
	}
	r := start(t, nil, s)
	r.becomes(`{"t1":{"1":["a","c"],"2":["b"]},"t2":{"1":["a"]}}`)
	exec1(t, db, `INSERT INTO members VALUES ('t1',2,'z',5),('t3',9,'a',6)`)
	r.becomes(`{"t1":{"1":["a","c"],"2":["b","z"]},"t2":{"1":["a"]},"t3":{"9":["a"]}}`)

	bad := s
	sq := *s.SQL
	sq.Many, sq.Changed, sq.Cursor = false, "", ""
	bad.SQL = &sq
	start(t, nil, bad).wrong("stands twice: add columns to key", "")
	write := s
	wq := *s.SQL
	wq.Query = "DELETE FROM members RETURNING tenant, id, role, n"
	wq.Key, wq.Many = []string{"id"}, false
	write.SQL = &wq
	start(t, nil, write).wrong("", "")
	var n int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM members").Scan(&n); err != nil || n != 6 {
		t.Fatalf("a source has written: %d rows are left (%v)", n, err)
	}
}

// absent skips a test that needs a program, loudly; in CI it fails.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", what)
	}
	t.Skipf("NOT TESTED: %s is not installed", what)
}

// find looks for a program in the path and where Debian puts it.
func find(t *testing.T, name string, places ...string) string {
	t.Helper()
	for _, p := range places {
		if list, _ := filepath.Glob(p); len(list) > 0 {
			return list[len(list)-1]
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		absent(t, name)
	}
	return path
}

// run starts a server and ends it with the test.
func run(t *testing.T, c *exec.Cmd) func() {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop := func() {
		if ended {
			return
		}
		ended = true
		_ = c.Process.Signal(syscall.SIGINT) // it may have ended
		done := make(chan struct{})
		go func() { _ = c.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			_ = c.Process.Kill() // it did not listen
			<-done
		}
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("%s said: %s", c.Path, text)
		}
		log.Close()
	}
	t.Cleanup(stop)
	return stop
}

// postgres is a server of the test's own.
type postgres struct {
	t     *testing.T
	bin   string
	dir   string
	port  int
	owner *syscall.SysProcAttr
	stop  func()
}

func newPostgres(t *testing.T) *postgres {
	t.Helper()
	p := &postgres{t: t, port: freeport.Port(t)}
	p.bin = filepath.Dir(find(t, "initdb", "/usr/lib/postgresql/*/bin/initdb"))
	var err error
	if p.dir, err = os.MkdirTemp("", "crenel-postgres"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(p.dir) })
	if os.Geteuid() == 0 { // it refuses to run as root
		u, err := user.Lookup("postgres")
		if err != nil {
			absent(t, "the user postgres")
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(p.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		p.owner = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	pw := filepath.Join(p.dir, "pw")
	if err := os.WriteFile(pw, []byte("s3cret"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(filepath.Join(p.bin, "initdb"), "-D", filepath.Join(p.dir, "data"), "-U", "owner", "-A", "scram-sha-256", "--pwfile", pw, "-N", "-E", "UTF8", "--locale=C")
	c.SysProcAttr, c.Dir = p.owner, p.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v: %s", err, out)
	}
	p.start()
	return p
}

func (p *postgres) start() {
	c := exec.Command(filepath.Join(p.bin, "postgres"), "-D", filepath.Join(p.dir, "data"), "-p", strconv.Itoa(p.port), "-h", "127.0.0.1", "-k", p.dir, "-F")
	c.SysProcAttr, c.Dir = p.owner, p.dir
	p.stop = run(p.t, c)
}

func (p *postgres) dsn() string {
	return fmt.Sprintf("postgres://owner:s3cret@127.0.0.1:%d/postgres?sslmode=disable&connect_timeout=2", p.port)
}

func (p *postgres) connect() *pgx.Conn {
	p.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		var c *pgx.Conn
		if c, err = pgx.Connect(p.t.Context(), p.dsn()); err == nil {
			p.t.Cleanup(func() { _ = c.Close(context.Background()) }) // the server may be gone
			return c
		}
	}
	p.t.Fatal(err)
	return nil
}

func TestPostgres(t *testing.T) {
	p := newPostgres(t)
	c := p.connect()
	do := func(statements ...string) {
		t.Helper()
		for _, s := range statements {
			if _, err := c.Exec(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
	}
	do(`CREATE TABLE users (id uuid PRIMARY KEY, roles text[], score numeric, big bigint, profile jsonb, plain json, active bool, at timestamptz DEFAULT clock_timestamp(), deleted_at timestamptz)`,
		`INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000001', '{admin,"a b"}', 12.50, 9007199254740993, '{"n": 9007199254740993}', '[1.10]', true)`,
		`INSERT INTO users VALUES ('00000000-0000-0000-0000-000000000002', NULL, NULL, 1, NULL, NULL, false)`)
	s := settings("x")
	s.Timeout = 2 * time.Second
	s.SQL = &config.SQLSource{
		Rows:   config.Rows{Key: []string{"id"}, Cursor: "at", Tombstone: "deleted_at"},
		Driver: "postgres", DSN: config.NewSecret(p.dsn()),
		Query:   "SELECT * FROM users WHERE deleted_at IS NULL",
		Changed: "SELECT * FROM users WHERE at >= $1",
	}
	r := start(t, nil, s)
	const one = `"00000000-0000-0000-0000-000000000001":{"roles":["admin","a b"],"score":12.50,"big":9007199254740993,"profile":{"n":9007199254740993},"plain":[1.10],"active":true}`
	const two = `"00000000-0000-0000-0000-000000000002":{"roles":null,"score":null,"big":1,"profile":null,"plain":null,"active":false}`
	r.becomes("{" + one + "," + two + "}")
	do(`UPDATE users SET deleted_at = clock_timestamp(), at = clock_timestamp() WHERE NOT active`)
	r.becomes("{" + one + "}")
	do(`UPDATE users SET deleted_at = NULL, at = clock_timestamp() WHERE NOT active`)
	r.becomes("{" + one + "," + two + "}")

	t.Run("only reads", func(t *testing.T) {
		w := s
		q := *s.SQL
		q.Query, q.Changed, q.Cursor, q.Tombstone = "DELETE FROM users RETURNING id", "", "", ""
		w.SQL = &q
		start(t, nil, w).wrong("read-only transaction", "")
	})
	t.Run("too slow", func(t *testing.T) {
		w := s
		q := *s.SQL
		q.Query, q.Changed, q.Cursor, q.Tombstone = "SELECT 'a' AS id, pg_sleep(60)", "", "", ""
		w.SQL, w.Timeout = &q, 300*time.Millisecond
		start(t, nil, w).wrong("within 300ms", "")
		var n int
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			if err := c.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep%' AND pid <> pg_backend_pid() AND now() - query_start > interval '1 second'").Scan(&n); err != nil || n == 0 {
				return
			}
		}
		t.Fatalf("%d queries go on for nobody", n)
	})
	t.Run("the password is not told", func(t *testing.T) {
		w := s
		q := *s.SQL
		q.DSN = config.NewSecret(strings.Replace(p.dsn(), "s3cret", "wr0ng-s3cret", 1))
		w.SQL = &q
		bad := start(t, nil, w)
		bad.wrong("connecting", "")
		if err := bad.engine.Ready(); strings.Contains(err.Error(), "wr0ng") {
			t.Fatal(err)
		}
		q.DSN = config.NewSecret("postgres://owner:hunter2@127.0.0.1:x/y")
		worse := start(t, nil, w)
		worse.wrong("dsn does not parse", "")
		if err := worse.engine.Ready(); strings.Contains(err.Error(), "hunter2") {
			t.Fatal(err)
		}
	})
	t.Run("stopped and started again", func(t *testing.T) {
		p.stop()
		r.t = t
		r.wrong("connect", "{"+one+","+two+"}")
		r.now.Store(int64(time.Hour))
		if _, err := r.data(); err == nil {
			t.Fatal("data older than max_age decide")
		}
		r.now.Store(0)
		p.t = t
		p.start()
		c = p.connect()
		if _, err := c.Exec(t.Context(), `DELETE FROM users WHERE NOT active`); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Exec(t.Context(), `UPDATE users SET score = 1, at = clock_timestamp()`); err != nil {
			t.Fatal(err)
		}
		r.becomes("{" + strings.Replace(one, "12.50", "1", 1) + "," + two + "}") // what is deleted without a word is found by the next whole look
	})
}

func TestRedacted(t *testing.T) {
	if got := redacted(errors.New("user x password hunter2"), "hunter2").Error(); got != "user x password [redacted]" {
		t.Fatal(got)
	}
}
