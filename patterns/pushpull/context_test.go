package pushpull_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
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
