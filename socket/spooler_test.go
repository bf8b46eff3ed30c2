package socket_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// smallSpool has segments that a test fills.
var smallSpool = spool.Options{SegmentSize: 64 << 10}

// spooled returns a PUSH or DEALER with a spool.
func spooled(t *testing.T, dir string, options ...socket.Option) *socket.Push {
	t.Helper()
	return socket.NewPush(append([]socket.Option{socket.WithSpool(dir, smallSpool)}, options...)...)
}

func TestSpool_KeepsMessagesFromOneProcessToTheNext(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	push := spooled(t, dir)
	send(t, push, "one")
	send(t, push, "two", "frames")
	n, err := push.Enqueue(limit(t), text("three"))
	require.NoError(t, err)
	assert.Equal(t, uint64(3), n)
	require.NoError(t, push.WaitSpooled(limit(t), n))
	stats := push.Stats()
	assert.Equal(t, [2]uint64{3, 17}, [2]uint64{stats.MessagesOut, stats.BytesOut})
	assert.Equal(t, [2]uint64{3, 4}, [2]uint64{stats.Spool.Messages, stats.Spool.Next})
	assert.False(t, stats.Spool.Oldest.IsZero())
	err = push.Close()
	require.ErrorIs(t, err, socket.ErrSpooled)
	require.ErrorIs(t, err, socket.ErrNoPeer, "the cause")
	assert.EqualError(t, err, "close: messages stay in the spool: 3 of them: no peer")
	assert.ErrorIs(t, push.Send(limit(t), text("x")), socket.ErrClosed)

	push, pull := spooled(t, dir), socket.NewPull()
	join(t, "tcp", pull, push)
	send(t, push, "four")
	requireMsg(t, recv(t, pull), "one")
	requireMsg(t, recv(t, pull), "two", "frames")
	requireMsg(t, recv(t, pull), "three")
	requireMsg(t, recv(t, pull), "four")
	require.NoError(t, push.Shutdown(limit(t)), "all that is written to a peer that does not acknowledge is settled")
	view, err := spool.Inspect(dir)
	require.NoError(t, err)
	assert.Equal(t, uint64(0), view.Consumers[0].Pending)
	assert.Nil(t, view.Holder)
}

func TestSpool_RefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	taken := filepath.Join(dir, "taken")
	log, err := spool.Open(taken, spool.Options{})
	require.NoError(t, err)
	defer log.Close()
	with := func(o ...socket.Option) []socket.Option {
		return append(o, socket.WithSpool(filepath.Join(dir, "unused"), smallSpool))
	}
	on := func(kind spool.Kind) socket.Option {
		log, err := spool.Open(filepath.Join(dir, kind.String()), spool.Options{Kind: kind})
		require.NoError(t, err)
		return socket.WithSpoolOn(socket.SpoolOf(log))
	}
	for name, c := range map[string]struct {
		s    interface{ Connect(string) error }
		want error
		text string
	}{
		"PUSH":      {socket.NewPush(on(spool.Topic)), socket.ErrOption, "a topic keeps what is acknowledged: use spool.Queue"},
		"PUB":       {socket.NewPub(on(spool.Queue)), socket.ErrOption, "a queue lets go of what is acknowledged: use spool.Topic"},
		"a file":    {spooled(t, file), spool.ErrNotDirectory, file},
		"in use":    {spooled(t, taken), spool.ErrInUse, fmt.Sprintf("by process %d", os.Getpid())},
		"a topic":   {socket.NewPush(socket.WithSpool(dir, spool.Options{Kind: spool.Topic})), socket.ErrOption, "use spool.Queue"},
		"quota":     {socket.NewPush(socket.WithSpool(dir, spool.Options{Quota: 1})), socket.ErrOption, "two segments"},
		"nil":       {socket.NewPush(socket.WithSpoolOn(nil)), socket.ErrOption, "want a Spool"},
		"ROUTER":    {socket.NewRouter(with()...), socket.ErrOption, "WithSpool on a ROUTER socket: it is for [PUSH DEALER PUB XPUB]"},
		"PULL":      {socket.NewPull(with()...), socket.ErrOption, "WithSpool on a PULL socket"},
		"conflate":  {socket.NewPush(with(socket.WithConflate())...), socket.ErrOption, "WithConflate"},
		"reroute":   {socket.NewPush(with(socket.WithReroute())...), socket.ErrOption, "WithReroute"},
		"immediate": {socket.NewDealer(with(socket.WithImmediate())...), nil, ""},
	} {
		err := c.s.Connect("tcp://127.0.0.1:1")
		if c.want == nil {
			assert.NoError(t, err, name)
			require.NoError(t, c.s.(interface{ Close() error }).Close())
			continue
		}
		assert.ErrorIs(t, err, c.want, name)
		assert.ErrorIs(t, err, socket.ErrOption, name)
		assert.ErrorContains(t, err, c.text, name)
	}
	plain := socket.NewPush()
	_, err = plain.Enqueue(limit(t), text("x"))
	assert.ErrorIs(t, err, socket.ErrState)
	assert.ErrorIs(t, plain.Flush(limit(t)), socket.ErrState)
	assert.ErrorIs(t, new(socket.Push).Flush(limit(t)), socket.ErrState)
	require.NoError(t, plain.Close())
}

// TestSpool_CarriesManySenders: a sync carries what all of them sent, and each has its order.
func TestSpool_CarriesManySenders(t *testing.T) {
	t.Parallel()
	push, pull := spooled(t, filepath.Join(t.TempDir(), "spool")), socket.NewPull()
	join(t, "tcp", pull, push)
	const senders, each = 32, 20
	var wg sync.WaitGroup
	for i := range senders {
		wg.Go(func() {
			for j := range each {
				assert.NoError(t, push.Send(limit(t), []byte{byte(i), byte(j)}))
			}
		})
	}
	var next [senders]byte
	for range senders * each {
		m := recv(t, pull).Frames[0]
		require.Equal(t, next[m[0]], m[1])
		next[m[0]]++
	}
	wg.Wait()
}

// TestSpool_GivesPlainPeersNothingTwice: RFC 37. What was not written to a peer that leaves goes to the others.
func TestSpool_GivesPlainPeersNothingTwice(t *testing.T) {
	t.Parallel()
	push := spooled(t, filepath.Join(t.TempDir(), "spool"), socket.WithSendHWM(10))
	closing(t, push)
	endpoint := bind(t, push, "tcp://127.0.0.1:0")
	const n = 4000
	for i := range n {
		_, err := push.Enqueue(limit(t), ordinal(i, 2000))
		require.NoError(t, err)
	}
	require.NoError(t, push.Flush(limit(t)))
	seen := map[int]bool{}
	settled := func() int { return int(push.Stats().Spool.Settled) }
	for range 2 { // peers that take a few and go, so that what is in their connections is lost
		pull := socket.NewPull(socket.WithRecvHWM(1))
		require.NoError(t, pull.Connect(endpoint))
		for range 10 {
			i := ordinalOf(recv(t, pull))
			require.False(t, seen[i], "message %d twice", i)
			seen[i] = true
		}
		require.NoError(t, pull.Close())
		require.Eventually(t, func() bool { return len(push.Stats().Peers) == 0 }, time.Minute, time.Millisecond)
	}
	left := n - settled()
	require.Eventually(t, func() bool { return push.Stats().Spool.Messages == uint64(left) }, time.Minute, time.Millisecond)
	pull := socket.NewPull()
	closing(t, pull)
	require.NoError(t, pull.Connect(endpoint))
	late := 0
	for before := -1; left > 0; left-- {
		i := ordinalOf(recv(t, pull))
		require.False(t, seen[i], "message %d twice", i)
		if seen[i] = true; i < before {
			late++
		}
		before = i
	}
	require.LessOrEqual(t, late, 2, "that which was cut by the end of a connection counts as failed, and comes after a pause; the others come in order")
	assert.Zero(t, push.Stats().Dropped[socket.DropPeerGone])
}

func TestSpool_DealerSendsAndReceives(t *testing.T) {
	t.Parallel()
	dealer := socket.NewDealer(socket.WithSpool(filepath.Join(t.TempDir(), "spool"), smallSpool), socket.WithHelloMessage(text("hello")))
	send(t, dealer, "early")
	router := socket.NewRouter()
	join(t, "tcp", router, dealer)
	assert.Equal(t, "hello", recv(t, router).String())
	m := recv(t, router)
	assert.Equal(t, "early", m.String())
	send(t, router, string(m.Frames[0]), "answer")
	requireMsg(t, recv(t, dealer), "answer")
	ctx, cancel := context.WithCancel(limit(t))
	cancel()
	if err := dealer.Send(ctx, text("x")); err != nil {
		assert.ErrorIs(t, err, socket.ErrUnconfirmed)
	}
	assert.Equal(t, "x", recv(t, router).String())
}

// TestSpool_WaitsForAcknowledgements: what a receiver leaves goes to the next one, first; what it rejects goes to the dead letters on disk.
func TestSpool_WaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "spool")
	push := spooled(t, dir, socket.WithAck(), socket.WithRetry(time.Millisecond, 2*time.Millisecond), socket.WithAttempts(3), swift())
	endpoint := bind(t, push, "tcp://127.0.0.1:0")
	puller := func() *socket.Pull {
		pull := socket.NewPull(socket.WithAck(), socket.WithManualAck())
		require.NoError(t, pull.Connect(endpoint))
		return pull
	}
	send(t, push, "left")
	send(t, push, "refused", "twice")
	send(t, push, "rejected")
	first := puller()
	requireMsg(t, recv(t, first), "left")
	require.NoError(t, first.Close())

	second := puller()
	closing(t, second)
	m := recv(t, second)
	requireMsg(t, m, "left")
	assert.Equal(t, 2, m.Attempt())
	require.ErrorIs(t, push.WaitAcked(soon(t)), socket.ErrTimeout)
	require.NoError(t, m.Ack())
	m, rejected := recv(t, second), recv(t, second)
	requireMsg(t, rejected, "rejected")
	require.NoError(t, rejected.Nack(socket.Reject("not for us")))
	requireMsg(t, m, "refused", "twice")
	for range 2 {
		require.NoError(t, m.Nack(socket.RetryAfter(time.Millisecond)))
		m = recv(t, second)
		requireMsg(t, m, "refused", "twice")
	}
	require.ErrorIs(t, push.WaitAcked(soon(t)), socket.ErrTimeout)
	require.NoError(t, m.Nack(socket.RetryAfter(0)))
	require.NoError(t, push.WaitAcked(limit(t)))
	require.NoError(t, push.Shutdown(limit(t)))
	view, err := spool.OpenView(dir)
	require.NoError(t, err)
	defer view.Close()
	letters := map[string]string{}
	for l, err := range view.Letters() {
		require.NoError(t, err)
		letters[string(l.Frames[0])] = l.Reason
	}
	assert.Len(t, letters, 2)
	assert.Equal(t, "not for us", letters["rejected"])
	assert.Contains(t, letters["refused"], "3 deliveries failed")
}
