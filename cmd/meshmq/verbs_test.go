package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

func TestPushPull(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		input string
		push  []string
		pull  []string
		want  string
	}{
		{"bodies", "", []string{"one", "two"}, []string{"--count", "2"}, "one\ntwo\n"},
		{"flags after arguments", "", []string{"one", "--count", "3", "two"}, []string{"--count", "3"}, "one\ntwo\none\n"},
		{"after two dashes", "", []string{"--", "-x", "--count"}, []string{"--count", "2"}, "-x\n--count\n"},
		{"an empty body", "", []string{""}, []string{"--count", "1"}, "\n"},
		{"lines", "one\n\n three\r\nlast", nil, []string{"--count", "4"}, "one\n\n three\r\nlast\n"},
		{"some lines", "one\ntwo\nthree\n", []string{"--count", "2"}, []string{"--count", "2"}, "one\ntwo\n"},
		{"frames", "", []string{"--frame", "a,b", "--frame", "", "--frame", "c"}, []string{"--count", "1"}, "a,b\t\tc\n"},
		{"quoted", "", []string{"--frame", "tab\tin", "--frame", "ü\xff"}, []string{"--count", "1", "--quoted"}, `"tab\tin"` + "\t" + `"ü\xff"` + "\n"},
		{"hex", "", []string{"--frame", "\x01\xff", "--frame", "AZ"}, []string{"--count", "1", "--hex"}, "01ff\t415a\n"},
		{"raw", "", []string{"one", "two\n"}, []string{"--count", "2", "--raw"}, "onetwo\n"},
		{"many lines", strings.Repeat("line\n", 20000), nil, []string{"--count", "20000"}, strings.Repeat("line\n", 20000)},
		{"interval", "", []string{"--interval", "1ms", "--count", "3", "x"}, []string{"--count", "3"}, "x\nx\nx\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			pull := start(t, append([]string{"pull", "-b", anyPort}, tt.pull...)...)
			sent := meshmqWith(t, tt.input, append([]string{"push", "-c", pull.endpoint()}, tt.push...)...)
			assert.Zero(t, sent.code, sent.stderr)
			assert.Empty(t, sent.stdout)
			got := pull.wait()
			assert.Zero(t, got.code, got.stderr)
			assert.Equal(t, tt.want, got.stdout)
		})
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	pull := start(t, "pull", "-b", anyPort, "--json", "--count", "1")
	ok(t, "push", "-c", pull.endpoint(), "--frame", "a \"<ü>\"", "--frame", "\xff\x01", "--frame", "")
	r := pull.wait()
	require.Zero(t, r.code, r.stderr)
	require.Len(t, lines(r.stdout), 1)
	assert.True(t, strings.HasPrefix(r.stdout, `{"frames":["a \"<ü>\"",{"b64":"/wE="},""],"peer":"127.0.0.1:`), r.stdout)
	var m struct {
		Peer string
		Time time.Time
	}
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &m))
	assert.WithinDuration(t, time.Now(), m.Time, time.Minute)
}

// TestOverIPC also shows that the socket that connects may come first.
func TestOverIPC(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("paths of Windows are no ipc endpoints")
	}
	ep := "ipc://" + filepath.Join(t.TempDir(), "s")
	push := start(t, "push", "-c", ep, "hello")
	push.says("connect " + ep + ": ")
	assert.Equal(t, "hello\n", ok(t, "pull", "-b", ep, "--count", "1"))
	assert.Zero(t, push.wait().code)
}

func TestOverWebSocket(t *testing.T) {
	t.Parallel()
	pull := start(t, "pull", "-b", "ws://127.0.0.1:0/zeromq", "--count", "1")
	ep := pull.endpoint()
	assert.True(t, strings.HasPrefix(ep, "ws://127.0.0.1:") && strings.HasSuffix(ep, "/zeromq"), ep)
	ok(t, "push", "-c", ep, "hello")
	assert.Equal(t, "hello\n", pull.wait().stdout)
}

func TestPubSub(t *testing.T) {
	t.Parallel()
	pub := start(t, "pub", "-b", anyPort, "--topic", "weather.london", "--wait-subscribers", "2", "--count", "3", "rain", "fog")
	ep := pub.endpoint()
	narrow := start(t, "sub", "-c", ep, "--topic", "news", "--topic", "weather.", "--count", "3")
	assert.Equal(t, "weather.london\train\nweather.london\tfog\nweather.london\train\n", ok(t, "sub", "-c", ep, "--count", "3"))
	assert.Equal(t, "weather.london\train\nweather.london\tfog\nweather.london\train\n", narrow.wait().stdout)
	assert.Zero(t, pub.wait().code)
}

func TestPubLinesAndFrames(t *testing.T) {
	t.Parallel()
	sub := start(t, "sub", "-b", anyPort, "--count", "4")
	ep := sub.endpoint()
	r := meshmqWith(t, "one\ntwo\n", "pub", "-c", ep, "--topic", "", "--wait-subscribers", "1")
	require.Zero(t, r.code, r.stderr)
	ok(t, "pub", "-c", ep, "--topic", "t", "--wait-subscribers", "1", "--frame", "a", "--frame", "b")
	ok(t, "pub", "-c", ep, "--wait-subscribers", "1", "--frame", "a", "--frame", "b")
	assert.Equal(t, "\tone\n\ttwo\nt\ta\tb\na\tb\n", sub.wait().stdout)
}

// TestPubHoldsBack: a subscriber that starts to read late gets all the same.
func TestPubHoldsBack(t *testing.T) {
	t.Parallel()
	const n = 30000
	pub := start(t, "pub", "-b", anyPort, "--hwm", "10", "--topic", "t", "--wait-subscribers", "1", "--count", fmt.Sprint(n), "x")
	sub := ok(t, "sub", "-c", pub.endpoint(), "--hwm", "10", "--count", fmt.Sprint(n))
	assert.Equal(t, strings.Repeat("t\tx\n", n), sub)
	assert.Zero(t, pub.wait().code)
}

func TestReqRep(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		rep  []string
		req  []string
		want string
	}{
		{"echo", []string{"--echo"}, []string{"hello"}, "hello\n"},
		{"echo of frames", []string{"--echo"}, []string{"--frame", "a", "--frame", "", "--frame", "b"}, "a\t\tb\n"},
		{"an empty body", []string{"--echo"}, []string{""}, "\n"},
		{"reply", []string{"--reply", "no"}, []string{"hello"}, "no\n"},
		{"an empty reply", []string{"--reply", ""}, []string{"hello"}, "\n"},
		{"exec", []string{"--exec", "tr a-z A-Z"}, []string{"hello"}, "HELLO\n"},
		{"exec without its last newline", []string{"--exec", "echo a; echo b"}, []string{"--quoted", "hello"}, `"a\nb"` + "\n"},
		{"again and again", []string{"--echo"}, []string{"--count", "3", "--interval", "1ms", "x"}, "x\nx\nx\n"},
		{"an identity", []string{"--echo"}, []string{"--identity", "bob", "x"}, "x\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" && tt.rep[0] == "--exec" {
				t.Skip("the commands are those of a Unix shell")
			}
			rep := start(t, append([]string{"rep", "-b", anyPort, "--wait", "5m"}, tt.rep...)...)
			assert.Equal(t, tt.want, ok(t, append([]string{"req", "-c", rep.endpoint()}, tt.req...)...))
		})
	}
}

func TestRepPrintsRequests(t *testing.T) {
	t.Parallel()
	rep := start(t, "rep", "-b", anyPort, "--reply", "ok", "--count", "2", "--hex")
	ep := rep.endpoint()
	ok(t, "req", "-c", ep, "one")
	ok(t, "req", "-c", ep, "two")
	r := rep.wait()
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, "6f6e65\n74776f\n", r.stdout)
}

// TestRemoteError: a command that fails is exit code 5 for a meshmq req and a text for others.
func TestRemoteError(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	rep := start(t, "rep", "-b", anyPort, "--exec", "cat; exit 7")
	ep := rep.endpoint()
	r := meshmq(t, "req", "-c", ep, "hello")
	assert.Equal(t, 5, r.code)
	assert.Empty(t, r.stdout)
	assert.Contains(t, r.stderr, "remote error: cat; exit 7: exit status 7")

	req := socket.NewReq()
	defer req.Close()
	require.NoError(t, req.Connect(ep))
	m, err := req.Request(t.Context(), []byte("hello"))
	require.NoError(t, err)
	assert.Equal(t, "error: cat; exit 7: exit status 7", m.String())
	require.Len(t, m.Frames, 1)
}

// TestReplyTooLarge: a reply that is too large is an error for the asker, and rep goes on.
func TestReplyTooLarge(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the command is one of a Unix shell")
	}
	rep := start(t, "rep", "-b", anyPort, "--exec", `read what; test "$what" = all && exec yes; echo "$what"`)
	r := meshmq(t, "req", "-c", rep.endpoint(), "all\n")
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "the output is larger than 67108864 bytes")
	assert.Equal(t, "one\n", meshmq(t, "req", "-c", rep.endpoint(), "--timeout", "30s", "one\n").stdout)
}

// TestEchoOfLargest: the largest message there is leaves no room for the status of its echo, which is an error for the asker; rep goes on.
func TestEchoOfLargest(t *testing.T) {
	t.Parallel()
	rep := start(t, "rep", "-b", anyPort, "--echo")
	args := []string{"req", "-c", rep.endpoint()}
	for range 1024 {
		args = append(args, "--frame", "x")
	}
	r := meshmq(t, args...)
	assert.Equal(t, 5, r.code)
	assert.Contains(t, r.stderr, "remote error: send: message too large: 1025 frames")
	assert.Equal(t, "one\n", meshmq(t, "req", "-c", rep.endpoint(), "--timeout", "30s", "one").stdout)
}

// TestForeignReplier: a reply of a peer that is no meshmq rep is taken as it is.
func TestForeignReplier(t *testing.T) {
	t.Parallel()
	rep := socket.NewRep()
	defer rep.Close()
	ep, err := rep.Bind(anyPort)
	require.NoError(t, err)
	req := start(t, "req", "-c", ep, "hello")
	m, err := rep.Recv(t.Context())
	require.NoError(t, err)
	assert.Equal(t, "hello", m.String())
	require.NoError(t, rep.Send(t.Context(), []byte("a"), []byte("b")))
	assert.Equal(t, "a\tb\n", req.wait().stdout)
}

func TestPair(t *testing.T) {
	t.Parallel()
	one := start(t, "pair", "-b", anyPort, "--count", "2", "from one")
	two := meshmq(t, "pair", "-c", one.endpoint(), "--count", "1", "a", "b") // lines of standard input may come too late to be sent
	assert.Equal(t, result{0, "from one\n", ""}, two)
	r := one.wait()
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, "a\nb\n", r.stdout)
}

// TestPairListens: without anything to send it prints until interrupted; what is sent without a limit ends the sender.
func TestPairListens(t *testing.T) {
	t.Parallel()
	listener := start(t, "pair", "-b", anyPort)
	require.NoError(t, listener.stdin.Close())
	assert.Empty(t, ok(t, "pair", "-c", listener.endpoint(), "hello"))
	listener.prints("hello\n")
}

func TestDealerRouter(t *testing.T) {
	t.Parallel()
	router := start(t, "router", "-b", anyPort, "--echo", "--quoted", "--count", "2")
	assert.Equal(t, "x\ny\n", ok(t, "dealer", "-c", router.endpoint(), "--identity", "bob", "--count", "2", "x", "y"))
	r := router.wait()
	assert.Zero(t, r.code, r.stderr)
	assert.Equal(t, "\"bob\"\t\"x\"\n\"bob\"\t\"y\"\n", r.stdout)
}

// TestPeerGone: a request whose peer goes away fails at once, with exit code 1.
func TestPeerGone(t *testing.T) {
	t.Parallel()
	rep := socket.NewRep()
	ep, err := rep.Bind(anyPort)
	require.NoError(t, err)
	req := start(t, "req", "-c", ep, "hello")
	_, err = rep.Recv(t.Context())
	require.NoError(t, err)
	require.NoError(t, rep.Close())
	r := req.wait()
	assert.Equal(t, 1, r.code)
	assert.Empty(t, r.stdout)
	assert.Contains(t, r.stderr, "peer gone")
}

// TestPushCountsTheLost: what was queued for a peer that left is no success.
func TestPushCountsTheLost(t *testing.T) {
	t.Parallel()
	push := start(t, "push", "-b", anyPort, "--hwm", "0")
	pull := socket.NewPull(socket.WithRecvHWM(1))
	require.NoError(t, pull.Connect(push.endpoint()))
	body := []byte(strings.Repeat("x", 1<<20-1) + "\n")
	for range 40 { // more than the system's buffers hold
		_, err := push.stdin.Write(body)
		require.NoError(t, err)
	}
	_, err := pull.Recv(t.Context())
	require.NoError(t, err)
	require.NoError(t, pull.Close())
	push.says("dropped")
	require.NoError(t, push.stdin.Close())
	heir := socket.NewPull() // takes what was not yet accepted
	defer heir.Close()
	require.NoError(t, heir.Connect(push.endpoint()))
	r := push.wait()
	assert.Equal(t, 1, r.code, r.stderr)
	assert.Contains(t, r.stderr, "lost")
}
