package servertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// sender appends messages that say who sent them, from several goroutines, until it is stopped.
type sender struct {
	stop chan struct{}
	all  sync.WaitGroup

	mu      sync.Mutex
	given   map[uint64]string // what was confirmed, by its number
	reached chan struct{}     // closed when there are as many as wanted
	want    int
}

func startSender(t *testing.T, s socket.Spool, goroutines int) *sender {
	w := &sender{stop: make(chan struct{}), given: make(map[uint64]string)}
	ctx := bounded(t)
	for i := range goroutines {
		w.all.Go(func() { // ends with stop, which end waits for
			for j := 0; ; j++ {
				select {
				case <-w.stop:
					return
				default:
				}
				body := fmt.Sprintf("sender %d, message %d", i, j)
				n, err := s.Append(ctx, []byte(body))
				if !assert.NoError(t, err) {
					return
				}
				w.confirm(n, body)
			}
		})
	}
	return w
}

func (w *sender) confirm(n uint64, body string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.given[n] = body
	if w.reached != nil && len(w.given) >= w.want {
		close(w.reached)
		w.reached = nil
	}
}

// more waits until so many more messages are confirmed.
func (w *sender) more(t *testing.T, n int) {
	t.Helper()
	reached := make(chan struct{})
	w.mu.Lock()
	w.want, w.reached = len(w.given)+n, reached
	w.mu.Unlock()
	select {
	case <-reached:
	case <-bounded(t).Done():
		require.Fail(t, "nothing is confirmed")
	}
}

func (w *sender) end() map[uint64]string {
	close(w.stop)
	w.all.Wait()
	return w.given
}

// requireStored checks that the spool has exactly what was confirmed, each message once, at its number.
func requireStored(t *testing.T, s socket.Spool, given map[uint64]string) {
	t.Helper()
	r := reader(t, s, 0)
	for n := uint64(1); n <= uint64(len(given)); n++ {
		rec := next(t, r)
		require.Equal(t, n, rec.Number)
		require.Equal(t, given[n], string(rec.Frames[0]))
	}
	_, err := r.TryNext()
	require.ErrorIs(t, err, io.EOF)
}

func reader(t *testing.T, s socket.Spool, n uint64) socket.SpoolReader {
	t.Helper()
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	r := c.Reader(n)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// next reads a message from servers that may have just come back.
func next(t *testing.T, r socket.SpoolReader) spool.Record {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; {
		rec, err := r.TryNext()
		if err == nil || errors.Is(err, io.EOF) || errors.As(err, new(*spool.Gap)) || time.Now().After(end) {
			require.NoError(t, err)
			return rec
		}
	}
}

// TestRestart: a server goes and comes again in the middle of traffic. What was confirmed is there once, and everybody goes on.
func TestRestart(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	s := open(t, connect(t, n), "orders", quick)
	w := startSender(t, s, 16)
	for range 3 {
		w.more(t, 200)
		n.stop()
		n.start(t)
	}
	w.more(t, 200)
	requireStored(t, s, w.end())
	require.NoError(t, s.Flush(bounded(t)))
	require.NoError(t, s.Close())
}

// TestUnreachable: without servers calls wait as long as their contexts last, and what they queued goes out later.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "orders", jetstream.Options{Patience: 200 * time.Millisecond, Window: 3})
	n.stop()
	ctx, cancel := context.WithCancel(bounded(t))
	cancel()
	number, err := s.Append(ctx, []byte(text(1)))
	assert.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, uint64(1), number, "it has its place")
	for i := uint64(2); i <= 3; i++ {
		number, err = s.Enqueue(ctx, []byte(text(i)))
		require.NoError(t, err)
		assert.Equal(t, i, number)
	}
	number, err = s.Enqueue(ctx, []byte(text(4)))
	assert.ErrorIs(t, err, context.Canceled, "the window is full")
	assert.Zero(t, number)
	assert.ErrorIs(t, s.Flush(ctx), context.Canceled)
	_, err = reader(t, s, 0).TryNext()
	assert.ErrorIs(t, err, io.EOF, "nothing is confirmed")
	n.start(t)
	require.NoError(t, s.Flush(bounded(t)))
	requireStored(t, s, map[uint64]string{1: text(1), 2: text(2), 3: text(3)})

	n.stop()
	_, err = s.Enqueue(bounded(t), []byte(text(4)))
	require.NoError(t, err)
	assert.ErrorContains(t, s.Close(), "1 messages are not confirmed", "it does not wait for ever")
}

// TestFull: servers without room refuse, or are waited for, and take messages again when others have been acknowledged.
func TestFull(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	body := make([]byte, 1000)
	s := open(t, nc, "reject", jetstream.Options{Quota: 20_000, Full: spool.Reject, Patience: 10 * time.Second})
	var stored uint64
	var err error
	for err == nil {
		var n uint64
		if n, err = s.Append(bounded(t), body); n > 0 {
			stored = n
		}
	}
	require.ErrorIs(t, err, spool.ErrFull)
	require.Greater(t, stored, uint64(5))
	_, err = s.Append(bounded(t), body)
	require.ErrorIs(t, err, spool.ErrFull)
	require.Error(t, s.State().Full)
	assert.Equal(t, stored+1, s.State().Next, "a message that was refused has no number")
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	require.NoError(t, c.Ack(1, stored))
	for err = spool.ErrFull; errors.Is(err, spool.ErrFull) && bounded(t).Err() == nil; { // until those are let go
		_, err = s.Append(bounded(t), []byte("small"))
	}
	require.NoError(t, err)
	assert.NoError(t, s.State().Full)
	assert.Equal(t, stored+2, s.State().Next)

	s = open(t, nc, "block", jetstream.Options{Quota: 20_000, Patience: 10 * time.Second})
	for range 30 {
		_, err := s.Enqueue(bounded(t), body)
		require.NoError(t, err)
	}
	c, err = s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	r := c.Reader(0)
	defer r.Close()
	for n := uint64(1); n <= 30; { // more than there is room for at a time
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			select {
			case <-r.More():
			case <-bounded(t).Done():
				require.Fail(t, "no room in spite of acknowledgements")
			}
			continue
		}
		require.NoError(t, err)
		require.Equal(t, n, rec.Number)
		require.NoError(t, c.Ack(n, n))
		n++
	}
	require.NoError(t, s.Flush(bounded(t)))
}

// TestTaken: of two that write, the later one wins, and the other is told.
func TestTaken(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	nc := connect(t, n)
	s := open(t, nc, "orders", quick)
	_, err := s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	c, err := s.Consumer("", spool.Beginning())
	require.NoError(t, err)
	js, err := natsjs.New(connect(t, n))
	require.NoError(t, err)
	// A spool whose process is alive but cannot be asked: its successor has the stream take another subject.
	stream, err := js.Stream(bounded(t), "orders")
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	config.Subjects = []string{"meshmq.spool.orders.2"}
	_, err = js.UpdateStream(bounded(t), config)
	require.NoError(t, err)
	_, err = s.Append(bounded(t), []byte(text(2)))
	require.ErrorIs(t, err, spool.ErrFailed)
	assert.ErrorIs(t, err, spool.ErrInUse)
	assert.ErrorIs(t, s.Flush(bounded(t)), spool.ErrFailed)
	assert.ErrorIs(t, c.Ack(1, 1), spool.ErrFailed)
	assert.Equal(t, text(1), string(next(t, c.Reader(0)).Frames[0]), "readers go on with what is safe")
	require.NoError(t, s.Close())

	s = open(t, nc, "orders", quick)
	_, incarnation := s.Stream()
	assert.Equal(t, uint32(2), incarnation)
	number, err := s.Append(bounded(t), []byte(text(2)))
	require.NoError(t, err)
	assert.Equal(t, uint64(2), number)
	assert.Equal(t, uint32(1), next(t, reader(t, s, 1)).Incarnation)
	assert.Equal(t, uint32(2), next(t, reader(t, s, 2)).Incarnation)
}

// TestGone: a stream that was deleted ends the spool, and when both are gone there is a new one.
func TestGone(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	for _, name := range []string{"", "a.b", "../x", "*", "a b"} {
		_, err = jetstream.Open(bounded(t), nc, name, quick)
		require.ErrorIs(t, err, spool.ErrName, name)
	}

	s := open(t, nc, "orders", quick)
	_, err = s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(bounded(t), "orders"))
	_, err = s.Append(bounded(t), []byte(text(2)))
	require.ErrorIs(t, err, spool.ErrFailed)
	assert.ErrorContains(t, err, "gone")
	require.NoError(t, s.Close())
	require.NoError(t, js.DeleteStream(bounded(t), "orders_state"))
	s = open(t, nc, "orders", quick) // a new one
	number, err := s.Append(bounded(t), []byte(text(1)))
	require.NoError(t, err)
	assert.Equal(t, uint64(1), number)
	requireStored(t, s, map[uint64]string{1: text(1)})
}

// TestGaps: what retention or somebody's hand has taken is told once, and the reader goes on behind it.
func TestGaps(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	s := open(t, nc, "events", jetstream.Options{Kind: spool.Topic, Retention: spool.Retention{Count: 600}, Patience: 10 * time.Second})
	c, err := s.Consumer("reader", spool.Beginning())
	require.NoError(t, err)
	begun := time.Now()
	for i := range uint64(1000) {
		_, err := s.Enqueue(bounded(t), []byte(text(i+1)))
		require.NoError(t, err)
	}
	require.NoError(t, s.Flush(bounded(t)))
	stream, err := js.Stream(bounded(t), "events")
	require.NoError(t, err)
	require.NoError(t, stream.DeleteMsg(bounded(t), 500))
	require.NoError(t, stream.DeleteMsg(bounded(t), 1000))
	require.NoError(t, c.Ack(410, 420))
	r := c.Reader(0)
	defer r.Close()
	var gaps []string
	var got []uint64
	var late time.Time
	for {
		rec, err := r.TryNext()
		if gap, lost := errors.AsType[*spool.Gap](err); lost {
			gaps = append(gaps, fmt.Sprint(gap.From, "-", gap.To, " ", gap.Damaged))
			continue
		} else if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		got = append(got, rec.Number)
		if rec.Number == 900 {
			late = rec.Time
		}
	}
	assert.Equal(t, []string{"1-400 false", "500-500 false", "1000-1000 false"}, gaps)
	assert.Equal(t, slices.Concat(upTo(401, 409), upTo(421, 499), upTo(501, 999)), got)
	for since, floor := range map[time.Time]uint64{begun: 0, late: 899, time.Now().Add(time.Hour): 1000} { // from 0 on the reader tells of the first gap
		c, err := s.Consumer(fmt.Sprint("since-", floor), spool.Since(since))
		require.NoError(t, err)
		at, _ := c.Position()
		assert.Equal(t, floor, at)
	}
}

func upTo(lo, hi uint64) (all []uint64) {
	for n := lo; n <= hi; n++ {
		all = append(all, n)
	}
	return all
}
