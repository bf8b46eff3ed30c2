package transport_test

import (
	"context"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

var longPath = "/" + strings.Repeat("p", 200)

func TestCanonicalForm(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, bind, connect string }{ // empty: refused
		{text: "tcp://127.0.0.1:5555", bind: "tcp://127.0.0.1:5555", connect: "tcp://127.0.0.1:5555"},
		{text: "tcp://127.0.0.1:05555", bind: "tcp://127.0.0.1:5555", connect: "tcp://127.0.0.1:5555"},
		{text: "tcp://127.0.0.1:0", bind: "tcp://127.0.0.1:0"},
		{text: "tcp://127.0.0.1:*", bind: "tcp://127.0.0.1:0"},
		{text: "tcp://*:5555", bind: "tcp://*:5555"},
		{text: "tcp://*:*", bind: "tcp://*:0"},
		{text: "tcp://eth0.100:*", bind: "tcp://eth0.100:0"},
		{text: "tcp://0.0.0.0:1", bind: "tcp://0.0.0.0:1", connect: "tcp://0.0.0.0:1"},
		{text: "tcp://[::1]:65535", bind: "tcp://[::1]:65535", connect: "tcp://[::1]:65535"},
		{text: "tcp://[0:0::0:1]:1", bind: "tcp://[::1]:1", connect: "tcp://[::1]:1"},
		{text: "tcp://[::ffff:1.2.3.4]:1", bind: "tcp://1.2.3.4:1", connect: "tcp://1.2.3.4:1"},
		{text: "tcp://[FE80::1%Eth0]:1", bind: "tcp://[fe80::1%Eth0]:1", connect: "tcp://[fe80::1%Eth0]:1"},
		{text: "tcp://Orders.My_Team.local.:1", bind: "tcp://Orders.My_Team.local.:1", connect: "tcp://orders.my_team.local.:1"},
		{text: "tcp://127.0.0.1:0;Host:7", connect: "tcp://127.0.0.1:0;host:7"},
		{text: "tcp://*:9;[::1]:7", connect: "tcp://*:9;[::1]:7"},
		{text: "tcp://eth0:*;h:7", connect: "tcp://eth0:0;h:7"},
		{text: "tls+tcp://*:5555", bind: "tls+tcp://*:5555"},
		{text: "tls+tcp://Host:5555", bind: "tls+tcp://Host:5555", connect: "tls+tcp://host:5555"},
		{text: "tls+tcp://127.0.0.1:0;Host:7", connect: "tls+tcp://127.0.0.1:0;host:7"},
		{text: "ipc:///tmp/a.sock", bind: "ipc:///tmp/a.sock", connect: "ipc:///tmp/a.sock"},
		{text: "ipc://relative", bind: "ipc://relative", connect: "ipc://relative"},
		{text: "ipc://@name", bind: "ipc://@name", connect: "ipc://@name"},
		{text: "ipc://*", bind: "ipc://*"},
		{text: "inproc://a/b:c", bind: "inproc://a/b:c", connect: "inproc://a/b:c"},
		{text: "inproc://é", bind: "inproc://é", connect: "inproc://é"},
		{text: "ws://Host:5555/Path/x%20y", bind: "ws://Host:5555/Path/x%20y", connect: "ws://host:5555/Path/x%20y"},
		{text: "ws://127.0.0.1:5555/", bind: "ws://127.0.0.1:5555", connect: "ws://127.0.0.1:5555"},
		{text: "ws://*:*/a", bind: "ws://*:0/a"},
		{text: "ws://host/zeromq", bind: "ws://host:80/zeromq", connect: "ws://host:80/zeromq"},
		{text: "wss://[::1]", bind: "wss://[::1]:443", connect: "wss://[::1]:443"},
		{text: "wss://host/a?token=b/c", connect: "wss://host:443/a?token=b/c"},
	} {
		bind, err := transport.ParseBind(test.text)
		assert.Equal(t, test.bind, bind.String())
		assert.Equal(t, test.bind == "", err != nil, "ParseBind(%q): %v", test.text, err)
		connect, err := transport.ParseConnect(test.text)
		assert.Equal(t, test.connect, connect.String())
		assert.Equal(t, test.connect == "", err != nil, "ParseConnect(%q): %v", test.text, err)
	}
}

func TestEqualEndpointsAreOne(t *testing.T) {
	t.Parallel()
	a, err := transport.ParseBind("tcp://[0::1]:005")
	require.NoError(t, err)
	b, err := transport.ParseConnect("tcp://[::1]:5")
	require.NoError(t, err)
	assert.True(t, a == b)
	assert.Equal(t, "tcp", a.Scheme())
}

func TestNonsenseIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, problem string }{
		{"", "scheme is missing"},
		{"127.0.0.1:5555", "scheme is missing; begin with tcp://, tls+tcp://, ipc://, inproc://, ws:// or wss://"},
		{"tls+tcp://127.0.0.1", "write tls+tcp://host:port"},
		{"tls+tcp://127.0.0.1:1/x", "write tls+tcp://127.0.0.1:1 without"},
		{"tcp:/127.0.0.1:5555", "scheme is missing"},
		{"://127.0.0.1:5555", "scheme is missing"},
		{"udp://127.0.0.1:5555", `unknown scheme "udp"; known are tcp, tls+tcp, ipc, inproc, ws and wss`},
		{"TCP://127.0.0.1:5555", "unknown scheme"},
		{"tcp://", "port is missing"},
		{"tcp://localhost", "port is missing"},
		{"tcp://localhost:", "port is missing"},
		{"tcp://[::1]", "port is missing"},
		{"tcp://:5555", "host is missing"},
		{"tcp://;h:5", "source address: the port is missing"},
		{"tcp://a:1;b:2;c:3", "colon in the host"},
		{"tcp://localhost:65536", "not a number from 0 to 65535"},
		{"tcp://localhost:-1", "not a number from 0 to 65535"},
		{"tcp://localhost:+1", "not a number from 0 to 65535"},
		{"tcp://localhost:0x10", "not a number from 0 to 65535"},
		{"tcp://localhost:http", "not a number from 0 to 65535"},
		{"tcp://localhost:000001", "not a number from 0 to 65535"},
		{"tcp://localhost:5555/", `write tcp://localhost:5555 without "/"`},
		{"tcp://localhost:5555/orders", `write tcp://localhost:5555 without "/orders"`},
		{"tcp://::1:5555", "IPv6 address needs brackets"},
		{"tcp://fe80::1:5555", "IPv6 address needs brackets"},
		{"tcp://[::1:5555", "malformed host"},
		{"tcp://[::1]5555", "port is missing"},
		{"tcp://[::1]x:5555", "malformed host"},
		{"tcp://[127.0.0.1]:5555", "not an IPv6 address"},
		{"tcp://[eth0]:5555", "not an IPv6 address"},
		{"tcp://[]:5555", "not an IPv6 address"},
		{"tcp://[fe80::1%a]b]:5555", "not an IPv6 address"},
		{"tcp://256.0.0.1:5555", "not an IPv4 address"},
		{"tcp://1.2.3:5555", "not an IPv4 address"},
		{"tcp://127.0.0.01:5555", "not an IPv4 address"},
		{"tcp://.:5555", "not an IPv4 address"},
		{"tcp://a..b:5555", "malformed host name"},
		{"tcp://-a:5555", "malformed host name"},
		{"tcp://a-.b:5555", "malformed host name"},
		{"tcp://user@host:5555", "malformed host name"},
		{"tcp://**:5555", "malformed host name"},
		{"tcp://bücher.example:5555", "xn--"},
		{"tcp://" + strings.Repeat("a", 64) + ":5555", "1 to 63 letters"},
		{"tcp://" + strings.Repeat("a.", 127) + "a:5555", "255 bytes long; at most 253"},
		{"tcp://local host:5555", "byte 12 is a space"},
		{" tcp://localhost:5555", "byte 1 is a space"},
		{"tcp://localhost:5555\n", "byte 21 is a space, a control character"},
		{"tcp://localhost\x00:5555", "byte 16"},
		{"ipc:///tmp/\xff", "not UTF-8"},
		{"inproc://a\u202eb", "byte 11"},
		{"ipc://", "path is missing"},
		{"ipc://@", "path is missing"},
		{"ipc:///tmp/", "names a folder"},
		{"ipc://" + longPath, "the path is 201 bytes long; a socket's path has at most"},
		{"ipc://@" + longPath, "202 bytes long"},
		{"inproc://", "name is missing"},
		{"inproc://*", "no wildcard"},
		{"inproc://" + strings.Repeat("n", 256), "256 bytes long; at most 255"},
		{"ws://", "port is missing; write ws://host:port"},
		{"ws://:5555/", "host is missing; write ws://host:port"},
		{"wss://host:", "port is missing; write wss://host:port"},
		{"wss://host:65536/", "not a number from 0 to 65535"},
		{"ws://[::1", "malformed host"},
		{"ws://::1:80", "brackets: ws://[address]:port"},
		{"ws://user@host/", "malformed host name"},
		{"ws://host?query", "malformed host name"},
		{"ws://127.0.0.1:0;host:80/", "source address (before the ;) is for tcp and tls+tcp only"},
		{"ws://host:80//path", "two slashes"},
		{"ws://host:80/a#b", "'#' in the path; write it as %23"},
		{"ws://host:80/a%zz", "without two hexadecimal digits"},
		{"ws://host:80/a%2", "without two hexadecimal digits"},
		{"ws://host:80/bücher", "in the path; write it as %C3"},
		{"ws://host:80/" + strings.Repeat("p", 1024), "the path is 1025 bytes long; at most 1024"},
	} {
		_, err := transport.ParseBind(test.text)
		assertRefused(t, err, test.text, test.problem)
		_, err = transport.ParseConnect(test.text)
		assertRefused(t, err, test.text, test.problem)
	}
}

func TestConnectTakesNoWildcards(t *testing.T) {
	t.Parallel()
	for text, problem := range map[string]string{
		"tcp://*:5555":          "name the host",
		"tcp://localhost:*":     "give the peer's port",
		"tcp://localhost:0":     "give the peer's port",
		"tcp://eth0:0;*:5":      "name the host",
		"tcp://eth0:0;h:0":      "give the peer's port",
		"ipc://*":               "* is for bind only",
		"tcp://1.2.3.4:5;:5555": "host is missing",
	} {
		_, err := transport.ParseConnect(text)
		assertRefused(t, err, text, problem)
	}
	_, err := transport.ParseBind("tcp://127.0.0.1:0;localhost:5555")
	assertRefused(t, err, "tcp://127.0.0.1:0;localhost:5555", "connect only")
}

// An endpoint may reach Listen or Dial that was parsed for the other, or never.
func TestWrongUseIsRefused(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	bound, err := transport.ParseBind("tcp://*:5555")
	require.NoError(t, err)
	_, err = bound.Dial(ctx)
	assertRefused(t, err, "tcp://*:5555", "name the host")
	sourced, err := transport.ParseConnect("tcp://*:0;localhost:5555")
	require.NoError(t, err)
	_, err = sourced.Listen(ctx)
	assertRefused(t, err, "tcp://*:0;localhost:5555", "connect only")
	_, err = transport.Endpoint{}.Dial(ctx)
	assertRefused(t, err, "", "ParseConnect")
	_, err = transport.Endpoint{}.Listen(ctx)
	assertRefused(t, err, "", "ParseBind")
}

// assertRefused checks for one clear line that names the endpoint, or the beginning of an endless one.
func assertRefused(t *testing.T, err error, endpoint, problem string) {
	t.Helper()
	refusal, ok := err.(*transport.EndpointError)
	if !assert.True(t, ok, "%q: got %v, want an EndpointError", endpoint, err) {
		return
	}
	assert.ErrorIs(t, err, transport.ErrEndpoint)
	assert.Equal(t, endpoint, refusal.Endpoint)
	line := err.Error()
	assert.Contains(t, line, problem)
	assert.False(t, strings.ContainsFunc(line, unicode.IsControl), "%q is one line", line)
	assert.Less(t, len(line), 500)
	if plain := !strings.ContainsFunc(endpoint, func(r rune) bool { return !unicode.IsPrint(r) || r == '\uFFFD' }); plain {
		assert.Contains(t, line, endpoint[:min(len(endpoint), 160)])
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"tcp://*:5555", "tcp://eth0:*", "tcp://127.0.0.1:0", "tcp://[::1]:*", "tcp://src:0;host:5", "tcp://[fe80::1%eth0]:1",
		"ipc:///path", "ipc://@abstract", "ipc://*", "inproc://name", "tcp://[::ffff:1.2.3.4%x]:1", "tcp://a:1/b", "://", "ws://*:*/a%20b", "wss://h/p?q=r",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, parse := range []func(string) (transport.Endpoint, error){transport.ParseBind, transport.ParseConnect} {
			e, err := parse(s)
			if err != nil {
				assert.ErrorIs(t, err, transport.ErrEndpoint)
				assert.False(t, strings.ContainsFunc(err.Error(), unicode.IsControl))
				assert.Equal(t, transport.Endpoint{}, e)
				continue
			}
			again, err := parse(e.String())
			require.NoError(t, err, "%q became %q", s, e)
			assert.True(t, e == again, "%q became %q became %q", s, e, again)
		}
	})
}
