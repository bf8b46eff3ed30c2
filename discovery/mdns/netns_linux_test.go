package mdns

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

// hosts makes two network namespaces joined by two cables: NAMEa has 10.77.0.1 and 10.78.0.1,
// NAMEb the same with .2. There is no default route. It returns their names.
func hosts(t *testing.T) (a, b string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	name := "meshmq" + discovery.NewID()[:6]
	a, b = name+"a", name+"b"
	if out, err := exec.Command("ip", "netns", "add", a).CombinedOutput(); err != nil {
		t.Skipf("network namespaces cannot be made: %v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", a).Run() })
	ip(t, "netns add %s", b)
	t.Cleanup(func() { exec.Command("ip", "netns", "del", b).Run() })
	for i, net := range []string{"10.77.0", "10.78.0"} {
		ip(t, "-n %s link add net%d type veth peer name net%d netns %s", a, i, i, b)
		for host, ns := range []string{a, b} {
			ip(t, "-n %s addr add %s.%d/24 dev net%d", ns, net, host+1, i)
			ip(t, "-n %s link set net%d up", ns, i)
		}
	}
	return a, b
}

func ip(t *testing.T, format string, args ...any) {
	t.Helper()
	command := fmt.Sprintf(format, args...)
	out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
	require.NoError(t, err, "ip %s: %s", command, out)
}

func in(namespace string) []string { return []string{"ip", "netns", "exec", namespace} }

// ipv4Of returns the endpoints with an IPv4 address: the others come and go with the kernel's
// duplicate address detection.
func ipv4Of(endpoints []string) (v4 []string) {
	for _, ep := range endpoints {
		if !strings.Contains(ep, "[") {
			v4 = append(v4, ep)
		}
	}
	return v4
}

// waitFor reads events of a program until its view of the peer has these endpoints.
func (p *program) waitFor(endpoints ...string) {
	p.t.Helper()
	for {
		e := p.event()
		require.NotEqual(p.t, discovery.Down, e.Kind)
		if assert.ObjectsAreEqual(endpoints, ipv4Of(e.Instance.Endpoints)) {
			return
		}
	}
}

func TestTwoInterfacesAreOneInstance(t *testing.T) {
	t.Parallel()
	a, b := hosts(t)
	inst := discoverytest.New(discoverytest.Service())
	inst.Endpoints = []string{"tcp://*:5555"}
	watcher := startPeer(t, peerJob{Watch: inst.Service}, in(b)...)
	server := startPeer(t, peerJob{TTL: minTTL, Announce: inst, Watch: inst.Service}, in(a)...)
	watcher.waitFor("tcp://10.77.0.1:5555", "tcp://10.78.0.1:5555")

	late := startPeer(t, peerJob{Watch: inst.Service}, in(b)...)
	late.waitFor("tcp://10.77.0.1:5555", "tcp://10.78.0.1:5555")

	// A cable is pulled: what was heard through it ends with its life, the instance stays.
	ip(t, "-n %s link set net0 down", b)
	watcher.waitFor("tcp://10.78.0.1:5555")
	// And put back: the watcher's scan finds the interface and asks there.
	ip(t, "-n %s link set net0 up", b)
	watcher.waitFor("tcp://10.77.0.1:5555", "tcp://10.78.0.1:5555")

	server.leave()
	for e := watcher.event(); e.Kind != discovery.Down; e = watcher.event() {
		require.Equal(t, discovery.Change, e.Kind, "one interface after the other")
	}
}

func TestNoMulticastIsAClearError(t *testing.T) {
	t.Parallel()
	a, b := hosts(t)
	for i := range 2 {
		ip(t, "-n %s link set net%d down", a, i)
	}
	p := spawnPeer(t, peerJob{}, in(a)...)
	assert.Equal(t, "error: mdns: no interface is up and has multicast: name one, like the loopback interface", p.line())
	p = spawnPeer(t, peerJob{Interfaces: []string{"lo"}}, in(a)...)
	assert.Equal(t, "error: mdns: interface lo: it is down", p.line())

	ip(t, "-n %s addr flush dev net0", b)
	ip(t, "-n %s link set net0 down", b)
	ip(t, "-n %s link set net0 up addrgenmode none", b)
	p = spawnPeer(t, peerJob{Interfaces: []string{"net0"}}, in(b)...)
	assert.Equal(t, "error: mdns: interface net0: it has no address", p.line())
}
