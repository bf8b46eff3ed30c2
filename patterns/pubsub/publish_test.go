package pubsub_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
)

// What is published as a value and as a pointer to one is the same event, of the type's name, from the publisher, and part of the conversation in which it is published.
func TestPublish_ValuesAndPointersAreAlike(t *testing.T) {
	p, s := pair(t)
	type seen struct {
		v    Created
		name string
		from string
		part bool
	}
	got := make(chan seen, 10)
	_, err := pubsub.Subscribe(s, "orders.>", func(ctx context.Context, _ string, v Created) error {
		e := patterns.FromContext(ctx)
		if v.Number == 1 {
			require.NoError(t, p.Publish(ctx, "orders.next", &Created{2}))
			require.NoError(t, p.Publish(ctx, "orders.next", Created{3}))
		}
		got <- seen{v, e.Type, e.Source, !e.CausationID.IsZero()}
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, p.WaitSubscribers(within(t), "orders.eu", 1))
	run(t, s)
	require.NoError(t, p.Publish(within(t), "orders.eu", Created{1}))
	for i := range 3 {
		require.Equal(t, seen{Created{i + 1}, "Created", "desk", i > 0}, <-got)
	}
}

// An event without options takes no memory of its own at its publisher.
func TestPublish_PlainEventsTakeNoMemory(t *testing.T) {
	p := pubsub.NewPublisher()
	defer p.Close()
	v := &Created{1}
	ctx := t.Context()
	perEvent := testing.AllocsPerRun(1000, func() {
		if err := p.Publish(ctx, "orders.eu.created", v); err != nil {
			panic(err)
		}
	})
	require.Less(t, perEvent, 1.0)
}
