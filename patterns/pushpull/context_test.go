package pushpull_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
)

// A handler may leave its context and its value with others: they stay what they were when messages after it are handled in the same memory.
func TestWhatHandlersKeepStays(t *testing.T) {
	t.Parallel()
	const n = 200
	type kept struct {
		ctx context.Context
		v   Order
	}
	p, w := pair(t, nil, nil)
	got := make(chan kept, n)
	run(t, w, func(ctx context.Context, o Order) error {
		got <- kept{ctx, o}
		return nil
	})
	ids := make([]codec.ID, n)
	for i := range ids {
		ids[i] = codec.NewID()
		opts := []patterns.SendOption{patterns.WithID(ids[i])}
		if i%2 == 0 {
			opts = append(opts, patterns.WithHeader("n", fmt.Sprint(i)))
		}
		require.NoError(t, p.Send(within(t), Order{i, fmt.Sprint("item ", i)}, opts...))
	}
	all := make([]kept, 0, n)
	for range ids {
		all = append(all, <-got)
	}
	for i, k := range all {
		assert.Equal(t, Order{i, fmt.Sprint("item ", i)}, k.v)
		var seen [4]*codec.Envelope
		var asking sync.WaitGroup
		for j := range seen {
			asking.Go(func() { seen[j] = patterns.FromContext(k.ctx) })
		}
		asking.Wait()
		require.NotNil(t, seen[0])
		assert.Equal(t, ids[i], seen[0].ID)
		if i%2 == 0 {
			assert.Equal(t, fmt.Sprint(i), seen[0].Header("n"))
		}
		for _, e := range seen {
			assert.Same(t, seen[0], e, "it is one envelope, whoever asks")
		}
	}
}

// So do they when what they came in has been used again for others.
func TestWhatHandlersKeepStaysBeyondTheMemoryOfMessages(t *testing.T) {
	t.Parallel()
	const n, every = 20_000, 50
	type letter struct {
		Number int
		Body   []byte
	}
	p, w := pushpull.NewProducer[letter](), pushpull.NewWorker[letter]()
	addr, err := w.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(addr))
	parent := &codec.Envelope{ID: codec.NewID(), CorrelationID: codec.NewID()}
	caused := patterns.NewContext(within(t), parent)
	var contexts []context.Context
	var bodies [][]byte
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ended and awaited in the cleanup
		ended <- w.Run(context.Background(), func(ctx context.Context, v letter) error {
			if v.Number%every == 0 {
				contexts, bodies = append(contexts, ctx), append(bodies, v.Body)
			}
			if v.Number == n-1 {
				close(done)
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		assert.NoError(t, errors.Join(p.Close(), w.Close(), <-ended))
	})
	idOf := func(i int) codec.ID { return codec.ID{1, byte(i), byte(i >> 8)} }
	bodyOf := func(i int) []byte { // of those that are kept each fifth is not copied, and some of them have memory of their own
		if i%(5*every) == 0 {
			return bytes.Repeat([]byte{byte(i / every)}, 8<<10+i*3)
		}
		return fmt.Append(nil, i)
	}
	for i := range n {
		ctx := caused
		if i%(2*every) == 0 {
			ctx = within(t)
		}
		require.NoError(t, p.Send(ctx, letter{i, bodyOf(i)}, patterns.WithID(idOf(i))))
	}
	<-done
	for k, ctx := range contexts {
		want := codec.Envelope{ID: idOf(k * every), Type: "letter", Codec: "msgpack"}
		if k%2 == 1 {
			want.CausationID, want.CorrelationID = parent.ID, parent.CorrelationID
		}
		got := *patterns.FromContext(ctx)
		assert.WithinDuration(t, time.Now(), got.Time, time.Minute)
		got.Time, got.Body = time.Time{}, nil
		require.Equal(t, want, got)
		require.True(t, bytes.Equal(bodyOf(k*every), bodies[k]), k)
	}
}

// Messages that are alike are read by another way than those that are not. Neither shows: whoever sent them, whatever came before, and whether they are sound.
func TestMessagesAlikeAndNot(t *testing.T) {
	t.Parallel()
	const rounds = 40
	type letter struct{ Body []byte }
	type kept struct {
		v  letter
		on *codec.Envelope
	}
	failed := make(chan *patterns.Error, 3*rounds)
	w := pushpull.NewWorker[letter](patterns.WithOnError(func(_ context.Context, err error) {
		e, _ := errors.AsType[*patterns.Error](err)
		failed <- e
	}))
	addr, err := w.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	got, ended := make(chan kept, rounds), make(chan error, 1)
	go func() { // ended and awaited in the cleanup
		ended <- w.Run(context.Background(), func(ctx context.Context, v letter) error {
			got <- kept{v, patterns.FromContext(ctx)}
			if len(v.Body) == 3 {
				return errors.New("three")
			}
			return nil
		})
	}()
	t.Cleanup(func() {
		assert.NoError(t, errors.Join(w.Close(), <-ended))
	})
	push := socket.NewPush()
	t.Cleanup(func() { assert.NoError(t, push.Close()) })
	require.NoError(t, push.Connect(addr))
	send := func(e codec.Envelope) {
		e.ID = codec.NewID()
		frame, err := e.Append(nil)
		require.NoError(t, err)
		require.NoError(t, push.Send(within(t), frame))
	}
	var all []kept
	for i := range rounds {
		body := bytes.Repeat([]byte{byte(i)}, i*i*i/8)
		like := codec.Envelope{Type: "letter", Source: []string{"a", "a", "b"}[i%3], Codec: "msgpack"}
		c := codec.Codec(codec.Msgpack)
		if i%7 == 6 {
			c, like.Codec = codec.JSON, "json"
		}
		broken, other := like, like
		broken.Body, other.Type = []byte("\x81"), "parcel"
		send(broken)
		require.ErrorIs(t, (<-failed), patterns.ErrMalformed)
		like.Body, err = c.Append(nil, letter{body})
		require.NoError(t, err)
		send(like)
		all = append(all, <-got)
		if len(body) == 3 {
			assert.Equal(t, all[i].on.ID, (<-failed).ID)
		}
		assert.Equal(t, like.Source, all[i].on.Source)
		send(other)
		require.ErrorIs(t, (<-failed), patterns.ErrType)
		_ = append(all[i].v.Body, "more"...)
	}
	for i, k := range all {
		assert.Equal(t, bytes.Repeat([]byte{byte(i)}, i*i*i/8), k.v.Body)
	}
}
