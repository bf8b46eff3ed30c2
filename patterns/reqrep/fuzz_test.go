package reqrep

import (
	"context"
	"iter"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// seeds are messages of all kinds that the two ends send.
func seeds(f *testing.F) {
	body, err := codec.Msgpack.Append(nil, 3)
	require.NoError(f, err)
	for _, e := range []codec.Envelope{
		{Type: "echo"}, {Type: "count", Headers: []codec.Header{{Key: headerWindow, Value: "2/100"}, {Key: headerCall, Value: "7"}}},
		{Type: controlCancel, Headers: []codec.Header{{Key: headerCall, Value: "7"}}},
		{Type: controlTaken, Headers: []codec.Header{{Key: headerCall, Value: "7"}, {Key: headerTaken, Value: "1"}}},
		{Type: InfoMethod, Headers: []codec.Header{{Key: headerTimeout, Value: "5"}, {Key: headerAttempt, Value: "2"}}},
		{Headers: []codec.Header{{Key: headerItem, Value: "1"}}}, {Headers: []codec.Header{{Key: headerEnd, Value: "1"}}},
		{Headers: []codec.Header{{Key: headerCode, Value: "internal"}, {Key: headerRetry, Value: "9"}}},
	} {
		e.CausationID, e.Codec, e.Body = codec.ID{1}, "msgpack", body
		if e.Type != controlCancel && e.Type != controlTaken {
			e.ID = codec.ID{1}
		}
		frame, err := e.Append(nil)
		require.NoError(f, err)
		f.Add(frame)
	}
}

// FuzzService has a service take what a client may send: it does not panic, nothing is left in hand, and controls without a request do no harm.
func FuzzService(f *testing.F) {
	seeds(f)
	s := NewService(patterns.WithOnError(func(context.Context, error) {}))
	f.Cleanup(func() { s.Close() })
	require.NoError(f, Handle(s, "echo", func(_ context.Context, n int) (int, error) { return n, nil }))
	require.NoError(f, HandleStream(s, "count", func(context.Context, int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, nil) }
	}))
	s.hire(1)
	ctx, cancel := context.WithCancel(context.Background())
	f.Cleanup(cancel)
	f.Fuzz(func(t *testing.T, frame []byte) {
		ctx, done := context.WithTimeout(ctx, time.Second) // a stream may wait for its window
		defer done()
		s.take(ctx, socket.Msg{Frames: [][]byte{{0, 1, 2, 3, 4}, frame}})
		s.mu.Lock()
		defer s.mu.Unlock()
		require.Zero(t, s.busy)
		require.Zero(t, s.desk.active)
		require.Empty(t, s.desk.inHand)
		require.LessOrEqual(t, len(s.desk.early), maxEarly)
	})
}

// FuzzClient has a client with a call and a stream in flight take what a service may send: it does not panic, and keeps no more of
// the stream than it asked for.
func FuzzClient(f *testing.F) {
	seeds(f)
	c := NewClient(patterns.WithOnError(func(context.Context, error) {}))
	f.Cleanup(func() { c.Close() })
	at := new(socket.Peer)
	c.book.update(here(at))
	f.Fuzz(func(t *testing.T, frame []byte) {
		q := &question{id: codec.ID{1}, done: make(chan result, 9)}
		flow := newInflow(window{2, 100})
		p := &pending{tag: 7, done: q.done, flow: flow}
		if len(frame)%2 == 0 {
			p.flow = nil
		}
		_, err := c.assign(context.Background(), q, p, false)
		require.NoError(t, err)
		q.open = append(q.open, p)
		for range 4 {
			if e, err := openFrame(frame); err == nil {
				c.settle(e, at, new(socket.Msg))
			}
		}
		require.LessOrEqual(t, len(flow.items), 2)
		require.LessOrEqual(t, len(q.done), 1)
		c.forget(q, errNeutral)
		require.Empty(t, c.book.calls)
	})
}

func openFrame(frame []byte) (*codec.Envelope, error) {
	e := new(codec.Envelope)
	return e, e.Decode(frame)
}
