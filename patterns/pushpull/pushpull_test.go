package pushpull_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

type Order struct {
	Number int
	Item   string
}

// pair returns a producer and a worker that are connected to each other.
func pair(t *testing.T, producer, worker []patterns.Option) (*pushpull.Producer[Order], *pushpull.Worker[Order]) {
	t.Helper()
	w := pushpull.NewWorker[Order](worker...)
	t.Cleanup(func() { w.Close() })
	p := pushpull.NewProducer[Order](producer...)
	t.Cleanup(func() { p.Close() })
	addr, err := w.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	return p, w
}

// run runs the worker until the test ends.
func run(t *testing.T, w *pushpull.Worker[Order], handler func(context.Context, Order) error) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(context.Background(), handler) }() // ended and awaited in the cleanup
	t.Cleanup(func() {
		w.Close()
		assert.NoError(t, <-ended)
	})
}

// errorHook returns a hook, and what it was told.
func errorHook() (patterns.Option, <-chan error) {
	errs := make(chan error, 100)
	return patterns.WithOnError(func(_ context.Context, err error) { errs <- err }), errs
}

func TestValuesArriveInOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		t.Run(c.Name(), func(t *testing.T) {
			t.Parallel()
			p, w := pair(t, []patterns.Option{patterns.WithCodec(c), patterns.WithSource("desk")}, nil)
			got := make(chan Order, 100)
			var envelope *codec.Envelope
			run(t, w, func(ctx context.Context, o Order) error {
				if o.Number == 99 {
					envelope = patterns.FromContext(ctx)
				}
				got <- o
				return nil
			})
			id := codec.NewID()
			for i := range 100 {
				require.NoError(t, p.Send(within(t), Order{i, "tea"}, patterns.WithHeader("n", fmt.Sprint(i)), patterns.WithID(id)))
			}
			for i := range 100 {
				require.Equal(t, Order{i, "tea"}, <-got)
			}
			require.NotNil(t, envelope)
			assert.Equal(t, id, envelope.ID)
			assert.Zero(t, envelope.CorrelationID, "it began the conversation")
			assert.Zero(t, envelope.CausationID)
			assert.Equal(t, "Order", envelope.Type)
			assert.Equal(t, "desk", envelope.Source)
			assert.Equal(t, c.Name(), envelope.Codec)
			assert.Equal(t, "99", envelope.Header("n"))
			assert.False(t, envelope.Time.IsZero())
		})
	}
}

func TestPlainBytes(t *testing.T) {
	t.Parallel()
	w := pushpull.NewWorker[[]byte]()
	p := pushpull.NewProducer[[]byte](patterns.WithCodec(codec.Raw))
	defer p.Close()
	addr, err := w.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	require.NoError(t, p.Send(within(t), []byte("as it is")))
	err = w.Run(within(t), func(_ context.Context, b []byte) error {
		defer w.Close() // a handler may
		assert.Equal(t, "as it is", string(b))
		return nil
	})
	assert.NoError(t, err)
	assert.Equal(t, patterns.Counts{Handled: 1}, w.Counts())
}

func TestConversationGoesOn(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, nil)
	second, last := pair(t, nil, nil)
	got := make(chan *codec.Envelope, 2)
	run(t, w, func(ctx context.Context, o Order) error {
		got <- patterns.FromContext(ctx)
		return second.Send(ctx, o)
	})
	run(t, last, func(ctx context.Context, o Order) error {
		got <- patterns.FromContext(ctx)
		return nil
	})
	require.NoError(t, p.Send(within(t), Order{}, patterns.WithHeader(codec.HeaderTraceparent, "00-1-2-01"), patterns.WithHeader("private", "x")))
	one, two := <-got, <-got
	assert.Equal(t, one.ID, two.CorrelationID)
	assert.Equal(t, one.ID, two.CausationID)
	assert.NotEqual(t, one.ID, two.ID)
	assert.Equal(t, "00-1-2-01", two.Header(codec.HeaderTraceparent))
	assert.Empty(t, two.Header("private"))
}

func TestFailuresAreReportedAndEndNothing(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	p, w := pair(t, nil, []patterns.Option{hook})
	done := make(chan int, 10)
	errSoldOut := errors.New("sold out")
	run(t, w, func(_ context.Context, o Order) error {
		done <- o.Number
		switch o.Number {
		case 1:
			return errSoldOut
		case 2:
			panic("no such shelf")
		}
		return nil
	})
	for i := 1; i <= 3; i++ {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
		assert.Equal(t, i, <-done)
	}
	err := <-errs
	assert.ErrorIs(t, err, errSoldOut)
	failed, ok := errors.AsType[*patterns.Error](err)
	require.True(t, ok)
	assert.Equal(t, "handle", failed.Op)
	assert.Equal(t, "Order", failed.Type)
	assert.False(t, failed.ID.IsZero())
	assert.Contains(t, failed.Error(), "handle Order "+failed.ID.String()+" from "+failed.Peer+": sold out")

	err = <-errs
	assert.ErrorIs(t, err, patterns.ErrPanic)
	panicked, ok := errors.AsType[*patterns.PanicError](err)
	require.True(t, ok)
	assert.Equal(t, "no such shelf", panicked.Value)
	assert.Contains(t, string(panicked.Stack), "TestFailuresAreReportedAndEndNothing")

	require.NoError(t, w.Shutdown(within(t)))
	assert.Equal(t, patterns.Counts{Handled: 1, Failed: 2}, w.Counts())
}

func TestUndecodableIsReportedAndEndsNothing(t *testing.T) {
	t.Parallel()
	sealed := func(e codec.Envelope) []byte {
		frame, err := e.Append(nil)
		require.NoError(t, err)
		return frame
	}
	order, err := codec.Msgpack.Append(nil, Order{Number: 1})
	require.NoError(t, err)
	tests := map[string]struct {
		frames [][]byte
		want   error
	}{
		"no envelope":   {[][]byte{[]byte("hello")}, patterns.ErrMalformed},
		"empty":         {[][]byte{nil}, patterns.ErrMalformed},
		"two frames":    {[][]byte{sealed(codec.Envelope{Body: order}), nil}, patterns.ErrMalformed},
		"body":          {[][]byte{sealed(codec.Envelope{Body: []byte{0xdd, 0xff, 0xff, 0xff, 0xff}})}, patterns.ErrMalformed},
		"no body":       {[][]byte{sealed(codec.Envelope{Codec: "json"})}, patterns.ErrMalformed},
		"unknown codec": {[][]byte{sealed(codec.Envelope{Codec: "xml", Body: order})}, codec.ErrUnknown},
		"other type":    {[][]byte{sealed(codec.Envelope{Type: "Invoice", Body: order})}, patterns.ErrType},
	}
	hook, errs := errorHook()
	p, w := pair(t, nil, []patterns.Option{hook})
	good := make(chan Order, 1)
	run(t, w, func(_ context.Context, o Order) error { good <- o; return nil })
	for name, test := range tests {
		require.NoError(t, p.Push.Send(within(t), test.frames...), name)
		err := <-errs
		assert.ErrorIs(t, err, test.want, name)
		failed, ok := errors.AsType[*patterns.Error](err)
		require.True(t, ok, name)
		assert.Equal(t, "decode", failed.Op, name)
	}
	require.NoError(t, p.Push.Send(within(t), sealed(codec.Envelope{Body: order})), "no type suits all")
	assert.Equal(t, Order{Number: 1}, <-good)
	assert.Equal(t, uint64(len(tests)), w.Counts().Malformed)
}

func TestAnyType(t *testing.T) {
	t.Parallel()
	p, w := pair(t, nil, []patterns.Option{patterns.WithAnyType()})
	got := make(chan Order, 1)
	run(t, w, func(_ context.Context, o Order) error { got <- o; return nil })
	require.NoError(t, p.Send(within(t), Order{Number: 7}, patterns.WithType("orders.created")))
	assert.Equal(t, Order{Number: 7}, <-got)
}

func TestConcurrency(t *testing.T) {
	t.Parallel()
	const n = 4
	p, w := pair(t, nil, []patterns.Option{patterns.WithConcurrency(n)})
	var mu sync.Mutex
	now, peak := 0, 0
	count := func(by int) {
		mu.Lock()
		defer mu.Unlock()
		now += by
		peak = max(peak, now)
	}
	begun, gate := make(chan int, 3*n), make(chan struct{})
	var handled sync.WaitGroup
	handled.Add(3 * n)
	run(t, w, func(_ context.Context, o Order) error {
		defer handled.Done()
		count(+1)
		defer count(-1)
		begun <- o.Number
		<-gate
		return nil
	})
	for i := range 3 * n {
		require.NoError(t, p.Send(within(t), Order{Number: i}))
	}
	for range n {
		<-begun
	}
	arrived(t, w, 2*n) // the rest stays with the socket
	close(gate)
	handled.Wait()
	assert.Equal(t, n, peak)
}

func TestSendWithoutWorker(t *testing.T) {
	t.Parallel()
	p := pushpull.NewProducer[Order]()
	defer p.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, p.Send(ctx, Order{}), socket.ErrNoPeer)
	require.NoError(t, p.Close())
	assert.ErrorIs(t, p.Send(t.Context(), Order{}), socket.ErrClosed)
}

func TestSendWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	p := pushpull.NewProducer[func()]()
	defer p.Close()
	assert.ErrorContains(t, p.Send(t.Context(), func() {}), "msgpack encode")
	o := pushpull.NewProducer[Order]()
	defer o.Close()
	assert.ErrorIs(t, o.Send(t.Context(), Order{}, patterns.WithHeader("", "no key")), codec.ErrMalformed)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]patterns.Option{
		"WithConcurrency(0)": patterns.WithConcurrency(0),
		"WithCodec(nil)":     patterns.WithCodec(nil),
		"WithOnError(nil)":   patterns.WithOnError(nil),
		"WithSource":         patterns.WithSource("worker"),
	} {
		w := pushpull.NewWorker[Order](opt)
		defer w.Close()
		err := w.Run(t.Context(), func(context.Context, Order) error { return nil })
		assert.ErrorIs(t, err, socket.ErrOption)
		assert.ErrorContains(t, err, want)
	}
	p := pushpull.NewProducer[Order](patterns.WithConcurrency(2))
	defer p.Close()
	err := p.Send(t.Context(), Order{})
	assert.ErrorIs(t, err, socket.ErrOption)
	assert.ErrorContains(t, err, "NewProducer has no use for WithConcurrency")

	w := pushpull.NewWorker[Order](patterns.WithSocketOptions(socket.WithRecvHWM(-1)))
	defer w.Close()
	assert.ErrorIs(t, w.Run(t.Context(), nil), socket.ErrOption, "an option of the socket")
}
