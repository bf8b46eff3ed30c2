package socket_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// A pairing is a socket type of ours, one of the other implementation, and what they say to each other.
type pairing struct {
	ours, theirs string
	talk         func(t *testing.T, ours, theirs end, messages [][][]byte)
}

// swapped is for conversations in which the other implementation has the first part.
func swapped(talk func(*testing.T, end, end, [][][]byte)) func(*testing.T, end, end, [][][]byte) {
	return func(t *testing.T, ours, theirs end, messages [][][]byte) {
		t.Helper()
		talk(t, theirs, ours, messages)
	}
}

// sizes are those at which framing changes, and some that take several reads.
func sizes() [][][]byte {
	var messages [][][]byte
	for _, n := range []int{0, 1, 255, 256, 64 << 10, 1 << 20} {
		messages = append(messages, [][]byte{pattern(n, 'a')})
	}
	return append(messages,
		[][]byte{pattern(1, 'b'), pattern(256, 'c')},
		[][]byte{pattern(255, 'd'), pattern(64<<10, 'e'), pattern(1, 'f')})
}

// withEmptyFrames adds empty frames in all places.
func withEmptyFrames() [][][]byte {
	return append(sizes(),
		frames("", ""),
		frames("", "a"),
		frames("a", "", "b"),
		frames("a", "b", ""),
		[][]byte{{}, pattern(64<<10, 'e'), {}, {}})
}

// classics are the legal pairs of the classic types (RFC 28 to 31), each with either implementation in either part.
var classics = bothWays([]pairing{
	{"PUSH", "PULL", oneWay},
	{"REQ", "REP", echo},
	{"REQ", "ROUTER", echo},
	{"DEALER", "REP", echo},
	{"DEALER", "ROUTER", echo},
	{"DEALER", "DEALER", echo},
	{"ROUTER", "ROUTER", address},
	{"PUB", "SUB", broadcast},
	{"PUB", "XSUB", broadcast},
	{"XPUB", "SUB", forward},
	{"XPUB", "XSUB", forward},
	{"PAIR", "PAIR", echo},
})

func bothWays(pairings []pairing) []pairing {
	all := pairings
	for _, p := range pairings {
		if p.ours != p.theirs {
			all = append(all, pairing{p.theirs, p.ours, swapped(p.talk)})
		}
	}
	return all
}

// RFC 37: every socket type talks to its legal peers, whichever side binds.
func TestInteropLibzmq(t *testing.T) {
	t.Parallel()
	runPairings(t, startLibzmq, classics, withEmptyFrames(), "tcp", "ipc")
}

// RFC 23: the same with ZMTP 3.0 between us.
func TestInteropLibzmq30(t *testing.T) {
	t.Parallel()
	runPairings(t, startLibzmq, classics, withEmptyFrames(), "tcp 3.0")
}

// RFC 23, with a peer that speaks no more than ZMTP 3.0. Left out are empty frames towards its REP, what its XPUB shows
// (its issues 108 and 136), CANCEL from its SUB, and its ROUTER towards another.
func TestInteropZMQ4(t *testing.T) {
	t.Parallel()
	runPairings(t, startZMQ4, []pairing{
		{"PUSH", "PULL", oneWay}, {"PULL", "PUSH", swapped(oneWay)},
		{"REQ", "ROUTER", echo}, {"REP", "REQ", swapped(echo)}, {"ROUTER", "REQ", swapped(echo)},
		{"REP", "DEALER", swapped(echo)},
		{"DEALER", "ROUTER", echo}, {"ROUTER", "DEALER", swapped(echo)},
		{"PUB", "SUB", broadcast}, {"SUB", "PUB", swapped(broadcast)},
		{"XPUB", "SUB", broadcast}, {"SUB", "XPUB", swapped(broadcast)},
		{"XPUB", "XSUB", forward}, {"XSUB", "XPUB", swapped(broadcast)},
		{"PAIR", "PAIR", echo},
	}, withEmptyFrames(), "tcp", "ipc")
	runPairings(t, startZMQ4, []pairing{{"REQ", "REP", echo}, {"DEALER", "REP", echo}}, sizes()[1:], "tcp", "ipc")
}

// runPairings holds each conversation over each transport with each side binding. "tcp 3.0" is TCP with ZMTP 3.0,
// which a relay in between makes of 3.1.
func runPairings(t *testing.T, start func(*testing.T) *peerProcess, pairings []pairing, messages [][][]byte, transports ...string) {
	for _, p := range pairings {
		t.Run(p.ours+"-"+p.theirs, func(t *testing.T) {
			t.Parallel()
			process := start(t)
			for _, transport := range transports {
				t.Run(transport+" bind", func(t *testing.T) {
					ours, theirs := openBoth(t, process, p)
					theirs.connect(through(t, transport, ours.bind(freshEndpoint(t, transport))))
					p.hold(t, ours, theirs, messages)
				})
				t.Run(transport+" connect", func(t *testing.T) {
					ours, theirs := openBoth(t, process, p)
					ours.connect(through(t, transport, theirs.bind(freshEndpoint(t, transport))))
					p.hold(t, ours, theirs, messages)
				})
			}
		})
	}
}

// through is where to connect to reach endpoint over this transport.
func through(t *testing.T, transport, endpoint string) string {
	if transport == "tcp 3.0" {
		return startRelay(t, endpoint, 0).endpoint
	}
	return endpoint
}

func (p pairing) hold(t *testing.T, ours *own, theirs *foreign, messages [][][]byte) {
	t.Helper()
	ours.waitPeers(1)
	p.talk(t, ours, theirs, messages)
}

// identity is that of the DEALER, REQ and ROUTER sockets that talk to a ROUTER; theirID is that of the other's ROUTER then.
const (
	identity = "peer-1"
	theirID  = "peer-2"
)

func openBoth(t *testing.T, process *peerProcess, p pairing) (*own, *foreign) {
	t.Helper()
	return openWith(t, process, p, options{})
}

func openWith(t *testing.T, process *peerProcess, p pairing, theirOptions options, ourOptions ...socket.Option) (*own, *foreign) {
	t.Helper()
	theirOptions = maps.Clone(theirOptions)
	switch {
	case p.ours == "ROUTER" && p.theirs == "ROUTER":
		ourOptions = append(ourOptions, socket.WithIdentity(identity))
		theirOptions["ROUTING_ID"] = theirID
	case p.theirs == "ROUTER":
		ourOptions = append(ourOptions, socket.WithIdentity(identity))
	case p.ours == "ROUTER":
		theirOptions["ROUTING_ID"] = identity
	}
	ours := openOwn(t, p.ours, ourOptions...)
	theirs := process.open(t, p.theirs, theirOptions)
	t.Cleanup(theirs.close) // before ours, which would wait for it
	return ours, theirs
}

func oneWay(t *testing.T, from, to end, messages [][][]byte) {
	t.Helper()
	for _, m := range messages {
		from.send(m...)
		requireFrames(t, m, to.recv())
	}
}

// echo has the server send back what it received, envelope and all.
func echo(t *testing.T, client, server end, messages [][][]byte) {
	t.Helper()
	for _, m := range messages {
		request, seen := m, m
		if client.socketType() == "DEALER" && server.socketType() == "REP" {
			request = append(frames(""), m...)
		}
		if server.socketType() == "ROUTER" {
			seen = append(frames(identity), m...)
			if client.socketType() == "REQ" {
				seen = append(frames(identity, ""), m...)
			}
		}
		client.send(request...)
		got := server.recv()
		requireFrames(t, seen, got)
		server.send(got...)
		requireFrames(t, request, client.recv())
	}
}

// address has two ROUTERs call each other by name. Ours speaks first: libzmq's drops what is for a peer that it does not
// know yet.
func address(t *testing.T, ours, theirs end, messages [][][]byte) {
	t.Helper()
	for _, m := range messages {
		ours.send(append(frames(theirID), m...)...)
		requireFrames(t, append(frames(identity), m...), theirs.recv())
		theirs.send(append(frames(identity), m...)...)
		requireFrames(t, append(frames(theirID), m...), ours.recv())
	}
}

func broadcast(t *testing.T, pub, sub end, messages [][][]byte) {
	t.Helper()
	sub.subscribe("")
	awaitSubscription(t, pub, sub)
	oneWay(t, pub, sub, messages)
}

// awaitSubscription returns once what pub sends reaches sub, which is subscribed to everything. Ours can
// say so. Others do not, so we knock until we are heard.
func awaitSubscription(t *testing.T, pub, sub end) {
	t.Helper()
	if p, ours := pub.(*own); ours {
		p.waitSubscriber("", sub)
		return
	}
	knock(pub, sub)
}

// knock returns once sub hears pub, and has heard all that pub sent. Before the word goes what pub has to put there.
func knock(pub, sub end, before ...string) {
	for heard := false; !heard; {
		pub.send(frames(append(before, "knock")...)...)
		heard = sub.tryRecv(20*time.Millisecond) != nil
	}
	pub.send(frames(append(before, "open")...)...)
	for string(sub.recv()[len(before)]) != "open" { // the knocks that were late
	}
}

// forward has a publisher that sees the subscriptions, as the devices between networks do.
func forward(t *testing.T, xpub, sub end, messages [][][]byte) {
	t.Helper()
	sub.subscribe("")
	requireFrames(t, frames("\x01"), recvChange(t, xpub, sub))
	oneWay(t, xpub, sub, messages)
	if sub.socketType() == "XSUB" {
		oneWay(t, sub, xpub, [][][]byte{frames("up"), frames("up", "", "stream")})
	}
	sub.unsubscribe("")
	requireFrames(t, frames("\x00"), recvChange(t, xpub, sub))
}

// recvChange returns what xpub receives; sub is given the occasion to send it, as in waitSubscriber.
func recvChange(t *testing.T, xpub, sub end) [][]byte {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if change := xpub.tryRecv(20 * time.Millisecond); change != nil {
			return change
		}
		require.Nil(t, sub.tryRecv(0), "nothing was published")
	}
	require.FailNow(t, "the publisher has not heard of the subscription")
	return nil
}

// The largest message that the default of WithMaxMessageSize lets through.
func TestInteropLargestMessage(t *testing.T) {
	t.Parallel()
	largest := [][][]byte{{pattern(64<<20, 'z')}}
	for name, start := range map[string]func(*testing.T) *peerProcess{"libzmq": startLibzmq, "zmq4": startZMQ4} {
		t.Run(name, func(t *testing.T) { // one after the other: they take some memory
			process := start(t)
			for _, p := range []pairing{{"PUSH", "PULL", oneWay}, {"PULL", "PUSH", swapped(oneWay)}} {
				ours, theirs := openBoth(t, process, p)
				theirs.connect(ours.bind(freshEndpoint(t, "tcp")))
				p.talk(t, ours, theirs, largest)
			}
		})
	}
}

// Prefix filters work at the publisher whoever it is, and unsubscribing takes them back.
func TestInteropTopics(t *testing.T) {
	t.Parallel()
	for _, p := range []pairing{{"PUB", "SUB", topics}, {"SUB", "XPUB", swapped(topics)}} {
		t.Run(p.ours+"-"+p.theirs, func(t *testing.T) {
			t.Parallel()
			ours, theirs := openBoth(t, startLibzmq(t), p)
			ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
			p.talk(t, ours, theirs, nil)
		})
	}
}

func topics(t *testing.T, pub, sub end, _ [][][]byte) {
	t.Helper()
	await := func(change string) {
		t.Helper()
		if p, ours := pub.(*own); ours {
			if change[0] == 1 {
				p.waitSubscriber(change[1:], sub)
			}
			return
		}
		requireFrames(t, frames(change), pub.recv())
	}
	long := strings.Repeat("long", 75) // its SUBSCRIBE is a long frame
	for _, topic := range []string{"a.", "b.", long} {
		sub.subscribe(topic)
		await("\x01" + topic)
	}
	for _, first := range []string{"", "a", "c.1", "a.1", "b.", long + "er", long[:299]} {
		pub.send([]byte(first), []byte("body"))
	}
	requireFrames(t, frames("a.1", "body"), sub.recv())
	requireFrames(t, frames("b.", "body"), sub.recv())
	requireFrames(t, frames(long+"er", "body"), sub.recv())

	sub.unsubscribe("a.")
	await("\x00a.")
	sub.subscribe("d")
	await("\x01d") // ours has then seen the CANCEL too, since it came before
	pub.send([]byte("a.2"))
	pub.send([]byte("d.1"))
	requireFrames(t, frames("d.1"), sub.recv())
}

// One PUSH deals its work out to pulls of three implementations in turn.
func TestInteropMixedWorkers(t *testing.T) {
	t.Parallel()
	push := openOwn(t, "PUSH")
	endpoint := push.bind(freshEndpoint(t, "tcp"))
	workers := []end{
		openOwn(t, "PULL"),
		startLibzmq(t).open(t, "PULL", nil),
		startZMQ4(t).open(t, "PULL", nil),
	}
	for _, w := range workers {
		w.connect(endpoint)
	}
	push.waitPeers(len(workers))
	const each = 20
	for i := range each * len(workers) {
		push.send([]byte{byte(i)})
	}
	seen := make(map[byte]bool)
	for _, w := range workers {
		for range each {
			seen[w.recv()[0][0]] = true
		}
	}
	require.Len(t, seen, each*len(workers), "each message has gone to one worker")
}
