package socket_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	"github.com/meshmq/meshmq/transport/zmtp"
)

// memWindow is a window on a disk in memory.
func memWindow(t *testing.T, fs spool.FS, o spool.WindowOptions) *spool.Window {
	t.Helper()
	o.SegmentSize = 64 << 10
	w, err := spool.OpenWindowFS(fs, o)
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	return w
}

// windowed is a PULL that acknowledges by hand, at once, with a window.
func windowed(t *testing.T, w socket.Window, opts ...socket.Option) *socket.Pull {
	t.Helper()
	pull := socket.NewPull(append([]socket.Option{socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindowOn(w)}, opts...)...)
	closing(t, pull)
	return pull
}

// deliver sends messages of a stream, from a number on.
func deliver(raw *sockettest.RawPeer, stream string, number uint64, attempt uint32, messages ...string) {
	raw.Write(streamed(number, attempt, stream))
	for _, m := range messages {
		raw.SendMessage(m)
	}
}

// awaitAck reads ACKs until one has this floor.
func awaitAck(t *testing.T, raw *sockettest.RawPeer, floor uint64) {
	t.Helper()
	for {
		a, err := zmtp.ParseAck(raw.ExpectCommand(zmtp.CommandAck))
		require.NoError(t, err)
		require.LessOrEqual(t, a.Floor, floor)
		if a.Floor == floor {
			return
		}
	}
}

// What was handled is not returned again, by the socket or by one after it, but acknowledged again; what is beyond the window, of another stream or
// of another incarnation is returned.
func TestWindow_DropsWhatWasHandled(t *testing.T) {
	t.Parallel()
	fs := spooltest.NewMem()
	o := spool.WindowOptions{Count: 3}
	w := memWindow(t, fs, o)
	pull := windowed(t, w)
	raw := source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 1, 1, "1", "2", "3", "4", "refused", "not handled")
	for range 4 {
		require.NoError(t, recv(t, pull).Ack())
	}
	awaitAck(t, raw, 4)
	require.NoError(t, recv(t, pull).Nack(socket.RetryAfter(0)))
	recv(t, pull)
	raw.Close()
	require.NoError(t, pull.Close())
	require.NoError(t, w.Close())

	pull = windowed(t, memWindow(t, fs.Crash(nil), o))
	raw = source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 2, 1, "2", "3", "4", "refused", "not handled", "7")
	deliver(raw, "other", 2, 1, "o2")
	for _, want := range []string{"refused", "not handled", "7", "o2"} {
		m := recv(t, pull)
		requireMsg(t, m, want)
		require.NoError(t, m.Ack())
	}
	awaitAck(t, raw, 7)
	deliver(raw, "s", 1, 2, "1")
	m := recv(t, pull)
	requireMsg(t, m, "1")
	assert.True(t, m.Redelivered(), "the window was no longer than that")
	require.NoError(t, m.Ack())
	awaitAck(t, raw, 8)
	s := pull.Stats()
	assert.EqualValues(t, 3, s.Acks.DuplicatesIn)
	assert.EqualValues(t, 8, s.Acks.AckedIn)
	assert.EqualValues(t, 5, s.MessagesIn)
	assert.EqualValues(t, 1, s.Acks.RedeliveredIn)
	assert.Zero(t, s.Acks.UnackedIn)
}

// gated is a window whose marks wait, and whose disk can fail.
type gated struct {
	*spool.Window
	gate  chan error // what each Mark returns instead of marking; nil marks
	marks atomic.Int64
}

func (g *gated) Mark(ctx context.Context, marks ...spool.Mark) error {
	g.marks.Add(1)
	select {
	case err := <-g.gate:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return g.Window.Mark(ctx, marks...)
}

func newGated(t *testing.T) *gated {
	return &gated{Window: memWindow(t, spooltest.NewMem(), spool.WindowOptions{}), gate: make(chan error)}
}

// Nothing is acknowledged before it is marked, Recv does not wait for marks, and those of one moment go together.
func TestWindow_MarksBeforeItAcknowledges(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	pull := windowed(t, g)
	raw := source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 1, 1, "1", "2", "3", "4", "5")
	require.NoError(t, recv(t, pull).Ack())
	require.Eventually(t, func() bool { return g.marks.Load() == 1 }, sockettest.Timeout, time.Millisecond)
	for range 4 {
		require.NoError(t, recv(t, pull).Ack())
	}
	assert.Zero(t, pull.Stats().Acks.AckedIn)
	g.gate <- nil
	expectAck(t, raw, "1")
	g.gate <- nil
	awaitAck(t, raw, 5)
	assert.EqualValues(t, 2, g.marks.Load())
	assert.Equal(t, 5, g.Len())
}

// What is acknowledged when the socket is closed is marked, and acknowledged to the sender.
func TestWindow_Close(t *testing.T) {
	t.Parallel()
	w := memWindow(t, spooltest.NewMem(), spool.WindowOptions{})
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), sluggish(), socket.WithWindowOn(w))
	closing(t, pull)
	raw := source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 1, 1, "1", "2")
	one, two := recv(t, pull), recv(t, pull)
	require.NoError(t, one.Ack())
	require.NoError(t, pull.Close())
	expectAck(t, raw, "1")
	raw.ExpectClosed()
	assert.Equal(t, 1, w.Len())
	require.NoError(t, one.Ack(), "it is")
	require.ErrorIs(t, two.Ack(), socket.ErrClosed)
}

// A copy that comes while the message is being handled waits for what becomes of it.
func TestWindow_CopiesWait(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cut      bool // the first connection has ended
		end      func(m socket.Msg) error
		want     error
		returned bool // the copy
	}{
		"acknowledged": {false, socket.Msg.Ack, nil, false},
		"acknowledged when its connection is gone": {true, socket.Msg.Ack, nil, false},
		"refused":                             {false, func(m socket.Msg) error { return m.Nack(socket.RetryAfter(0)) }, nil, true},
		"refused when its connection is gone": {true, func(m socket.Msg) error { return m.Nack(socket.Nack{}) }, socket.ErrPeerGone, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := windowed(t, memWindow(t, spooltest.NewMem(), spool.WindowOptions{}))
			bound := bind(t, pull, "tcp://127.0.0.1:0")
			dial := func() *sockettest.RawPeer {
				raw := sockettest.DialRaw(t, bound)
				raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
				expectCredit(t, raw, 32768, 8<<20)
				return raw
			}
			first := dial()
			deliver(first, "s", 1, 1, "1")
			m := recv(t, pull)
			if test.cut {
				first.Close()
				require.Eventually(t, func() bool { return len(pull.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond)
			}
			lost := dial() // whose copy is forgotten with it
			deliver(lost, "s", 1, 2, "1")
			deliver(lost, "t", 1, 1, "l")
			requireMsg(t, recv(t, pull), "l")
			lost.Close()
			require.Eventually(t, func() bool { return pull.Stats().Acks.ReturnedIn == 1 }, sockettest.Timeout, time.Millisecond)

			raw := dial()
			deliver(raw, "s", 1, 2, "1")
			deliver(raw, "t", 2, 1, "x")
			requireMsg(t, recv(t, pull), "x")
			waiting := make(chan socket.Msg, 1)
			go func() {
				m, err := pull.Recv(limit(t))
				assert.NoError(t, err)
				waiting <- m
			}()
			require.ErrorIs(t, test.end(m), test.want)
			if !test.returned {
				expectAck(t, raw, "1")
				assert.EqualValues(t, 1, pull.Stats().Acks.DuplicatesIn)
				raw.SendMessage("y")
				requireMsg(t, <-waiting, "y")
				return
			}
			again := <-waiting
			requireMsg(t, again, "1")
			assert.Equal(t, 2, again.Attempt())
			require.NoError(t, again.Ack())
			expectAck(t, raw, "1")
			assert.Zero(t, pull.Stats().Acks.DuplicatesIn)
		})
	}
}

// Messages are known by their ids as well, short or long, and on links where the sender names no stream.
func TestWindow_Ids(t *testing.T) {
	t.Parallel()
	w := memWindow(t, spooltest.NewMem(), spool.WindowOptions{})
	pull := windowed(t, w, socket.WithMessageID(func(m socket.Msg) (string, []byte) {
		id := strings.TrimPrefix(m.String(), "-")
		return id, []byte(id)
	}))
	raw := source(t, pull, 32768, 8<<20)
	long := strings.Repeat("x", 100)
	for _, m := range []string{"a", long, "-"} {
		raw.SendMessage(m)
		got := recv(t, pull)
		requireMsg(t, got, m)
		require.NoError(t, got.Ack())
	}
	awaitAck(t, raw, 3)
	deliver(raw, "s", 1, 1, "-a", "-"+long, "-", "b", "c")
	for _, want := range []string{"-", "b"} { // - has neither id nor, before, a place
		m := recv(t, pull)
		requireMsg(t, m, want)
		require.NoError(t, m.Ack())
	}
	requireMsg(t, recv(t, pull), "c")
	awaitAck(t, raw, 7)
	assert.EqualValues(t, 2, pull.Stats().Acks.DuplicatesIn)
	assert.Equal(t, 4, w.Len())
}

// While the disk is full nothing is acknowledged; then all is.
func TestWindow_Full(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	troubles := make(chan error, 10)
	pull := windowed(t, g, socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.WindowTrouble {
			troubles <- e.Err
		}
	}))
	raw := source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 1, 1, "1", "2")
	require.NoError(t, recv(t, pull).Ack())
	g.gate <- fmt.Errorf("mark: %w", spool.ErrFull)
	require.ErrorIs(t, <-troubles, spool.ErrFull)
	require.NoError(t, recv(t, pull).Ack())
	assert.Zero(t, pull.Stats().Acks.AckedIn)
	g.gate <- nil
	awaitAck(t, raw, 2)
}

// A window that has failed is the end: nothing is returned or acknowledged any more.
func TestWindow_Failed(t *testing.T) {
	t.Parallel()
	g := newGated(t)
	troubles := make(chan error, 10)
	pull := windowed(t, g, socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == socket.WindowTrouble {
			troubles <- e.Err
		}
	}))
	raw := source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 1, 1, "1", "2")
	one, two := recv(t, pull), recv(t, pull)
	require.NoError(t, one.Ack())
	waiting := make(chan error)
	go func() {
		_, err := pull.Recv(limit(t))
		waiting <- err
	}()
	g.gate <- fmt.Errorf("mark: %w", spool.ErrFailed)
	for _, err := range []error{<-waiting, <-troubles, two.Ack()} {
		require.ErrorIs(t, err, socket.ErrWindow)
		require.ErrorIs(t, err, spool.ErrFailed)
	}
	turns := 0
	for _, err := range pull.Messages(limit(t)) {
		require.ErrorIs(t, err, socket.ErrWindow)
		turns++
	}
	assert.Equal(t, 1, turns)
	require.NoError(t, pull.Close())
	expectCredit(t, raw, 0, 0)
	assert.Empty(t, raw.ExpectClosed(), "nothing was acknowledged")
	assert.Zero(t, g.Len())
}

// Two senders with one stream are told apart by what they say, whether the first message of a place is being handled or is marked: the second is refused, and
// nothing of its own is taken for a duplicate or acknowledged.
func TestWindow_ClonedSpool(t *testing.T) {
	t.Parallel()
	for _, marked := range []bool{false, true} {
		t.Run(fmt.Sprint(marked), func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			watching := func(e socket.Event) {
				if e.Kind == socket.Disconnected && e.Refusal == socket.RefusedStream {
					ended <- e.Err
				}
			}
			pull := windowed(t, memWindow(t, spooltest.NewMem(), spool.WindowOptions{}), socket.WithEventHandler(watching))
			bound := bind(t, pull, "tcp://127.0.0.1:0")
			dial := func() *sockettest.RawPeer {
				raw := sockettest.DialRaw(t, bound)
				raw.Handshake("PUSH", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
				expectCredit(t, raw, 32768, 8<<20)
				return raw
			}
			original, clone := dial(), dial()
			deliver(original, "s", 7, 1, "seven")
			m := recv(t, pull)
			if marked {
				require.NoError(t, m.Ack())
				expectAck(t, original, "1")
			}
			deliver(clone, "s", 7, 1, "another seven", "eight")
			_, err := pull.Recv(try())
			for errors.Is(err, context.Canceled) && len(ended) == 0 {
				runtime.Gosched()
				_, err = pull.Recv(try())
			}
			require.ErrorIs(t, err, context.Canceled, "neither seven nor eight")
			refused := <-ended
			require.ErrorIs(t, refused, socket.ErrStream)
			require.ErrorContains(t, refused, "stream 73"+strings.Repeat("0", 30)+",")
			assert.Empty(t, clone.ExpectClosed())
			assert.EqualValues(t, 1, pull.Stats().Refused[socket.RefusedStream])
			assert.Zero(t, pull.Stats().Acks.DuplicatesIn)
			deliver(original, "s", 8, 1, "eight")
			requireMsg(t, recv(t, pull), "eight")
		})
	}
}

func TestWindow_Options(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, socketOf(socket.WithAck(), socket.WithWindow(dir, spool.WindowOptions{})))
	w, err := spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err, "the socket has closed it")
	defer w.Close()
	id := socket.WithMessageID(func(m socket.Msg) (string, []byte) { return m.String(), nil })
	for name, test := range map[string]struct {
		err  error
		opts []socket.Option
	}{
		"in use":         {spool.ErrInUse, []socket.Option{socket.WithAck(), socket.WithWindow(dir, spool.WindowOptions{})}},
		"no WithAck":     {socket.ErrOption, []socket.Option{socket.WithWindowOn(w)}},
		"no window":      {socket.ErrOption, []socket.Option{socket.WithAck(), id}},
		"nil window":     {socket.ErrOption, []socket.Option{socket.WithAck(), socket.WithWindowOn(nil)}},
		"nil id":         {socket.ErrOption, []socket.Option{socket.WithAck(), socket.WithWindowOn(w), socket.WithMessageID(nil)}},
		"negative count": {socket.ErrOption, []socket.Option{socket.WithAck(), socket.WithWindow(t.TempDir(), spool.WindowOptions{Count: -1})}},
	} {
		require.ErrorIs(t, socketOf(test.opts...), test.err, name)
	}
}

// socketOf returns the error that a PULL with the options has.
func socketOf(opts ...socket.Option) error {
	pull := socket.NewPull(opts...)
	defer pull.Close()
	_, err := pull.Bind("inproc://" + fmt.Sprintf("%p", pull))
	return err
}
