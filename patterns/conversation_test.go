package patterns_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/middleware"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/patterns/schema"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

type order struct{ Item string }

// patient is longer than anything here takes.
const patient = time.Minute

var silent = patterns.WithOnError(func(context.Context, error) {})

func join(t *testing.T, server interface{ Bind(string) (string, error) }, client interface{ Connect(string) error }) {
	t.Helper()
	joinAt(t, "tcp://127.0.0.1:0", server, client)
}

func joinAt(t *testing.T, endpoint string, server interface{ Bind(string) (string, error) }, client interface{ Connect(string) error }) {
	t.Helper()
	addr, err := server.Bind(endpoint)
	require.NoError(t, err)
	require.NoError(t, client.Connect(addr))
}

// running runs what has a Run, and ends it with the test.
func running(t *testing.T, run func(ctx context.Context) error, end func() error) {
	t.Helper()
	var done sync.WaitGroup
	done.Go(func() { assert.NoError(t, run(context.Background())) })
	t.Cleanup(func() {
		assert.NoError(t, end())
		done.Wait()
	})
}

// diary notes what is seen of messages, by where.
type diary struct {
	t  *testing.T
	mu sync.Mutex
	at map[string][]note
}

type note struct{ id, conversation, causationID codec.ID }

func (d *diary) write(where string, e *codec.Envelope) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at[where] = append(d.at[where], note{e.ID, e.Conversation(), e.CausationID})
}

func (d *diary) received(where string) patterns.Option {
	return patterns.WithMiddleware(func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, m *patterns.Delivery) error {
			assert.Same(d.t, m.Envelope, patterns.FromContext(ctx))
			d.write(where, m.Envelope)
			return next(ctx, m)
		}
	})
}

func (d *diary) answered(where string) patterns.Option {
	return patterns.WithSendMiddleware(func(next patterns.Sender) patterns.Sender {
		return func(ctx context.Context, o *patterns.Outgoing) error {
			err := next(ctx, o)
			if err == nil {
				d.write(where, o.Reply)
			}
			return err
		}
	})
}

// One request goes through three services: a desk that answers and hands out work, a packer that needs two attempts and tells the news, a board
// that reads them. The answer is late once, so that the request is repeated too. All messages are one conversation, and each
// says what caused it.
func TestConversation(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	seen := &diary{t: t, at: make(map[string][]note)}
	desk, customer := reqrep.NewService(patterns.WithSource("desk"), silent, seen.received("desk")), reqrep.NewClient(seen.answered("customer"))
	jobs := pushpull.NewProducer[order](patterns.WithSource("desk"), patterns.WithSocketOptions(socket.WithAck(), socket.WithRetry(1, time.Millisecond)))
	packer := pushpull.NewWorker[order](silent, seen.received("packer"), patterns.WithSocketOptions(socket.WithAck(), socket.WithManualAck()))
	news, board := pubsub.NewPublisher(patterns.WithSource("packer")), pubsub.NewSubscriber(silent, seen.received("board"))
	join(t, desk, customer)
	join(t, packer, jobs)
	join(t, news, board)
	t.Cleanup(func() { assert.NoError(t, errors.Join(customer.Close(), jobs.Close(), news.Close())) })

	calls, attempts, told := 0, 0, make(chan struct{})
	require.NoError(t, reqrep.Handle(desk, "orders.create", func(ctx context.Context, o order) (order, error) {
		if calls++; calls == 1 {
			return o, reqrep.Errorf(reqrep.CodeUnavailable, "not yet").Retry(time.Millisecond)
		}
		return o, jobs.Send(ctx, o)
	}))
	_, err := pubsub.Subscribe(board, "orders.packed", func(context.Context, string, order) error {
		close(told)
		return nil
	})
	require.NoError(t, err)
	running(t, desk.Run, desk.Close)
	running(t, func(ctx context.Context) error {
		return packer.Run(ctx, func(ctx context.Context, o order) error {
			if attempts++; attempts == 1 {
				panic("dropped it")
			}
			return news.Publish(ctx, "orders.packed", o)
		})
	}, packer.Close)
	running(t, board.Run, board.Close)
	require.NoError(t, news.WaitSubscribers(ctx, "orders.packed", 1))
	require.NoError(t, customer.WaitPeers(ctx, 1))

	_, err = reqrep.Call[order, order](ctx, customer, "orders.create", order{"tea"}, reqrep.WithRetries(1))
	require.NoError(t, err)
	select {
	case <-told:
	case <-ctx.Done():
		t.Fatal("the news did not come")
	}
	seen.mu.Lock()
	defer seen.mu.Unlock()
	require.Len(t, seen.at["desk"], 2)
	require.Len(t, seen.at["packer"], 2)
	require.Len(t, seen.at["board"], 1)
	require.Len(t, seen.at["customer"], 1)
	request, job, event, reply := seen.at["desk"][0].id, seen.at["packer"][0].id, seen.at["board"][0].id, seen.at["customer"][0].id
	assert.Equal(t, map[string][]note{
		"desk":     {{request, request, codec.ID{}}, {request, request, codec.ID{}}}, // repeated
		"customer": {{reply, request, request}},
		"packer":   {{job, request, request}, {job, request, request}}, // redelivered
		"board":    {{event, request, job}},
	}, seen.at)
	ids := map[codec.ID]bool{{}: true, request: true, job: true, event: true, reply: true}
	assert.Len(t, ids, 5, "all have one of their own")
}

// A panic of middleware, or of a handler under Timeout, is a failed attempt in all three patterns, and ends nothing.
func TestPanicsAreFailedAttempts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	for name, m := range map[string]patterns.Middleware{
		"in middleware": func(next patterns.Handler) patterns.Handler {
			return func(ctx context.Context, d *patterns.Delivery) error {
				if d.Value.(*order).Item == "bomb" {
					panic("in middleware")
				}
				return next(ctx, d)
			}
		},
		"under timeout": middleware.Timeout(time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error, 3)
			options := []patterns.Option{patterns.WithMiddleware(m), patterns.WithOnError(func(_ context.Context, err error) { failed <- err })}
			handled := make(chan string, 3)
			handle := func(o order) error {
				if o.Item == "bomb" {
					panic(name)
				}
				handled <- o.Item
				return nil
			}
			service, client := reqrep.NewService(options...), reqrep.NewClient()
			producer, worker := pushpull.NewProducer[order](), pushpull.NewWorker[order](options...)
			publisher, subscriber := pubsub.NewPublisher(), pubsub.NewSubscriber(options...)
			join(t, service, client)
			join(t, worker, producer)
			join(t, publisher, subscriber)
			t.Cleanup(func() { assert.NoError(t, errors.Join(client.Close(), producer.Close(), publisher.Close())) })
			require.NoError(t, reqrep.Handle(service, "make", func(_ context.Context, o order) (order, error) { return o, handle(o) }))
			_, err := pubsub.Subscribe(subscriber, "made", func(_ context.Context, _ string, o order) error { return handle(o) })
			require.NoError(t, err)
			running(t, service.Run, service.Close)
			running(t, subscriber.Run, subscriber.Close)
			running(t, func(ctx context.Context) error {
				return worker.Run(ctx, func(_ context.Context, o order) error { return handle(o) })
			}, worker.Close)
			require.NoError(t, publisher.WaitSubscribers(ctx, "made", 1))
			require.NoError(t, client.WaitPeers(ctx, 1))
			for _, item := range []string{"bomb", "tea"} {
				_, err := reqrep.Call[order, order](ctx, client, "make", order{item})
				assert.Equal(t, item == "bomb", err != nil)
				require.NoError(t, producer.Send(ctx, order{item}))
				require.NoError(t, publisher.Publish(ctx, "made", order{item}))
			}
			for range 3 {
				select {
				case err := <-failed:
					assert.ErrorIs(t, err, patterns.ErrPanic)
					assert.ErrorContains(t, err, name)
				case <-ctx.Done():
					t.Fatal("a panic was not reported")
				}
				select {
				case item := <-handled:
					assert.Equal(t, "tea", item)
				case <-ctx.Done():
					t.Fatal("it does not go on")
				}
			}
		})
	}
}

type orderV2 struct{ Item, Size string }

// What is of a version that nobody knows is not lost: it is a dead letter with the reason, and a caller is told.
func TestUnknownVersionsAreDeadLetters(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	newer, err := schema.New(schema.Version[orderV2]("Order", 2))
	require.NoError(t, err)
	older, err := schema.New(schema.Version[order]("Order", 1))
	require.NoError(t, err)
	dead := make(chan socket.DeadLetter, 1)
	producer := pushpull.NewProducer[orderV2](patterns.WithSchemas(newer),
		patterns.WithSocketOptions(socket.WithAck(), socket.WithDeadLetter(func(d socket.DeadLetter) { dead <- d })))
	worker := pushpull.NewWorker[order](patterns.WithSchemas(older), silent, patterns.WithSocketOptions(socket.WithAck(), socket.WithManualAck()))
	service, client := reqrep.NewService(patterns.WithSchemas(older), silent), reqrep.NewClient(patterns.WithSchemas(newer))
	join(t, worker, producer)
	join(t, service, client)
	t.Cleanup(func() { assert.NoError(t, errors.Join(producer.Close(), client.Close())) })
	require.NoError(t, reqrep.Handle(service, "make", func(_ context.Context, o order) (order, error) { return o, nil }))
	running(t, service.Run, service.Close)
	running(t, func(ctx context.Context) error {
		return worker.Run(ctx, func(context.Context, order) error {
			t.Error("it cannot be read")
			return nil
		})
	}, worker.Close)

	require.NoError(t, producer.Send(ctx, orderV2{"tea", "large"}))
	select {
	case letter := <-dead:
		assert.Equal(t, 1, letter.Attempts)
		assert.Contains(t, letter.Reason, "unknown schema version 2 of Order: want one of 1")
		var e codec.Envelope
		require.NoError(t, e.Decode(letter.Frames[0]))
		var o orderV2
		require.NoError(t, newer.Decode(codec.Msgpack, &e, &o), "whoever knows the version can read it still")
		assert.Equal(t, orderV2{"tea", "large"}, o)
	case <-ctx.Done():
		t.Fatal("no dead letter")
	}
	_, err = reqrep.Call[orderV2, orderV2](ctx, client, "make", orderV2{"tea", "large"})
	assert.ErrorIs(t, err, patterns.ErrVersion)
}

// Of events it is the subscriber that says so; where they are kept, the event is a dead letter of the publisher's, too.
func TestUnknownVersionsOfEventsAreTold(t *testing.T) {
	t.Parallel()
	newer, err := schema.New(schema.Version[orderV2]("Order", 2))
	require.NoError(t, err)
	older, err := schema.New(schema.Version[order]("Order", 1))
	require.NoError(t, err)
	for _, durable := range []bool{false, true} {
		t.Run(map[bool]string{false: "plain", true: "durable"}[durable], func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			dead, told := make(chan socket.DeadLetter, 1), make(chan error, 1)
			publishing := []patterns.Option{patterns.WithSchemas(newer)}
			subscribing := []patterns.Option{patterns.WithSchemas(older), patterns.WithOnError(func(_ context.Context, err error) { told <- err })}
			if durable {
				publishing = append(publishing, pubsub.WithLog(t.TempDir(), spool.Options{Policy: spool.OS}),
					patterns.WithSocketOptions(socket.WithDeadLetter(func(d socket.DeadLetter) { dead <- d })))
				subscribing = append(subscribing, pubsub.WithDurable("board", spool.Beginning()))
			}
			news, board := pubsub.NewPublisher(publishing...), pubsub.NewSubscriber(subscribing...)
			t.Cleanup(func() { assert.NoError(t, news.Close()) })
			_, err := pubsub.Subscribe(board, "orders", func(context.Context, string, order) error {
				t.Error("it cannot be read")
				return nil
			})
			require.NoError(t, err)
			join(t, news, board)
			running(t, board.Run, board.Close)
			require.NoError(t, news.WaitSubscribers(ctx, "orders", 1))
			require.NoError(t, news.Publish(ctx, "orders", orderV2{"tea", "large"}))
			select {
			case err := <-told:
				require.ErrorIs(t, err, patterns.ErrVersion)
			case <-ctx.Done():
				t.Fatal("nobody is told")
			}
			assert.EqualValues(t, 1, board.Counts().Malformed)
			if !durable {
				return
			}
			select {
			case letter := <-dead:
				assert.Contains(t, letter.Reason, "unknown schema version 2 of Order: want one of 1")
			case <-ctx.Done():
				t.Fatal("no dead letter")
			}
		})
	}
}
