package socket_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// unwritten is a sender whose receiver refuses letters, on a disk that may fail for dead letters alone.
type unwritten struct {
	way      way
	options  spool.Options
	disk     *spooltest.Mem
	fails    atomic.Bool
	sender   spooledSender
	receiver letterReceiver
	troubles <-chan socket.Event
}

// open opens the spool; a call fails for dead letters while fails says so.
func (u *unwritten) open(t *testing.T, op string, err error) {
	t.Helper()
	fs := &spooltest.Faulty{FS: u.disk, Before: func(_ int64, called, name string) error {
		if u.fails.Load() && called == op && strings.HasPrefix(name, "dead/") {
			return err
		}
		return nil
	}}
	troubles, told := troubles(socket.SpoolTrouble)
	u.troubles, u.sender = troubles, u.way.openFS(t, fs, u.options, told)
	u.receiver = u.way.receiver(socket.WithManualAck(), socket.WithAckDelay(0), swift())
	closing(t, u.sender, u.receiver)
	require.NoError(t, u.receiver.Connect(bind(t, u.sender, "tcp://127.0.0.1:0")))
}

// send sends letters of which a segment of dead letters holds one.
func (u *unwritten) send(t *testing.T, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		require.NoError(t, u.sender.Send(limit(t), make([]byte, 40<<10), letter(n, 0)))
	}
}

// refuse has the receiver get these letters, for the nth time, and refuse them.
func (u *unwritten) refuse(t *testing.T, from, to uint64, attempt int) {
	t.Helper()
	for n := from; n <= to; n++ {
		m := recv(t, u.receiver)
		number, _, whole := openLetterOf(m)
		require.Equal(t, [3]any{n, true, attempt}, [3]any{number, whole, m.Attempt()})
		require.NoError(t, m.Nack(socket.Nack{Reject: true, Reason: "no"}))
	}
}

// stays: of five letters the first is refused and buried, the others when that fails. They stay, but for as many as there was room for ahead, which is said once, while two more
// are sent and handled.
func (u *unwritten) stays(t *testing.T, ahead uint64, why error) {
	t.Helper()
	u.send(t, 1, 5)
	u.refuse(t, 1, 1, 1)
	require.Eventually(t, func() bool { return floorOf(u.sender.log) == 1 }, sockettest.Timeout, time.Millisecond)
	u.fails.Store(true)
	u.refuse(t, 2, 5, 1)
	require.ErrorIs(t, nextOf(t, u.troubles).Err, why)
	u.send(t, 6, 7)
	requireLetter(t, recv(t, u.receiver), 6)
	requireLetter(t, recv(t, u.receiver), 7)
	dead, err := u.sender.log.Dead()
	require.NoError(t, err)
	require.Eventually(t, func() bool { return u.sender.log.Stats().Consumers[0].Pending+dead.Len() == 5 }, sockettest.Timeout, time.Millisecond)
	assert.LessOrEqual(t, dead.Len(), 1+ahead)
	assert.NoError(t, u.sender.Stats().Spool.Broken)
	assert.Empty(t, u.troubles)
}

// buried: all is settled, and the dead letters are those of the first five, one of each.
func (u *unwritten) buried(t *testing.T) {
	t.Helper()
	require.NoError(t, u.sender.waitSettled(limit(t), 7))
	dead, err := u.sender.log.Dead()
	require.NoError(t, err)
	var all []uint64
	for l, err := range dead.Letters() {
		require.NoError(t, err)
		all = append(all, l.Origin)
	}
	assert.ElementsMatch(t, []uint64{1, 2, 3, 4, 5}, all)
	assert.Empty(t, u.troubles)
	require.NoError(t, u.sender.Shutdown(limit(t)))
}

// Row 30: while the disk has no room for dead letters, what is refused stays in the spool, and all else goes on. When there is room they are written.
func TestSpool_NoRoomForDeadLetters(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		u := &unwritten{way: w, disk: spooltest.NewMem()}
		u.open(t, "allocate", spooltest.ErrNoSpace)
		u.stays(t, 1, spooltest.ErrNoSpace)
		u.fails.Store(false)
		u.buried(t)
	})
}

// Row 30, where the log of the dead letters has failed: they are written when the spool is opened again, and its messages were delivered once more.
func TestSpool_DeadLettersThatFailed(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		u, broken := &unwritten{way: w, disk: spooltest.NewMem()}, errors.New("no more")
		u.open(t, "sync", broken)
		u.stays(t, 0, broken)
		require.NoError(t, u.sender.Flush(limit(t)))
		require.NoError(t, u.receiver.Close())
		require.ErrorIs(t, u.sender.Close(), spool.ErrFailed)

		u.disk = u.disk.Synced()
		u.fails.Store(false)
		u.open(t, "", nil)
		u.refuse(t, 2, 5, 2)
		u.buried(t)
	})
}

// The quota bounds dead letters by themselves, beside the messages. When it is used up what is refused stays in the spool and all else goes on, as if the disk had no room; when
// letters have been purged it is buried. (The log of a publisher keeps what is handled, and is full sooner.)
func TestSpool_QuotaOfDeadLetters(t *testing.T) {
	t.Parallel()
	const segment = 64 << 10
	u := &unwritten{way: ways["PUSH"], disk: spooltest.NewMem(), options: spool.Options{SegmentSize: segment, Quota: 6 * segment}}
	u.open(t, "", nil)
	last := uint64(0)
	for full := false; !full; {
		last++
		u.send(t, last, last)
		u.refuse(t, last, last, 1)
		require.Eventually(t, func() bool {
			full = len(u.troubles) > 0
			return full || floorOf(u.sender.log) == last
		}, sockettest.Timeout, time.Millisecond)
	}
	require.ErrorIs(t, nextOf(t, u.troubles).Err, spool.ErrFull)
	dead, err := u.sender.log.Dead()
	require.NoError(t, err)
	require.Equal(t, last-1, dead.Len())
	require.Greater(t, dead.Len(), uint64(2))
	u.send(t, last+1, last+1)
	requireLetter(t, recv(t, u.receiver), last+1)
	require.Equal(t, last-1, floorOf(u.sender.log), "it stays")

	require.NoError(t, dead.Purge(1, last-1))
	require.NoError(t, u.sender.waitSettled(limit(t), last+1))
	for l, err := range dead.Letters() {
		require.NoError(t, err)
		require.Equal(t, last, l.Origin)
	}
	require.Equal(t, uint64(1), dead.Len())
	require.NoError(t, u.sender.Shutdown(limit(t)))
}
