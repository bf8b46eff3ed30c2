package socket_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestWindow_ReplayOfDeadLetters: row 31 of the fault plan. A dead letter that is replayed has the place in its stream that it had at first. So a receiver that handled it, whose
// acknowledgement was lost, drops it, and one that refused it gets it once more. Without a window, or as new messages, both are handled.
func TestWindow_ReplayOfDeadLetters(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		windowed, asNew bool
		want            []string
	}{
		"with a window":           {true, false, []string{"refused"}},
		"as new":                  {true, true, []string{"handled", "refused"}},
		"without a window":        {false, false, []string{"handled", "refused"}},
		"without a window as new": {false, true, []string{"handled", "refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "spool")
			opts := []socket.Option{socket.WithAck(), socket.WithManualAck()}
			if test.windowed {
				opts = append(opts, socket.WithWindow(t.TempDir(), spool.WindowOptions{SegmentSize: 64 << 10}))
			}
			pull := socket.NewPull(opts...)
			closing(t, pull)
			endpoint := bind(t, pull, "tcp://127.0.0.1:0")
			open := func() *socket.Push {
				push := socket.NewPush(socket.WithSpool(dir, smallSpool), swift())
				closing(t, push)
				require.NoError(t, push.Connect(endpoint))
				return push
			}
			push := open()
			send(t, push, "handled")
			send(t, push, "refused")
			handled, refused := recv(t, pull), recv(t, pull)
			places := map[string]spool.Mark{}
			for _, m := range []socket.Msg{handled, refused} {
				places[m.String()], _ = m.Mark()
			}
			require.NoError(t, handled.Ack())
			require.NoError(t, refused.Nack(socket.Reject("not now")))
			require.NoError(t, push.WaitAcked(limit(t)))
			require.NoError(t, push.Close())

			replay(t, dir, test.asNew)
			push = open()
			for _, want := range test.want {
				m := recv(t, pull)
				requireMsg(t, m, want)
				place, _ := m.Mark()
				assert.Equal(t, test.asNew, place != places[want])
				require.NoError(t, m.Ack())
			}
			require.NoError(t, push.WaitAcked(limit(t)))
			assert.EqualValues(t, 2-len(test.want), pull.Stats().Acks.DuplicatesIn)
			assert.EqualValues(t, 2+len(test.want), pull.Stats().MessagesIn)
			assert.Zero(t, push.Stats().Spool.DeadLettered)
		})
	}
}

// replay has the first message of a spool die, too, although it was handled, and puts both back.
func replay(t *testing.T, dir string, asNew bool) {
	t.Helper()
	log, err := spool.Open(dir, smallSpool)
	require.NoError(t, err)
	dead, err := log.Dead()
	require.NoError(t, err)
	r := log.Reader(spool.At(1))
	rec, err := r.TryNext()
	require.NoError(t, err)
	refused := letters(t, dead)
	require.Len(t, refused, 1)
	require.NoError(t, dead.Bury(t.Context(), log.Queue(), rec, "its acknowledgement was lost"))
	require.NoError(t, r.Close())
	for _, l := range []spool.Letter{letters(t, dead)[1], refused[0]} {
		if asNew {
			l.Origin = 0
		}
		_, err := dead.Replay(t.Context(), l)
		require.NoError(t, err)
	}
	assert.Zero(t, dead.Len())
	require.NoError(t, log.Close())
}

func letters(t *testing.T, dead *spool.Dead) (all []spool.Letter) {
	t.Helper()
	for l, err := range dead.Letters() {
		require.NoError(t, err)
		l.Frames = spool.Record{Frames: l.Frames}.Clone().Frames
		all = append(all, l)
	}
	return all
}

// A dead letter of a publisher's log says which durable subscription gave it up, on disk as well; the others handle the message.
func TestDurable_DeadLettersSayWhose(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	dead := make(chan socket.DeadLetter, 10)
	pub, endpoint := logged(t, dir, socket.WithDeadLetter(func(d socket.DeadLetter) { dead <- d }))
	events := watch(t, pub)
	billing := durable(t, endpoint, "billing", spool.Beginning(), socket.WithManualAck())
	shipping := durable(t, endpoint, "shipping", spool.Beginning(), socket.WithManualAck())
	closing(t, billing, shipping)
	publish(t, pub, 0, 1)
	require.NoError(t, recv(t, billing).Nack(socket.Reject("no such account")))
	require.NoError(t, recv(t, shipping).Ack())
	assert.Equal(t, "billing", (<-dead).Name)
	assert.Equal(t, "billing", events(socket.DeadLettered).Name)
	awaitLag(t, pub, "billing", 0)
	awaitLag(t, pub, "shipping", 0)
	require.NoError(t, pub.Close())

	log, err := spool.Open(dir, spool.Options{Kind: spool.Topic})
	require.NoError(t, err)
	defer log.Close()
	on, err := log.Dead()
	require.NoError(t, err)
	all := letters(t, on)
	require.Len(t, all, 1)
	assert.Equal(t, "billing", all[0].Consumer)
}

// TestDurable_RemovedWhileADeadLetterIsTold: whoever is told of it may ask for the counters, and take as long as it likes: others come and go meanwhile.
func TestDurable_RemovedWhileADeadLetterIsTold(t *testing.T) {
	t.Parallel()
	var pub *socket.Pub
	told, goOn, asked := make(chan struct{}), make(chan struct{}), make(chan struct{})
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithDeadLetter(func(socket.DeadLetter) {
		close(told)
		<-goOn
		pub.Stats()
		close(asked)
	}))
	sub := durable(t, endpoint, "gone", spool.Beginning(), socket.WithManualAck())
	publish(t, pub, 0, 1)
	require.NoError(t, recv(t, sub).Nack(socket.Reject("no")))
	<-told
	require.NoError(t, sub.Close())
	require.Eventually(t, func() bool { return pub.Durables()[0].Members == 0 }, sockettest.Timeout, time.Millisecond)
	removed := make(chan error, 1)
	go func() { removed <- pub.RemoveDurable("gone") }() // ends before Close

	other := durable(t, endpoint, "other", spool.Beginning())
	requireOrdinals(t, other, 0, 1)
	require.NoError(t, other.Close())
	close(goOn)
	select {
	case err := <-removed:
		require.NoError(t, err)
	case <-limit(t).Done():
		require.FailNow(t, "RemoveDurable did not return")
	}
	<-asked
	require.NoError(t, pub.Close())
}

// TestDurable_ReplayGoesToAllNames, of a letter that one of them gave up: who has handled the message gets it once more, marked, unless a window knows it.
func TestDurable_ReplayGoesToAllNames(t *testing.T) {
	t.Parallel()
	log, err := spool.Open(t.TempDir(), spool.Options{Kind: spool.Topic})
	require.NoError(t, err)
	pub := socket.NewPub(socket.WithSpoolOn(socket.SpoolOf(log)))
	endpoint := bind(t, pub, "tcp://127.0.0.1:0")
	refuses := durable(t, endpoint, "refuses", spool.Beginning(), socket.WithManualAck())
	handles := durable(t, endpoint, "handles", spool.Beginning(), socket.WithManualAck())
	remembers := durable(t, endpoint, "remembers", spool.Beginning(), socket.WithManualAck(), socket.WithWindow(t.TempDir(), spool.WindowOptions{SegmentSize: 64 << 10}))
	closing(t, pub, refuses, handles, remembers)
	publish(t, pub, 0, 1)
	require.NoError(t, recv(t, refuses).Nack(socket.Reject("no")))
	require.NoError(t, recv(t, handles).Ack())
	require.NoError(t, recv(t, remembers).Ack())
	require.NoError(t, pub.WaitAcked(limit(t)))

	dead, err := log.Dead()
	require.NoError(t, err)
	_, err = dead.Replay(limit(t), letters(t, dead)[0])
	require.NoError(t, err)
	publish(t, pub, 1, 2)
	for sub, want := range map[*socket.Sub][]int{refuses: {0, 1}, handles: {0, 1}, remembers: {1}} {
		for _, n := range want {
			m := recv(t, sub)
			assert.Equal(t, n, ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
			assert.Equal(t, n == 0, m.Redelivered())
			require.NoError(t, m.Ack())
		}
	}
	require.NoError(t, pub.WaitAcked(limit(t)))
}
