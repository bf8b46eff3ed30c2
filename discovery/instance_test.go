package discovery_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, tc := range []struct {
		name   string
		change func(*discovery.Instance)
		want   string // part of the error; empty: valid
	}{
		{"as it is", func(*discovery.Instance) {}, ""},
		{"only what must be", func(in *discovery.Instance) { in.Name, in.Meta = "", nil }, ""},
		{"wildcards, names, other schemes", func(in *discovery.Instance) {
			in.Endpoints = []string{"tcp://*:1", "tcp://[::]:65535", "tls+tcp://desk.local:7", "tcp://[fe80::1%eth0]:7", "ipc://@orders", "ipc:///tmp/a b", "ws://*:1/a", "wss://a:1"}
		}, ""},
		{"ws without a port", func(in *discovery.Instance) { in.Endpoints[0] = "ws://a/b:1" }, "want ws://host:port"},
		{"no id", func(in *discovery.Instance) { in.ID = "" }, "instance id is empty"},
		{"id that is a path", func(in *discovery.Instance) { in.ID = "../x" }, `instance id "../x": want lower-case`},
		{"id too long", func(in *discovery.Instance) { in.ID = long }, "has 300 bytes: want at most 63"},
		{"service with upper case", func(in *discovery.Instance) { in.Service = "Orders" }, `service name "Orders": want lower-case letters, digits and hyphens`},
		{"service ends with hyphen", func(in *discovery.Instance) { in.Service = "orders-" }, "no hyphen at an end"},
		{"name with escape codes", func(in *discovery.Instance) { in.Name = "\x1b[2J" }, "want printable text"},
		{"name that reverses the line", func(in *discovery.Instance) { in.Name = "a\u202eb" }, "want printable text"},
		{"name not UTF-8", func(in *discovery.Instance) { in.Name = "\xff" }, "want printable text"},
		{"no endpoint", func(in *discovery.Instance) { in.Endpoints = nil }, "has 0 endpoints: want 1 to 16"},
		{"many endpoints", func(in *discovery.Instance) { in.Endpoints = make([]string, 17) }, "has 17 endpoints"},
		{"endpoint without scheme", func(in *discovery.Instance) { in.Endpoints[0] = "10.0.0.7:5555" }, "want scheme://address"},
		{"endpoint with port 0", func(in *discovery.Instance) { in.Endpoints[0] = "tcp://*:0" }, "with a port from 1 to 65535"},
		{"endpoint with large port", func(in *discovery.Instance) { in.Endpoints[0] = "tcp://a:65536" }, "with a port from 1 to 65535"},
		{"endpoint with bad host", func(in *discovery.Instance) { in.Endpoints[0] = "tcp://a/b:1" }, "want tcp://host:port"},
		{"endpoint with control character", func(in *discovery.Instance) { in.Endpoints[0] = "ipc:///a\n" }, "want printable text"},
		{"endpoint too long", func(in *discovery.Instance) { in.Endpoints[0] = "ipc:///" + long }, "want at most 128"},
		{"meta key", func(in *discovery.Instance) { in.Meta = map[string]string{"a=b": ""} }, `meta key "a=b"`},
		{"meta key too long", func(in *discovery.Instance) { in.Meta = map[string]string{"ninechars": ""} }, "want 1 to 8"},
		{"meta value", func(in *discovery.Instance) { in.Meta = map[string]string{"a": "\x00"} }, "meta a: value"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			in := discoverytest.New("orders")
			tc.change(&in)
			if tc.want == "" {
				assert.NoError(t, in.Validate())
			} else {
				assert.ErrorContains(t, in.Validate(), tc.want)
			}
		})
	}
}

func TestOn(t *testing.T) {
	t.Parallel()
	addrs := []netip.Addr{netip.MustParseAddr("10.0.0.7"), netip.MustParseAddr("fd00::7")}
	in := discoverytest.New("orders")
	in.Endpoints = []string{"tcp://*:1", "tcp://0.0.0.0:2", "tls+tcp://[::]:3", "tcp://10.0.0.7:1", "ipc://@a", "ws://0.0.0.0:4/a/b"}
	before := in.Clone()
	assert.Equal(t, []string{"tcp://10.0.0.7:1", "tcp://[fd00::7]:1", "tcp://10.0.0.7:2", "tls+tcp://10.0.0.7:3",
		"tls+tcp://[fd00::7]:3", "ipc://@a", "ws://10.0.0.7:4/a/b"}, in.On(addrs).Endpoints)
	assert.Equal(t, before, in, "the original is not touched")
	assert.Equal(t, []string{"tcp://10.0.0.7:1", "ipc://@a"}, in.On(nil).Endpoints)
}

func TestParseName(t *testing.T) {
	t.Parallel()
	service, ok, err := discovery.ParseName("mdns://order-desk-2")
	assert.Equal(t, "order-desk-2", service)
	assert.True(t, ok)
	assert.NoError(t, err)

	_, ok, err = discovery.ParseName("tcp://10.0.0.7:5555")
	assert.False(t, ok)
	assert.NoError(t, err)

	for name, want := range map[string]string{
		"":                      "is empty",
		"orders:5555":           "want lower-case letters, digits and hyphens",
		"Orders":                `endpoint "mdns://Orders": service name "Orders": want lower-case`,
		"-":                     "no hyphen at an end",
		strings.Repeat("a", 64): "has 64 bytes: want at most 63",
	} {
		_, ok, err := discovery.ParseName("mdns://" + name)
		assert.False(t, ok)
		assert.ErrorContains(t, err, want)
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	a, b, c := discovery.Instance{ID: "a"}, discovery.Instance{ID: "b"}, discovery.Instance{ID: "c"}
	changed := b
	changed.Name = "new"
	got := discovery.Diff(map[string]discovery.Instance{"a": a, "b": b}, map[string]discovery.Instance{"b": changed, "c": c})
	assert.Equal(t, []discovery.Event{
		{Kind: discovery.Down, Instance: a},
		{Kind: discovery.Change, Instance: changed},
		{Kind: discovery.Up, Instance: c},
	}, got)
}

func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"tcp://*:5555", "tcp://[::1]:1", "ipc:///x", "tcp://", "+tcp://:1", "tcp://[::%]:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ep string) {
		in := discoverytest.New("orders")
		in.Endpoints = []string{ep}
		if in.Validate() != nil {
			return
		}
		on := in.On([]netip.Addr{netip.MustParseAddr("fd00::7")})
		if len(on.Endpoints) > 0 { // 0.0.0.0 has no IPv6 address
			require.NoError(t, on.Validate())
		}
	})
}
