package doctor

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const whole = net.FlagUp | net.FlagMulticast | net.FlagBroadcast

// TestJudgesInterfaces: each interface is said to be used, or why not, and trouble is a failure only for who counts on discovery.
func TestJudgesInterfaces(t *testing.T) {
	t.Parallel()
	deaf := fmt.Errorf("join: %w", syscall.EADDRINUSE)
	addrs := []string{"192.0.2.1/24"}
	for name, c := range map[string]struct {
		in       Interface
		required bool
		state    State
		says     string
	}{
		"fit":            {Interface{Flags: whole, Addrs: addrs}, true, Pass, "multicast works"},
		"down":           {Interface{Flags: net.FlagMulticast, Addrs: addrs}, false, Pass, "it is down"},
		"no address":     {Interface{Flags: whole}, false, Pass, "no address"},
		"loopback":       {Interface{Flags: whole | net.FlagLoopback, Addrs: addrs}, false, Pass, "this machine only"},
		"tunnel":         {Interface{Flags: whole | net.FlagPointToPoint, Addrs: addrs}, false, Pass, "one peer only"},
		"no multicast":   {Interface{Flags: net.FlagUp, Addrs: addrs}, false, Pass, "no multicast"},
		"held":           {Interface{Flags: whole, Addrs: addrs, Heard: deaf}, false, Warn, "another program holds port 5353"},
		"held, wanted":   {Interface{Flags: whole, Addrs: addrs, Heard: deaf}, true, Fail, "another program holds port 5353"},
		"filtered":       {Interface{Flags: whole, Addrs: addrs, Heard: errors.New("x")}, true, Fail, "firewall"},
		"named and down": {Interface{Flags: 0, Addrs: addrs, Named: true}, true, Fail, "it is down"},
		"named loopback": {Interface{Flags: whole | net.FlagLoopback, Addrs: addrs, Named: true}, true, Pass, "multicast works"},
	} {
		c.in.Name = "x0"
		f := LAN{Interfaces: []Interface{c.in}, Required: c.required}.Findings()[0]
		assert.Equal(t, c.state, f.State, "%s: %s", name, f)
		assert.Contains(t, f.String(), c.says, name)
	}
	none := LAN{Missing: []string{"y0"}, Required: true}.Findings()
	assert.Equal(t, Fail, none[0].State)
	assert.Equal(t, "discovery", LAN{}.Findings()[0].Subject)
	assert.Equal(t, Warn, LAN{}.Findings()[0].State)
}

// TestReadsTables: who has port 5353, and whether there is a default route, stand in tables of the kernel.
func TestReadsTables(t *testing.T) {
	t.Parallel()
	assert.Equal(t, -1, holders(files(nil)))
	assert.Nil(t, routed(files(nil)))
	const head = "Iface Destination Gateway Flags RefCnt Use Metric Mask\n"
	link := "eth0 0002A8C0 00000000 0001 0 0 0 00FFFFFF\n"
	yes := routed(files(map[string]string{"proc/net/route": head + link + "eth0 00000000 0102A8C0 0003 0 0 0 00000000\n"}))
	no := routed(files(map[string]string{"proc/net/route": head + link, "proc/net/ipv6_route": strings.Repeat("0", 32) + " 00 0 00 0 0 0 0 0 lo\n"}))
	require.NotNil(t, yes)
	require.NotNil(t, no)
	assert.True(t, *yes)
	assert.False(t, *no)
	assert.Equal(t, 2, holders(files(map[string]string{
		"proc/net/udp":  "sl local rem\n 1: 00000000:14E9 00000000:0000\n 2: 00000000:0035 00000000:14E9\n",
		"proc/net/udp6": "sl local rem\n 1: 00000000000000000000000000000000:14E9 0:0\n",
	})))
}
