package socket_test

import (
	"context"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// soakName is who gets the messages of a log: a ROUTER, or the members of a durable subscription, which share a window.
type soakName struct {
	name    string
	dir     string // of its window
	window  *spool.Window
	members []*soakMember

	mu       sync.Mutex // guards the fields below
	refusing bool
	floor    uint64                // all messages up to it are handled
	last     uint64                // the newest that came
	came     map[uint64]spool.Mark // above floor, whether they were handled or not
	handled  map[uint64]bool       // above floor
	replayed map[uint64]bool       // in this round
	again    map[*socket.Peer]int  // by connection, those that had been handled before
}

// soakMember is a receiver behind a bad network.
type soakMember struct {
	endpoint string
	chaos    *sockettest.Chaos
	receiver interface {
		connector
		io.Closer
		Messages(context.Context) iter.Seq2[socket.Msg, error]
	}
	done chan struct{} // closed when it receives no more
}

func newSoakName(t *testing.T, name, dir string, members int) *soakName {
	n := &soakName{
		name: name, dir: dir, came: map[uint64]spool.Mark{}, handled: map[uint64]bool{}, replayed: map[uint64]bool{}, again: map[*socket.Peer]int{},
	}
	n.remember(t)
	for range members {
		m := &soakMember{endpoint: "tcp://127.0.0.1:0"}
		n.members = append(n.members, m)
		n.receive(t, m)
		m.chaos = sockettest.NewChaos(t, m.endpoint)
	}
	t.Cleanup(func() { _ = n.close() }) // of a test that fails
	return n
}

func (n *soakName) close() error {
	for _, m := range n.members {
		_ = m.receiver.Close()
		<-m.done
	}
	return n.window.Close()
}

// remember opens the window.
func (n *soakName) remember(t *testing.T) {
	var err error
	n.window, err = spool.OpenWindow(n.dir, spool.WindowOptions{Count: 4096, SegmentSize: 64 << 10}) // some rounds: a letter of another name comes again a round later
	require.NoError(t, err)
}

// receive has a member receive.
func (n *soakName) receive(t *testing.T, m *soakMember) {
	with := []socket.Option{socket.WithManualAck(), socket.WithAckDelay(0), socket.WithAckCredit(chaosCredit, 1<<20), socket.WithWindowOn(n.window)}
	if n.name == "" {
		m.receiver = socket.NewRouter(append(with, socket.WithAck())...)
	} else {
		sub := socket.NewSub(append(with, socket.WithDurable(n.name, spool.Beginning()))...)
		require.NoError(t, sub.Subscribe("t"))
		m.receiver = sub
	}
	m.endpoint = bind(t, m.receiver, m.endpoint)
	m.done = make(chan struct{})
	go func() { // ends with Close
		defer close(m.done)
		for msg, err := range m.receiver.Messages(context.Background()) {
			if !assert.NoError(t, err) || !n.take(t, msg) {
				return
			}
		}
	}()
}

// reopen closes a member, and the window if nobody else has it, and opens them again.
func (n *soakName) reopen(t *testing.T, r *rand.Rand) {
	m := n.members[r.IntN(len(n.members))]
	require.NoError(t, m.receiver.Close())
	<-m.done
	if len(n.members) == 1 {
		require.NoError(t, n.window.Close())
		n.remember(t)
	}
	n.receive(t, m)
}

// take handles a message, or refuses it. It reports whether all is well.
func (n *soakName) take(t *testing.T, m socket.Msg) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	number, _, whole := openLetter(m.Frames[len(m.Frames)-1])
	mark, named := m.Mark()
	if !assert.True(t, whole && named && len(m.Frames) == 2, "message %d: %q", number, m.Frames) {
		return false
	}
	if number <= n.floor || n.handled[number] {
		n.again[m.Peer()]++
		_ = m.Ack()
		return true
	}
	before, known := n.came[number]
	if known && !assert.Equal(t, before, mark, "message %d has another name", number) {
		return false
	}
	first := !known && m.Attempt() == 1 && !n.replayed[number]
	if first && len(n.members) == 1 && !assert.Greater(t, number, n.last, "first deliveries out of order") {
		return false
	}
	if first {
		n.last = number
	}
	n.came[number] = mark
	switch {
	case n.refusing && number%11 == 0:
		_ = m.Nack(socket.Reject("not in this weather"))
	case n.refusing && number%13 == 0 && !known:
		_ = m.Nack(socket.RetryAfter(0))
	case m.Ack() == nil: // else the receiver is being closed
		n.handled[number] = true
	}
	return true
}

// replay notes that a message is put back, behind all others.
func (n *soakName) replay(number uint64) {
	n.mu.Lock()
	n.replayed[number] = true
	n.mu.Unlock()
}

// check requires that all messages up to a number were handled, and only those of several members, that were on their way when a connection ended, twice. It forgets them.
func (n *soakName) check(t *testing.T, number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	require.Len(t, n.handled, int(number-n.floor), n.name)
	if len(n.members) == 1 {
		require.Empty(t, n.again, "handled before")
	}
	requireFewAgain(t, n.again)
	n.floor = number
	clear(n.came)
	clear(n.handled)
	clear(n.replayed)
	clear(n.again)
}
