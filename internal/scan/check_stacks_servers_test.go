package scan

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // MariaDB's driver
	_ "github.com/jackc/pgx/v5/stdlib" // PostgreSQL's

	"github.com/crenel-project/crenel/internal/freeport"
)

// database is a server of the test's own, in a directory of its own, as the
// user that it must not be root for.
type database struct {
	dir   string
	port  int
	owner *syscall.SysProcAttr
}

func newDatabase(t *testing.T, owner string) *database {
	t.Helper()
	d := &database{port: freeport.Port(t)}
	var err error
	if d.dir, err = os.MkdirTemp("", "crenel-"+owner); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(d.dir) })
	if os.Geteuid() == 0 {
		u, err := user.Lookup(owner)
		if err != nil {
			notThere(t, "the user "+owner)
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(d.dir, uid, gid); err != nil {
			t.Fatal(err)
		}
		d.owner = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return d
}

func notThere(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", what)
	}
	t.Skipf("NOT TESTED: %s is not installed", what)
}

func (d *database) prepare(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.SysProcAttr, c.Dir = d.owner, d.dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// serve starts the server and gives a way to it.
func (d *database) serve(t *testing.T, driver, dsn, name string, args ...string) *sql.DB {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(name, args...)
	c.SysProcAttr, c.Dir, c.Stdout, c.Stderr = d.owner, d.dir, log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt) // if it does not listen, it is killed
		time.AfterFunc(10*time.Second, func() { _ = c.Process.Kill() })
		_ = c.Wait()
		_ = log.Close()
	})
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxIdleConns(16)
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if err = db.PingContext(context.Background()); err == nil {
			return db
		}
	}
	said, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer: %v: %s", name, err, said)
	return nil
}

func TestStacksPostgreSQL(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server")
	}
	list, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(list) == 0 {
		notThere(t, "PostgreSQL")
	}
	bin := filepath.Dir(list[len(list)-1])
	d := newDatabase(t, "postgres")
	data := filepath.Join(d.dir, "data")
	d.prepare(t, filepath.Join(bin, "initdb"), "-D", data, "-U", "owner", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	db := d.serve(t, "pgx", fmt.Sprintf("postgres://owner@127.0.0.1:%d/postgres?sslmode=disable", d.port),
		filepath.Join(bin, "postgres"), "-D", data, "-p", strconv.Itoa(d.port), "-h", "127.0.0.1", "-k", d.dir, "-F")
	everyStack(t, db, true, "SERIAL PRIMARY KEY")
}

// TestStacksMariaDB runs where the server is installed: it is not among what a
// change is held to, as its package is large.
func TestStacksMariaDB(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts a server")
	}
	server, err := exec.LookPath("mariadbd")
	if err != nil {
		t.Skip("NOT TESTED: MariaDB is not installed")
	}
	d := newDatabase(t, "mysql")
	data := filepath.Join(d.dir, "data")
	d.prepare(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	db := d.serve(t, "mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/mysql", d.port),
		server, "--no-defaults", "--datadir="+data, "--port="+strconv.Itoa(d.port), "--bind-address=127.0.0.1", "--socket="+filepath.Join(d.dir, "s"), "--pid-file="+filepath.Join(d.dir, "pid"))
	if _, err := db.ExecContext(t.Context(), "CREATE DATABASE stacks"); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()
	if db, err = sql.Open("mysql", fmt.Sprintf("root@tcp(127.0.0.1:%d)/stacks", d.port)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	everyStack(t, db, false, "INTEGER PRIMARY KEY AUTO_INCREMENT")
}
