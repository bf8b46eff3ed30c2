//go:build unix

package dbtest

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx
	"github.com/stretchr/testify/require"
)

// server is the PostgreSQL of all tests of this process. Each has a database of its own in it.
type server struct {
	dir string // socket and data
	cmd *exec.Cmd
	err error // why there is none

	mu sync.Mutex // guards the field below
	n  int        // databases
}

var (
	starting sync.Once
	shared   server
)

// postgres returns a new database of a PostgreSQL that this process has started, and how it is reached. Without the programs the test is skipped; in continuous
// integration that is a failure.
func postgres(t *testing.T) (db *sql.DB, dsn string) {
	t.Helper()
	starting.Do(func() { shared.err = shared.start() })
	if shared.err != nil {
		missing(t, shared.err, "initdb and postgres (Debian: postgresql)")
	}
	admin, err := sql.Open("pgx", shared.dsn("postgres"))
	require.NoError(t, err)
	defer admin.Close()
	shared.mu.Lock()
	shared.n++
	name := fmt.Sprintf("test%d", shared.n)
	_, err = admin.ExecContext(t.Context(), "CREATE DATABASE "+name)
	shared.mu.Unlock()
	require.NoError(t, err)
	return open(t, "pgx", shared.dsn(name)), shared.dsn(name)
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	db.SetMaxOpenConns(16)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// missing skips the test for want of what it talks to. In continuous integration nothing may be wanting.
func missing(t *testing.T, why error, wanted string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s: %v", wanted, why)
	}
	t.Skipf("skipped %s: it needs %s: %v", t.Name(), wanted, why)
}

func (s *server) dsn(database string) string {
	return fmt.Sprintf("host=%s user=meshmq dbname=%s connect_timeout=20", s.dir, database)
}

// start makes a cluster in a directory of its own and starts a server that only a socket there leads to. Clients are killed here, and not the server, so
// nothing waits for the disk.
func (s *server) start() error {
	bin, err := binaries()
	if err != nil {
		return err
	}
	who, err := account()
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "meshmq-pg"); err != nil { // short: the path of a socket has 107 bytes at most
		return err
	}
	if who != nil {
		if err := os.Chown(s.dir, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(bin, name), args...)
		cmd.Dir = s.dir
		cmd.Env = append(os.Environ(), "LC_ALL=C", "HOME="+s.dir)
		cmd.SysProcAttr = ofThisProcess(who)
		return cmd
	}
	data := filepath.Join(s.dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "meshmq", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	s.cmd = run("postgres", "-D", data, "-k", s.dir, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=16MB", "-c", "fsync=off", "-c", "synchronous_commit=off")
	var log bytes.Buffer
	s.cmd.Stderr = &log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if err := s.answers(); err != nil {
		s.stop()
		return fmt.Errorf("postgres: %w: %s", err, &log)
	}
	return nil
}

// answers waits until the server takes queries.
func (s *server) answers() error {
	db, err := sql.Open("pgx", s.dsn("postgres"))
	if err != nil {
		return err
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		if err = db.PingContext(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// stop ends the server at once and removes what it wrote.
func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		_ = s.cmd.Wait()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// binaries returns the folder of initdb and postgres: where Debian has those of the newest version, or that in PATH.
func binaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	best, version := "", 0
	for _, path := range found {
		dir := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && v > version {
			best, version = dir, v
		}
	}
	if best != "" {
		return best, nil
	}
	path, err := exec.LookPath("postgres")
	return filepath.Dir(path), err
}

// account returns whose process a server is to be: PostgreSQL refuses to be root's. Nil means this user's.
func account() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("root has no user postgres or nobody to run it as")
}
