package socket_test

import (
	"context"
	"iter"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

type anySocket interface {
	connector
	Unbind(string) error
	Disconnect(string) error
	WaitPeers(context.Context, int) error
	Shutdown(context.Context) error
	Stats() socket.Stats
	Events(context.Context) iter.Seq[socket.Event]
}

// calls makes every call that can fail and returns the errors by name.
func calls(s anySocket) map[string]error {
	errs := map[string]error{}
	_, errs["bind"] = s.Bind("tcp://127.0.0.1:0")
	errs["connect"] = s.Connect("tcp://127.0.0.1:1")
	errs["unbind"] = s.Unbind("tcp://127.0.0.1:1")
	errs["disconnect"] = s.Disconnect("tcp://127.0.0.1:1")
	errs["wait for peers"] = s.WaitPeers(context.Background(), 1)
	if s, ok := s.(sender); ok {
		errs["send"] = s.Send(context.Background(), text("x"), text("y"))
	}
	ctx := context.Background()
	switch s := s.(type) {
	case interface {
		Send(context.Context, []byte) error
	}:
		errs["send"] = s.Send(ctx, text("x"))
	case interface {
		Send(context.Context, uint32, []byte) error
	}:
		errs["send"] = s.Send(ctx, 1, text("x"))
	case *socket.Radio:
		errs["send"] = s.Send(ctx, "group", text("x"))
	case *socket.Stream:
		errs["send"] = s.Send(ctx, text("id"), text("x"))
	case *socket.Dish:
		errs["join"], errs["leave"] = s.Join("group"), s.Leave("group")
	}
	if s, ok := s.(recver); ok {
		_, errs["recv"] = s.Recv(context.Background())
	}
	if s, ok := s.(interface{ Subscribe(...string) error }); ok {
		errs["subscribe"] = s.Subscribe("x")
	}
	if s, ok := s.(interface{ Unsubscribe(...string) error }); ok {
		errs["unsubscribe"] = s.Unsubscribe("x")
	}
	if s, ok := s.(interface {
		WaitSubscribers(context.Context, string, int) error
	}); ok {
		errs["wait for subscribers"] = s.WaitSubscribers(context.Background(), "", 1)
	}
	if s, ok := s.(*socket.Req); ok {
		_, errs["request"] = s.Request(context.Background(), text("x"))
	}
	return errs
}

func allTypes(opts ...socket.Option) []anySocket {
	return []anySocket{
		socket.NewPush(opts...), socket.NewPull(opts...), socket.NewReq(opts...), socket.NewRep(opts...), socket.NewDealer(opts...), socket.NewRouter(opts...),
		socket.NewPub(opts...), socket.NewSub(opts...), socket.NewXPub(opts...), socket.NewXSub(opts...), socket.NewPair(opts...),
		socket.NewClient(opts...), socket.NewServer(opts...), socket.NewRadio(opts...), socket.NewDish(opts...), socket.NewScatter(opts...),
		socket.NewGather(opts...), socket.NewP2P(opts...), socket.NewChannel(opts...), socket.NewStream(opts...),
	}
}

// An option with an impossible value makes every call an error that names the option and its value.
func TestOption_Impossible(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		option socket.Option
		want   string
	}{
		{socket.WithSendHWM(-1), "WithSendHWM(-1)"},
		{socket.WithSendHWMBytes(-2), "WithSendHWMBytes(-2)"},
		{socket.WithRecvHWM(-3), "WithRecvHWM(-3)"},
		{socket.WithRecvHWMBytes(math.MinInt), "WithRecvHWMBytes(-"},
		{socket.WithMaxMessageSize(-1), "WithMaxMessageSize(-1)"},
		{socket.WithMaxPeers(-1), "WithMaxPeers(-1)"},
		{socket.WithLinger(-time.Second), "WithLinger(-1s)"},
		{socket.WithHandshakeTimeout(-1), "WithHandshakeTimeout(-1ns)"},
		{socket.WithConnectTimeout(-1), "WithConnectTimeout(-1ns)"},
		{socket.WithReconnect(0, time.Second), "WithReconnect(0s, 1s)"},
		{socket.WithReconnect(time.Second, time.Millisecond), "WithReconnect(1s, 1ms)"},
		{socket.WithHeartbeat(-1, 0), "WithHeartbeat(-1ns, 0s)"},
		{socket.WithHeartbeat(2, 1), "WithHeartbeat(2ns, 1ns)"},
		{socket.WithIdentity(""), "WithIdentity"},
		{socket.WithIdentity("\x00a"), "WithIdentity"},
		{socket.WithIdentity(strings.Repeat("x", 256)), "WithIdentity"},
		{socket.WithProperty("Identity", "x"), `WithProperty("Identity")`},
		{socket.WithProperty("X-ä", "x"), `WithProperty("X-ä")`},
		{socket.WithProperty("x-mesh", "x"), `WithProperty(x-mesh): the name is taken`},
		{socket.WithEventHandler(nil), "WithEventHandler(nil)"},
		{socket.WithDropPolicy(99), "WithDropPolicy(policy 99)"},
		{socket.WithPeerDropPolicy(nil), "WithPeerDropPolicy(nil)"},
		{socket.WithWelcomeMessage(), "WithWelcomeMessage()"},
		{socket.WithReconnectStop(), "WithReconnectStop(never)"},
		{socket.WithReconnectStop(socket.StopOnRefused, 64), "WithReconnectStop(refused, ?)"},
		{socket.WithHelloMessage(), "WithHelloMessage"},
	} {
		for _, s := range allTypes(tc.option) {
			for op, err := range calls(s) {
				require.ErrorIs(t, err, socket.ErrOption, "%s of %T", op, s)
				require.True(t, strings.HasPrefix(err.Error(), op), err)
				require.ErrorContains(t, err, tc.want)
			}
			require.NoError(t, s.Close())
			require.NoError(t, s.Shutdown(try()))
			assert.Zero(t, s.Stats().MessagesOut)
		}
	}
}

// The first mistake is the one that is reported.
func TestOption_FirstMistake(t *testing.T) {
	t.Parallel()
	s := socket.NewPull(socket.WithRecvHWM(-1), socket.WithLinger(-1))
	require.ErrorContains(t, s.Connect("tcp://127.0.0.1:1"), "WithRecvHWM")
}

// An option that is for other socket types is a mistake as well, and the error says which those are.
func TestOption_WrongType(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		option socket.Option
		types  string
	}{
		{"WithIdentity", socket.WithIdentity("x"), "REQ DEALER ROUTER"},
		{"WithImmediate", socket.WithImmediate(), "PUSH DEALER PAIR CLIENT SCATTER CHANNEL"},
		{"WithNoDrop", socket.WithNoDrop(), "PUB XPUB RADIO"},
		{"WithDropPolicy", socket.WithDropPolicy(socket.DropOldest), "PUB XPUB RADIO"},
		{"WithPeerDropPolicy", socket.WithPeerDropPolicy(func(*socket.Peer) socket.DropPolicy { return socket.Block }), "PUB XPUB RADIO"},
		{"WithConflate", socket.WithConflate(), "PUSH PULL PUB SUB DEALER"},
		{"WithVerbose", socket.WithVerbose(), "XPUB"},
		{"WithVerboser", socket.WithVerboser(), "XPUB"},
		{"WithManual", socket.WithManual(), "XPUB"},
		{"WithWelcomeMessage", socket.WithWelcomeMessage(text("x")), "PUB XPUB"},
		{"WithInvertMatching", socket.WithInvertMatching(), "PUB XPUB SUB"},
		{"WithOnlyFirstSubscribe", socket.WithOnlyFirstSubscribe(), "XPUB XSUB"},
		{"WithVerboseUnsubscribe", socket.WithVerboseUnsubscribe(), "XSUB"},
		{"WithRelaxed", socket.WithRelaxed(), "REQ"},
		{"WithCorrelate", socket.WithCorrelate(), "REQ"},
		{"WithMandatory", socket.WithMandatory(true), "ROUTER"},
		{"WithHandover", socket.WithHandover(true), "ROUTER"},
		{"WithNotify", socket.WithNotify(true, true), "ROUTER STREAM"},
		{"WithProbe", socket.WithProbe(), "REQ DEALER ROUTER"},
		{"WithHelloMessage", socket.WithHelloMessage(text("x")), "DEALER ROUTER CLIENT SERVER PEER"},
		{"WithDisconnectMessage", socket.WithDisconnectMessage(text("x")), "ROUTER SERVER PEER"},
		{"WithHiccupMessage", socket.WithHiccupMessage(text("x")), "DEALER CLIENT PEER"},
		{"WithReroute", socket.WithReroute(), "PUSH SCATTER"},
		{"WithLeastOutstanding", socket.WithLeastOutstanding(), "PUSH DEALER REQ CLIENT SCATTER"},
	} {
		for _, s := range allTypes(tc.option) {
			typ := s.(interface{ Type() string }).Type()
			err := s.Connect("inproc://" + t.Name())
			if strings.Contains(" "+tc.types+" ", " "+typ+" ") {
				require.NoError(t, err, "%s on %s", tc.name, typ)
			} else {
				require.ErrorIs(t, err, socket.ErrOption)
				require.ErrorContains(t, err, tc.name+" on a "+typ+" socket: it is for ["+tc.types+"]")
			}
			require.NoError(t, s.Close())
		}
	}
}

// What cannot be announced makes the socket unusable, rather than fail in each handshake. A property given twice has the value given last.
func TestOption_PropertiesTogether(t *testing.T) {
	t.Parallel()
	err := socket.NewPush(socket.WithProperty("X-Big", strings.Repeat("x", 3<<10))).Connect("tcp://127.0.0.1:1")
	require.ErrorIs(t, err, socket.ErrOption)
	require.ErrorContains(t, err, "WithProperty: zmtp: our metadata would make a command of")
	push, pull := socket.NewPush(socket.WithProperty("X-Name", "old"), socket.WithProperty("x-NAME", "new")), socket.NewPull()
	join(t, "inproc", pull, push)
	require.NoError(t, pull.WaitPeers(limit(t), 1))
	value, known := pull.Peers()[0].Property("X-Name")
	assert.True(t, known)
	assert.Equal(t, "new", value)
}

// The extremes of what is allowed work.
func TestOption_Extremes(t *testing.T) {
	t.Parallel()
	opts := []socket.Option{
		socket.WithSendHWM(0), socket.WithSendHWMBytes(0), socket.WithRecvHWM(0), socket.WithRecvHWMBytes(0), socket.WithMaxMessageSize(0),
		socket.WithMaxPeers(0), socket.WithHandshakeTimeout(0), socket.WithConnectTimeout(0), socket.WithHeartbeat(0, 0),
		socket.WithProperty("X-"+strings.Repeat("y", 253), strings.Repeat("z", 1000)),
	}
	for _, more := range [][]socket.Option{nil, {socket.WithMaxMessageSize(math.MaxInt), socket.WithSendHWM(math.MaxInt), socket.WithRecvHWMBytes(math.MaxInt)}} {
		req, rep := socket.NewReq(append(opts, more...)...), socket.NewRep(append(opts, more...)...)
		join(t, "tcp", rep, req)
		send(t, req, strings.Repeat("x", 1<<20))
		m := recv(t, rep)
		assert.Equal(t, 1<<20, m.Size())
		v, _ := m.Peer().Property("X-" + strings.Repeat("Y", 253))
		assert.Len(t, v, 1000)
		send(t, rep, "y")
		requireMsg(t, recv(t, req), "y")
	}
}

// The zero value of a socket type is no socket; it says so instead of working by half.
func TestZeroValues(t *testing.T) {
	t.Parallel()
	for _, s := range []anySocket{
		new(socket.Push), new(socket.Pull), new(socket.Req), new(socket.Rep), new(socket.Dealer), new(socket.Router),
		new(socket.Pub), new(socket.Sub), new(socket.XPub), new(socket.XSub), new(socket.Pair),
	} {
		for op, err := range calls(s) {
			require.ErrorIs(t, err, socket.ErrState, "%s of %T", op, s)
			require.ErrorContains(t, err, "zero value", "%s of %T", op, s)
		}
		assert.NoError(t, s.Close())
		assert.Equal(t, socket.Stats{}, s.Stats())
		assert.False(t, s.(interface{ Connected(string) bool }).Connected("tcp://127.0.0.1:1"))
		ctx := limit(t)
		for e := range s.Events(ctx) {
			assert.Fail(t, "no socket has events", e)
		}
		require.NoError(t, ctx.Err(), "the stream ended by itself")
	}
	var m socket.Msg
	assert.Nil(t, m.Bytes())
	assert.Nil(t, m.Peer())
	assert.Zero(t, m.Size())
	assert.Empty(t, m.Clone().Frames)
}

// WithMaxMessageSize holds on the way out, where Send refuses, and on the way in, where the peer is dropped with a reason. Exactly
// the limit passes, whatever the pattern adds to it.
func TestMaxMessageSize(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const most = 1000
		small := socket.WithMaxMessageSize(most)
		push, pull := socket.NewPush(swift()), socket.NewPull(small)
		await, awaitPush := watch(t, pull), watch(t, push)
		join(t, transport, pull, push)
		send(t, push, strings.Repeat("x", most-1), "y")
		assert.Equal(t, most, recv(t, pull).Size())
		send(t, push, strings.Repeat("x", most), "y")
		e := await(socket.Disconnected)
		assert.ErrorIs(t, e.Err, socket.ErrTooLarge)
		assert.ErrorContains(t, e.Err, "1001 bytes, at most 1000")
		awaitPush(socket.Disconnected) // what is on its way until then is lost
		send(t, push, "after")
		requireMsg(t, recv(t, pull), "after")
	})
	req, rep := socket.NewReq(socket.WithMaxMessageSize(1000)), socket.NewRep(socket.WithMaxMessageSize(1000))
	join(t, "inproc", rep, req)
	err := req.Send(limit(t), make([]byte, 1001))
	require.ErrorIs(t, err, socket.ErrTooLarge)
	require.ErrorContains(t, err, "1001 bytes, WithMaxMessageSize allows 1000")
	require.ErrorIs(t, req.Send(limit(t)), socket.ErrState, "no frames")
	send(t, req, strings.Repeat("x", 1000))
	recv(t, rep)
	require.ErrorIs(t, rep.Send(limit(t), make([]byte, 1001)), socket.ErrTooLarge)
	send(t, rep, strings.Repeat("x", 1000))
	assert.Equal(t, 1000, recv(t, req).Size())
}

// A message of more frames than a peer takes is refused by Send, rather than by each peer that it would be sent to. The most there may be
// pass, and with the envelope of a request.
func TestSend_TooManyFrames(t *testing.T) {
	t.Parallel()
	const most = 1024
	req, router := socket.NewReq(socket.WithCorrelate()), socket.NewRouter()
	join(t, "inproc", router, req)
	err := req.Send(limit(t), make([][]byte, most+1)...)
	require.ErrorIs(t, err, socket.ErrTooLarge)
	require.ErrorContains(t, err, "1025 frames, WithMaxFrames allows 1024")
	require.NoError(t, req.Send(limit(t), make([][]byte, most)...))
	assert.Len(t, recv(t, router).Frames, most+3) // routing id, request id, delimiter
}
