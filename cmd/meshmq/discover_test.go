package main

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/mdns"
)

// loopback returns the flags that keep mDNS to this machine, and a service name of the test's own.
func loopback(t *testing.T) (flag, service string) {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, i := range all {
		if i.Flags&net.FlagLoopback == 0 {
			continue
		}
		if err := mdns.Probe(t.Context(), i.Name); err != nil {
			t.Skipf("no multicast on the loopback interface: %v", err)
		}
		return "--interface=" + i.Name, "test-" + discovery.NewID()
	}
	t.Skip("no loopback interface")
	return "", ""
}

// TestByName: -c mdns://NAME finds what --announce NAME announced, also if it comes later.
func TestByName(t *testing.T) {
	t.Parallel()
	lo, service := loopback(t)
	push := start(t, "push", lo, "-c", "mdns://"+service, "one", "two")
	assert.Equal(t, "one\ntwo\n", ok(t, "pull", lo, "-b", anyPort, "--announce", service, "--count", "2"))
	r := push.wait()
	assert.Zero(t, r.code, r.stderr)
}

func TestByNameNobody(t *testing.T) {
	t.Parallel()
	lo, service := loopback(t)
	r := meshmq(t, "push", lo, "-c", "mdns://"+service, "--timeout", "500ms", "one")
	assert.Equal(t, 4, r.code, r.stderr)
}

func TestDiscover(t *testing.T) {
	t.Parallel()
	lo, service := loopback(t)
	pull := start(t, "pull", lo, "-b", anyPort, "--announce", service)
	ep := pull.endpoint()

	// Side by side, for each listens as long as it may, which is long enough for a busy machine.
	one := start(t, "discover", lo, "--service", service, "--timeout", "5s")
	all := start(t, "discover", lo, "--timeout", "5s")
	asJSON := start(t, "discover", lo, "--service", service, "--timeout", "5s", "--json")
	out := lines(one.wait().stdout)
	require.Len(t, out, 1)
	fields := strings.Split(out[0], "\t")
	require.Len(t, fields, 5)
	assert.Equal(t, service, fields[0])
	assert.Equal(t, ep, fields[3])
	assert.Equal(t, "socket=PULL", fields[4])
	assert.Contains(t, all.wait().stdout, out[0]+"\n")

	var in struct {
		Service, Name, ID string
		Endpoints         []string
		Meta              map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(asJSON.wait().stdout), &in))
	assert.Equal(t, service, in.Service)
	assert.Equal(t, []string{ep}, in.Endpoints)
	assert.Equal(t, fields[2], in.ID)
	assert.Equal(t, map[string]string{"socket": "PULL"}, in.Meta)
}

func TestDiscoverNothing(t *testing.T) {
	t.Parallel()
	lo, service := loopback(t)
	r := meshmq(t, "discover", lo, "--service", service, "--timeout", "200ms")
	assert.Equal(t, 4, r.code)
	assert.Empty(t, r.stdout)
	iface := strings.TrimPrefix(lo, "--interface=")
	assert.Equal(t, "meshmq discover: no instance of "+service+" was found within 200ms on "+iface+"\n", r.stderr)
	r = meshmq(t, "discover", lo, "--service", service, "--timeout", "200ms", "--watch")
	assert.Zero(t, r.code)
	assert.Equal(t, "no instance of "+service+" was found within 200ms on "+iface+"\n", r.stderr)
}

// TestDiscoverNothingAtAll: other programs on this network may be found; if not, it says so.
func TestDiscoverNothingAtAll(t *testing.T) {
	t.Parallel()
	lo, _ := loopback(t)
	r := meshmq(t, "discover", lo, "--timeout", "200ms")
	assert.Zero(t, r.code, r.stderr)
	assert.NotEqual(t, r.stdout == "", r.stderr == "", "instances on standard output, or why there are none")
	if r.stdout == "" {
		assert.Contains(t, r.stderr, "no instance of any service was found within 200ms on ")
	}
}

func TestDiscoverWatch(t *testing.T) {
	t.Parallel()
	skipWithoutSignals(t)
	lo, service := loopback(t)
	watch := start(t, "discover", lo, "--service", service, "--watch")
	asJSON := start(t, "discover", lo, "--service", service, "--watch", "--json")
	pull := start(t, "pull", lo, "-b", anyPort, "--announce", service)
	watch.prints("+ " + service + "\t")
	asJSON.prints(`{"event":"up","service":"` + service + `"`)
	pull.signal(os.Interrupt)
	watch.prints("- " + service + "\t")
	asJSON.prints(`{"event":"down"`)
	watch.signal(os.Interrupt)
	assert.Equal(t, 130, watch.wait().code)
}

func TestDiscoverBadInterface(t *testing.T) {
	t.Parallel()
	r := meshmq(t, "discover", "--interface", "nosuch0")
	assert.Equal(t, 1, r.code)
	assert.Len(t, lines(r.stderr), 1, r.stderr)
	assert.Contains(t, r.stderr, "nosuch0")
}
