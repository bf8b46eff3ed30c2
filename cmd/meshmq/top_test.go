package main

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var monitorAt = regexp.MustCompile(`(?m)^monitor at (\S+)$`)

// watched starts a pull that can be looked at, and returns where it listens and where its monitor does.
func startWatched(t *testing.T, args ...string) (pull *program, data, at string) {
	t.Helper()
	pull = start(t, append([]string{"pull", "-b", anyPort, "--monitor", anyPort}, args...)...)
	return pull, pull.endpoint(), pull.stderr.await(t, monitorAt)[1]
}

// TestTop: what --monitor shows of a socket, top prints as a table and as JSON.
func TestTop(t *testing.T) {
	t.Parallel()
	pull, data, at := startWatched(t)
	ok(t, "push", "-c", data, "one", "two")
	pull.prints("two\n")
	table := start(t, "top", "-c", at, "--count", "2", "--interval", "100ms")
	out := strings.Split(table.wait().stdout, "\n\n")
	require.Len(t, out, 2, table.stderr)
	rows := lines(out[1])
	require.Len(t, rows, 2)
	assert.Regexp(t, `^PROCESS +SOCKET +PEERS +IN/s +OUT/s +QUEUE +INBOX +UNACKED +PENDING +OLDEST +DEAD +FAILED +DROPS +REFUSED$`, rows[0])
	assert.Regexp(t, `^meshmq pull +pull PULL +[-1]`, rows[1])

	asJSON := ok(t, "top", "-c", at, "--count", "1", "--interval", "100ms", "--json")
	require.Len(t, lines(asJSON), 1)
	var p struct {
		Endpoint, State string
		Process         struct {
			Name string
			PID  int
		}
		Rates   map[string]map[string]float64
		Sockets []struct {
			Name, Type string
			Endpoints  []string
			In         int `json:"messages_in"`
		}
	}
	require.NoError(t, json.Unmarshal([]byte(asJSON), &p))
	assert.Equal(t, at+" up meshmq pull", p.Endpoint+" "+p.State+" "+p.Process.Name)
	assert.Equal(t, pull.cmd.Process.Pid, p.Process.PID)
	assert.Contains(t, p.Rates, "pull")
	require.Len(t, p.Sockets, 1)
	assert.Equal(t, []string{data}, p.Sockets[0].Endpoints)
	assert.Equal(t, 2, p.Sockets[0].In)
}

// Who binds a monitor beyond this machine is told, unless there are keys to show.
func TestMonitorStays(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]bool{
		"tcp://127.0.0.1:5570": true, "tcp://[::1]:5570": true, "ipc:///tmp/m": true,
		"tcp://0.0.0.0:5570": false, "tcp://[::]:5570": false, "tls+tcp://192.0.2.7:5570": false, "ws://192.0.2.7:80/m": false,
	} {
		assert.Equal(t, want, stays(endpoint), endpoint)
	}
}

// TestTopByName: without an endpoint it finds what is announced, and a verb with --announce announces its monitor. Who is killed is gone.
func TestTopByName(t *testing.T) {
	t.Parallel()
	lo, service := loopback(t)
	pull, _, at := startWatched(t, lo, "--announce", service)
	top := start(t, "top", lo, "--interval", "100ms", "--json")
	top.prints(`{"endpoint":"` + at + `","state":"up"`)
	pull.kill()
	top.prints(`{"endpoint":"` + at + `","state":"gone"`)
}

// TestTopNobody: exit code 4 if nobody answers in time, and 1 at once if no key fits.
func TestTopNobody(t *testing.T) {
	t.Parallel()
	r := meshmq(t, "top", "-c", "ipc://"+t.TempDir()+"/nobody", "--timeout", "300ms")
	assert.Equal(t, 4, r.code, r.stderr)
	assert.Empty(t, r.stdout)
	assert.Contains(t, r.stderr, "meshmq top: timeout after 300ms: ")

	keys := t.TempDir() + "/key"
	ok(t, "keygen", "--out", keys)
	_, _, secured := startWatched(t, "--curve-secret-key", "@"+keys+"_secret")
	r = meshmq(t, "top", "-c", secured)
	assert.Equal(t, 1, r.code, r.stderr)
	assert.Contains(t, r.stderr, "meshmq top: refused: ")
	assert.Contains(t, ok(t, "top", "-c", secured, "--curve-server-key", "@"+keys, "--count", "1", "--interval", "100ms"), "pull PULL")
}

// TestTopTooFew: exit code 3 if somebody answered, and not often enough.
func TestTopTooFew(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancelCause(t.Context())
	end(errTimeout)
	l := &looking{lookFlags: &lookFlags{}, ctx: ctx, seen: true}
	assert.Equal(t, 3, exitCode(l.verdict(errTimeout)))
	l.seen = false
	assert.Equal(t, 4, exitCode(l.verdict(errTimeout)))
}

func TestTopInterrupt(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	_, _, at := startWatched(t)
	top := start(t, "top", "-c", at, "--interval", "100ms")
	top.prints("pull PULL")
	top.signal(os.Interrupt)
	assert.Equal(t, 130, top.wait().code)
}

func TestTopUsage(t *testing.T) {
	t.Parallel()
	for text, args := range map[string][]string{
		`--sort "size": want one of name, peers, in, out, queue,`: {"top", "--sort", "size"},
		`--interval 10ms: want 100ms or more`:                     {"top", "--interval", "10ms"},
		`--monitor: `:                                             {"pull", "-b", anyPort, "--monitor", "mdns://x"},
		`connect: `:                                               {"top", "-c", "nowhere"},
	} {
		r := meshmq(t, args...)
		assert.Equal(t, 2, r.code)
		assert.Contains(t, r.stderr, text)
	}
}
