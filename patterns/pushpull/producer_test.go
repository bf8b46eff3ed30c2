package pushpull_test

import (
	"bytes"
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// How long a message is decides where it is made. Nothing else depends on it, whoever sends beside, and whatever came before.
func TestMessagesOfAllLengths(t *testing.T) {
	t.Parallel()
	type note struct {
		From, Number int
		Text         []byte
	}
	p, w := pushpull.NewProducer[note](), pushpull.NewWorker[note]()
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	at, err := w.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, p.Connect(at))
	const senders, each = 3, 2000
	text := func(number int) []byte { return bytes.Repeat([]byte{byte(number)}, number%400) }
	ctx, parent := within(t), &codec.Envelope{ID: codec.NewID()}
	traced := *parent
	traced.SetHeader(codec.HeaderTraceparent, "00-1-2-01")
	contexts := []context.Context{ctx, ctx, ctx, patterns.NewContext(ctx, parent), patterns.NewContext(ctx, &traced)}
	var sending sync.WaitGroup
	for s := range senders {
		sending.Go(func() {
			for i := range each {
				assert.NoError(t, p.Send(contexts[i%len(contexts)], note{s, i, text(i)}))
			}
		})
	}
	var next [senders]int
	seen := map[codec.ID]bool{}
	done, ended := make(chan struct{}), make(chan error, 1)
	go func() { // ended and awaited below
		ended <- w.Run(context.Background(), func(ctx context.Context, v note) error {
			assert.Equal(t, next[v.From], v.Number)
			assert.True(t, bytes.Equal(text(v.Number), v.Text))
			next[v.From]++
			e := patterns.FromContext(ctx)
			assert.False(t, seen[e.ID])
			if seen[e.ID] = true; v.Number%len(contexts) >= 3 {
				assert.Equal(t, parent.ID, e.CausationID)
			} else {
				assert.Zero(t, e.CausationID)
			}
			assert.Equal(t, v.Number%len(contexts) == 4, e.Header(codec.HeaderTraceparent) != "")
			if len(seen) == senders*each {
				close(done)
			}
			return nil
		})
	}()
	sending.Wait()
	select {
	case <-done:
	case <-ctx.Done():
		t.Error("not all came")
	}
	assert.NoError(t, w.Close())
	assert.NoError(t, <-ended)
}
