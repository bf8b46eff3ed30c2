package socket_test

import (
	"context"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// TestDurable_NewNamesAreKept: a subscription that has begun goes on where it was, and never begins anew: also when the power goes as soon as its first subscriber knows of it.
func TestDurable_NewNamesAreKept(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	o := spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Policy: spool.OS} // which syncs nothing of itself
	publisher := func(disk spool.FS) (*socket.Pub, string) {
		log, err := spool.OpenFS(disk, o)
		require.NoError(t, err)
		pub := socket.NewPub(socket.WithSpoolOn(socket.SpoolOf(log)))
		closing(t, pub)
		return pub, bind(t, pub, "tcp://127.0.0.1:0")
	}
	pub, endpoint := publisher(disk)
	publish(t, pub, 0, 5)
	event := watch(t, pub)
	sub := durable(t, endpoint, "jobs", spool.End())
	event(socket.Resumed) // said at once with the answer
	after := disk.Synced()
	require.NoError(t, sub.Close())

	pub, endpoint = publisher(after)
	publish(t, pub, 5, 10) // before the subscriber is back
	require.Len(t, pub.Durables(), 1)
	assert.Equal(t, uint64(5), pub.Durables()[0].Position)
	sub = durable(t, endpoint, "jobs", spool.End())
	defer sub.Close()
	requireOrdinals(t, sub, 5, 10)
}

// unsyncable returns a publisher with a message in its log, whose disk syncs no more.
func unsyncable(t *testing.T) (s spooledSender, endpoint string) {
	t.Helper()
	var fails atomic.Bool
	s = ways["PUB"].openFS(t, &spooltest.Faulty{FS: spooltest.NewMem(), Before: func(_ int64, op, _ string) error {
		if op == "sync" && fails.Load() {
			return spooltest.ErrInjected
		}
		return nil
	}}, spool.Options{})
	closing(t, s)
	endpoint = bind(t, s, "tcp://127.0.0.1:0")
	sendLetters(t, s, 1, 1)
	fails.Store(true)
	return s, endpoint
}

// A log that has failed would forget new names: they are refused, with the reason. Those that it knows are served still, as TestSpool_StopsAtAFailedDisk shows.
func TestDurable_FailedLogTakesNoNewNames(t *testing.T) {
	t.Parallel()
	s, endpoint := unsyncable(t)
	require.ErrorIs(t, s.Send(limit(t), letter(2, 0)), spool.ErrFailed)
	sub := ways["PUB"].receiver(swift())
	closing(t, sub)
	event := watch(t, sub.(*socket.Sub))
	require.NoError(t, sub.Connect(endpoint))
	assert.Contains(t, event(socket.Disconnected).Err.Error(), strings.ReplaceAll(spool.ErrFailed.Error(), " ", "_"))
	assert.Empty(t, s.log.Consumers())
	require.ErrorIs(t, s.Close(), spool.ErrFailed)
}

// So is one whose place the log could not keep since that was when it failed: it is no more known when its subscriber comes back.
func TestDurable_FailedLogForgetsNewNames(t *testing.T) {
	t.Parallel()
	s, endpoint := unsyncable(t)
	sub := ways["PUB"].receiver(swift())
	closing(t, sub)
	event := watch(t, sub.(*socket.Sub))
	require.NoError(t, sub.Connect(endpoint))
	for range 2 {
		assert.Contains(t, event(socket.Disconnected).Err.Error(), strings.ReplaceAll(spool.ErrFailed.Error(), " ", "_"))
		assert.Empty(t, s.log.Consumers())
	}
	require.ErrorIs(t, s.Close(), spool.ErrFailed)
}

// TestDurable_KeyOrderOfWhatIsRefused: of the key of a refused message nothing more is sent before it comes again. What the member has already comes first, unless it is refused as well, or
// a credit of 1 has let nothing come.
func TestDurable_KeyOrderOfWhatIsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		credit int
		too    int // what is refused, from the first message on
		want   []int
	}{
		"what had come comes first": {3, 1, []int{1, 2, 3, 1, 4, 5, 6}},
		"that is refused as well":   {3, 3, []int{1, 2, 3, 1, 2, 3, 4, 5, 6}},
		"a credit of 1":             {1, 1, []int{1, 1, 2, 3, 4, 5, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithRetry(time.Millisecond, time.Millisecond))
			closing(t, pub)
			publish(t, pub, 1, 7)
			sub := durable(t, endpoint, "name", spool.Beginning(), socket.WithKeyOrder(), socket.WithManualAck(), socket.WithAckCredit(test.credit, 1<<20))
			closing(t, sub)
			arrive(t, sub, test.credit)
			for i, want := range test.want {
				m := recv(t, sub)
				assert.Equal(t, want, ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
				if i < test.too {
					require.NoError(t, m.Nack(socket.Nack{}))
				} else {
					require.NoError(t, m.Ack())
				}
			}
			awaitLag(t, pub, "name", 0)
		})
	}
}

// TestDurable_KeyOrderOfWhatIsTooLarge for a member: what follows it in its key waits for it, and for a member that takes it. Other keys do not.
func TestDurable_KeyOrderOfWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithRetry(time.Millisecond, time.Millisecond), socket.WithAttempts(0))
	closing(t, pub)
	require.NoError(t, pub.Send(limit(t), text("t"), ordinal(1, 5000)))
	publish(t, pub, 2, 6)
	require.NoError(t, pub.Send(limit(t), text("tt"), ordinal(6, 8)))
	join := func(options ...socket.Option) *socket.Sub {
		sub := durable(t, endpoint, "name", spool.Beginning(), append(options, socket.WithKeyOrder(), socket.WithManualAck())...)
		closing(t, sub)
		return sub
	}
	small := join(socket.WithMaxMessageSize(1000), socket.WithAckCredit(1, 1<<20))
	requireOrdinals(t, small, 6, 7) // which is all that it has room for
	large := join()
	for i := 1; i < 6; i++ {
		m := recv(t, large)
		assert.Equal(t, i, ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
		require.NoError(t, m.Ack())
	}
}

// TestDurable_MayHaveBeenSentBefore: a publisher that was started anew does not know what it had sent to a name, so that all in its log is at least the second attempt, also what was never sent
// (DURABLE.md, 5). What it publishes from then on, and all that a new name gets, it knows to be the first.
func TestDurable_MayHaveBeenSentBefore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "log")
	attempts := func(endpoint, name string, n int) (all []int) {
		sub := durable(t, endpoint, name, spool.Beginning(), socket.WithManualAck(), socket.WithAckCredit(n, 1<<20))
		defer sub.Close()
		for range n {
			all = append(all, recv(t, sub).Attempt())
		}
		return all
	}
	pub, endpoint := logged(t, dir)
	publish(t, pub, 0, 3)
	assert.Equal(t, []int{1}, attempts(endpoint, "old", 1))
	require.NoError(t, pub.Close())
	pub, endpoint = logged(t, dir)
	defer pub.Close()
	publish(t, pub, 3, 5)
	assert.Equal(t, []int{2, 2, 2, 1, 1}, attempts(endpoint, "old", 5))
	assert.Equal(t, []int{1, 1, 1, 1, 1}, attempts(endpoint, "new", 5))
}

// TestDurable_ShutdownWaitsForNobody: what members have and have not acknowledged is in the log, so that Shutdown returns at once, with no error. It is there, and theirs, when the log is opened again.
func TestDurable_ShutdownWaitsForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, o := spooltest.NewMem(), ways["PUB"].options()
		log, err := spool.OpenFS(disk, o)
		require.NoError(t, err)
		pub := socket.NewPub(socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithHeartbeat(0, 0))
		endpoint, err := pub.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, endpoint)
		defer raw.Close()
		raw.Handshake("SUB", 1, receives)
		raw.Subscribe("")
		raw.Write(resume(zmtp.FromBeginning, 0, "letters"))
		raw.ExpectCommand(zmtp.CommandResumed)
		raw.Write(zmtp.AppendCredit(nil, 10, 1<<20))
		synctest.Wait()
		sendLetters(t, pub, 1, 5)
		raw.ExpectCommand(zmtp.CommandStream)
		for range 5 {
			raw.ReadMessage()
		}
		synctest.Wait()
		require.Equal(t, 5, pub.Durables()[0].InFlight)
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, pub.Shutdown(ctx))
		assert.Less(t, time.Since(begun), time.Minute)

		log, err = spool.OpenFS(disk, o)
		require.NoError(t, err)
		assert.Equal(t, uint64(5), log.Stats().Consumers[0].Pending)
		require.NoError(t, log.Close())
	})
}
