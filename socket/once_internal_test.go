package socket

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// slowWindow is slow to say what it has seen of messages with a body.
type slowWindow struct {
	*spool.Window
	body   uint32
	asked  chan struct{} // closed when it is asked about that
	say    chan struct{} // closed when it may say
	pull   *Pull
	before bool // it forgets all between Seen and Clash
	after  bool // or behind Clash
}

func (w *slowWindow) Seen(m spool.Mark) bool {
	if m.Body == w.body {
		select {
		case <-w.asked:
		default:
			close(w.asked)
			<-w.say
		}
	}
	return w.Window.Seen(m)
}

// Clash asks the socket, as a window may.
func (w *slowWindow) Clash(m spool.Mark) (place, id bool) {
	w.pull.Stats()
	w.forget(w.before)
	defer w.forget(w.after)
	return w.Window.Clash(m)
}

// forget has the window, of one mark, remember another one.
func (w *slowWindow) forget(now bool) {
	if now {
		_ = w.Mark(context.Background(), spool.Mark{ID: "since"})
	}
}

// While another message with the id of what was handled is asked about, a copy comes: of what was handled, which is a duplicate and no conflict, or a third one. When
// the window forgets what was handled meanwhile, what it has not called a conflict is handled.
func TestOnce_CopyBesideAConflict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		copied        string
		before, after bool
		counts        []uint64 // conflicts, duplicates
		returned      string
	}{
		"of what was handled":        {copied: "first", counts: []uint64{1, 1}},
		"a third message":            {copied: "third", counts: []uint64{2, 0}},
		"a third, forgotten behind":  {copied: "third", after: true, counts: []uint64{1, 0}, returned: "third"},
		"the same, forgotten before": {copied: "other", before: true, counts: []uint64{0, 1}, returned: "other"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log, err := spool.OpenWindow(t.TempDir(), spool.WindowOptions{Count: 1, SegmentSize: 64 << 10, Policy: spool.OS})
			require.NoError(t, err)
			defer log.Close()
			slow := &slowWindow{
				Window: log, body: sumOf([]byte("other")), asked: make(chan struct{}), say: make(chan struct{}), before: test.before, after: test.after,
			}
			pull := NewPull(WithAck(), WithManualAck(), WithWindowOn(slow), WithMessageID(func(m Msg) (string, []byte) { return "id", m.Bytes() }))
			defer pull.Close()
			slow.pull = pull
			at, err := pull.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout)
			defer cancel()
			push := NewPush(WithAck())
			defer push.Close()
			require.NoError(t, push.Connect(at))

			require.NoError(t, push.Send(ctx, []byte("first")))
			m, err := pull.Recv(ctx)
			require.NoError(t, err)
			require.NoError(t, m.Ack())
			require.NoError(t, push.WaitAcked(ctx))
			require.NoError(t, push.Send(ctx, []byte("other")))
			require.NoError(t, push.Send(ctx, []byte(test.copied)))
			receiving, stop := context.WithCancel(ctx)
			returned := make(chan string, 2)
			for i := range 2 {
				go func() { // ended by stop, awaited below
					said := ""
					for m, err := range pull.Messages(receiving) {
						assert.NoError(t, errors.Join(err, m.Ack()))
						said += m.String()
					}
					returned <- said
				}()
				if i == 0 { // else the other one may overtake it with what came behind
					<-slow.asked
				}
			}
			q := pull.receiver.once
			require.Eventually(t, func() bool {
				q.r.mu.Lock()
				defer q.r.mu.Unlock()
				return len(q.waiting) == 1
			}, sockettest.Timeout, time.Millisecond)
			close(slow.say)
			require.NoError(t, push.WaitAcked(ctx))
			stats := pull.Stats().Acks
			assert.Equal(t, test.counts, []uint64{stats.ConflictsIn, stats.DuplicatesIn})
			stop()
			assert.Equal(t, test.returned, <-returned+<-returned)
		})
	}
}
