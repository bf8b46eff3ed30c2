package socket_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// RFC 28, 30: the queue of an endpoint that was connected to outlives the connection. What is sent while the peer is away
// waits for it, whole and in order.
func TestInteropQueueOutlivesPeer(t *testing.T) {
	t.Parallel()
	for i, kinds := range [][2]string{{"PUSH", "PULL"}, {"DEALER", "ROUTER"}, {"DEALER", "DEALER"}, {"PAIR", "PAIR"}} {
		t.Run(kinds[0]+"-"+kinds[1], func(t *testing.T) {
			t.Parallel()
			process := startLibzmq(t)
			at := process.open(t, kinds[1], nil)
			endpoint := at.bind(freshEndpoint(t, []string{"tcp", "ipc"}[i%2]))
			from := openOwn(t, kinds[0], quick)
			from.connect(endpoint)
			sendNumbers(from, 0, 100)
			requireNumbers(t, at, 0, 100)

			process.kill()
			from.awaitEvent(socket.Disconnected)
			sendNumbers(from, 100, 900)
			process = startLibzmq(t)
			at = process.open(t, kinds[1], nil)
			at.bind(endpoint)
			requireNumbers(t, at, 100, 900)
			peers := from.Stats().Peers
			require.Len(t, peers, 1)
			require.EqualValues(t, 1, peers[0].Reconnects)
			require.Empty(t, from.Stats().Dropped)
		})
	}
}

// The same for libzmq's queue, while we are away.
func TestInteropTheirQueueOutlivesUs(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	push := process.open(t, "PUSH", options{"RECONNECT_IVL": 10})
	pull := openOwn(t, "PULL")
	endpoint := pull.bind(freshEndpoint(t, "tcp"))
	push.connect(endpoint)
	sendNumbers(push, 0, 100)
	requireNumbers(t, pull, 0, 100)
	require.NoError(t, pull.Close()) // it has waited for libzmq to hang up, which sends nothing from then on
	sendNumbers(push, 100, 900)
	pull = openOwn(t, "PULL")
	pull.bind(endpoint)
	requireNumbers(t, pull, 100, 900)
}

// RFC 30: the queue of a peer that connected to us ends with it: what it held is dropped, and counted, not given to the peer that
// comes next. What is sent from then on arrives.
func TestInteropQueueOfAcceptedPeerEnds(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	pull := process.open(t, "PULL", options{"RCVHWM": 1})
	push := openOwn(t, "PUSH")
	endpoint := push.bind(freshEndpoint(t, "tcp"))
	pull.connect(endpoint)
	push.waitPeers(1)
	sent := fill(t, push.meshSocket.(sender), 64<<10) // more than the buffers of the system hold
	process.kill()
	dropped := push.awaitEvent(socket.Dropped)
	require.Equal(t, socket.DropPeerGone, dropped.Reason)
	require.LessOrEqual(t, dropped.Count, uint64(sent))
	require.Equal(t, dropped.Count, push.Stats().Dropped[socket.DropPeerGone])

	pull = startLibzmq(t).open(t, "PULL", nil)
	pull.connect(endpoint)
	push.waitPeers(1)
	sendNumbers(push, 0, 100)
	requireNumbers(t, pull, 0, 100)
}

// RFC 28: a REQ whose server dies is told at once, and its next request goes to the server that returns. A reply is always that to the
// last request.
func TestInteropServerRestartsMidRequests(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"REP", "ROUTER"} {
		for _, binds := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s binds %t", kind, binds), func(t *testing.T) {
				t.Parallel()
				req := openOwn(t, "REQ", quick)
				role := flowRole{t: t, kind: kind, binds: binds}
				endpoint := freshEndpoint(t, "tcp")
				if !binds {
					endpoint = req.bind(endpoint)
				}
				var process *peerProcess
				serve := func() {
					process = startLibzmq(t)
					server := process.open(t, kind, options{"RECONNECT_IVL": 10})
					endpoint = role.join(server, endpoint)
					process.ask(t, peerRequest{Op: "echo", Socket: server.number})
				}
				serve()
				if binds {
					req.connect(endpoint)
				}
				for life := range 3 {
					if life > 0 {
						serve()
					}
					askUntilGone(t, req, life, process.kill)
				}
			})
		}
	}
}

// askUntilGone makes requests, has the server killed in the midst of them, and returns once one has failed.
func askUntilGone(t *testing.T, req *own, life int, kill func()) {
	t.Helper()
	ctx, cancel := req.ctx()
	defer cancel()
	var killing sync.WaitGroup
	defer killing.Wait()
	for i := 0; ; i++ {
		question := fmt.Appendf(nil, "%d.%d", life, i)
		reply, err := req.meshSocket.(*socket.Req).Request(ctx, question)
		if err != nil {
			require.ErrorIs(t, err, socket.ErrPeerGone)
			require.Greater(t, i, 200)
			return
		}
		require.Equal(t, question, reply.Bytes())
		if i == 200 {
			killing.Go(kill)
		}
	}
}

// RFC 28: a REP whose client dies before the reply drops it and serves the next; one that returns itself is asked again.
func TestInteropClientAndServerRestart(t *testing.T) {
	t.Parallel()
	rep := openOwn(t, "REP")
	endpoint := rep.bind(freshEndpoint(t, "tcp"))
	process := startLibzmq(t)
	req := process.open(t, "REQ", nil)
	req.connect(endpoint)
	req.send([]byte("dies"))
	requireFrames(t, frames("dies"), rep.recv())
	process.kill()
	rep.awaitEvent(socket.Disconnected)
	rep.send([]byte("to nobody"))

	req = startLibzmq(t).open(t, "REQ", options{"REQ_RELAXED": 1, "REQ_CORRELATE": 1, "RECONNECT_IVL": 10})
	req.connect(endpoint)
	for i := range 3 {
		first, second := fmt.Sprint("first ", i), fmt.Sprint("second ", i)
		req.send([]byte(first))
		requireFrames(t, frames(first), rep.recv())
		require.NoError(t, rep.Close()) // in the middle of the request
		rep = openOwn(t, "REP")
		rep.bind(endpoint)
		rep.waitPeers(1)
		req.send([]byte(second))
		requireFrames(t, frames(second), rep.recv())
		rep.send([]byte(second))
		requireFrames(t, frames(second), req.recv())
	}
}

// manyTopics are five times the default high-water mark.
func manyTopics() []string {
	topics := make([]string, 5000)
	for i := range topics {
		topics[i] = fmt.Sprintf("topic-%04d.", i)
	}
	return topics
}

// subscriptionsTo returns the topics that n subscriptions were to, sorted.
func subscriptionsTo(t *testing.T, n int, next func() []byte) []string {
	t.Helper()
	seen := make([]string, n)
	for i := range seen {
		m := next()
		require.Equal(t, byte(1), m[0])
		seen[i] = string(m[1:])
	}
	slices.Sort(seen)
	return seen
}

// RFC 29: a SUB tells a publisher that returns everything again. No high-water mark applies to that, in either form of the
// subscription and whoever connects.
func TestInteropSubscriptionsOutlivePublisher(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"tcp", "tcp 3.0", "ipc"} {
		for _, binds := range []bool{true, false} {
			if transport == "tcp 3.0" && !binds {
				continue // the relay is with the test, not with the process that is killed
			}
			t.Run(fmt.Sprintf("%s binds %t", transport, binds), func(t *testing.T) {
				t.Parallel()
				topics := manyTopics()
				sub := openOwn(t, "SUB", quick, socket.WithSendHWM(1), socket.WithSendHWMBytes(1))
				for _, topic := range topics {
					sub.subscribe(topic)
				}
				endpoint := freshEndpoint(t, transport)
				if !binds {
					endpoint = sub.bind(endpoint)
				}
				for life := range 3 {
					process := startLibzmq(t)
					xpub := process.open(t, "XPUB", nil)
					endpoint = (&flowRole{t: t, kind: "XPUB", binds: binds}).join(xpub, endpoint)
					if binds && life == 0 {
						sub.connect(through(t, transport, endpoint))
					}
					all := xpub.take(len(topics))
					require.Equal(t, topics, subscriptionsTo(t, len(topics), func() (m []byte) {
						m, all = all[0][0], all[1:]
						return m
					}))
					xpub.send([]byte(topics[4999] + "x"))
					requireFrames(t, frames(topics[4999]+"x"), sub.recv())
					process.kill()
				}
			})
		}
	}
}

// The same with the parts exchanged. libzmq's SUB tells everything only without a limit on what it sends (its issue 2258): with its
// default it tells any publisher 1000 of these topics, at first and again.
func TestInteropPublisherRestarts(t *testing.T) {
	t.Parallel()
	topics := manyTopics()
	sub := startLibzmq(t).open(t, "SUB", options{"RECONNECT_IVL": 10, "SNDHWM": 0, "SUBSCRIBE": topics})
	publisherRestarts(t, topics, func(endpoint string) { sub.connect(endpoint) }, sub)
}

// The same between two sockets of ours.
func TestManyTopicsOutlivePublisher(t *testing.T) {
	t.Parallel()
	topics := manyTopics()
	sub := openOwn(t, "SUB", quick, socket.WithSendHWM(1))
	require.NoError(t, sub.meshSocket.(*socket.Sub).Subscribe(topics...))
	publisherRestarts(t, topics, sub.connect, sub)
}

// publisherRestarts has our XPUB leave and return, and hear of all topics each time.
func publisherRestarts(t *testing.T, topics []string, connect func(string), sub end) {
	endpoint := freshEndpoint(t, "tcp")
	for life := range 3 {
		xpub := openOwn(t, "XPUB")
		endpoint = xpub.bind(endpoint)
		if life == 0 {
			connect(endpoint)
		}
		require.Nil(t, sub.tryRecv(0), "nothing is published; libzmq attends to new connections while it is called")
		require.Equal(t, topics, subscriptionsTo(t, len(topics), func() []byte { return recvChange(t, xpub, sub)[0] }))
		for _, i := range []int{0, 2500, 4999} {
			xpub.send([]byte("nobody asked for this"))
			xpub.send([]byte(topics[i]))
			requireFrames(t, frames(topics[i]), sub.recv())
		}
		require.NoError(t, xpub.Close())
	}
}
