package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// publish has a PUB send and counts what arrives at its subscribers: at all of them, and so as fast as the slowest can; or, of those that drop
// what they cannot send, at one of those that read.
func (c *Config) publish(ctx context.Context, r *Result) error {
	opts, kind := []socket.Option{socket.WithLinger(0)}, kindSub
	if r.Pattern == Fanout || r.Pattern == Topics {
		opts = append(opts, socket.WithNoDrop())
	}
	if r.Pattern == Topics {
		opts, kind = append(opts, socket.WithMaxSubscriptions(0), socket.WithMaxSubscriptionBytes(0)), kindTopics
	}
	readers := 1
	switch r.Pattern {
	case Dropping:
		readers = r.Peers
	case Stalled:
		readers, kind = r.Peers-1, kindStalled
	}
	pub := socket.NewPub(c.near(opts...)...)
	defer pub.Close()
	topics := [][]byte{nil}
	if r.Pattern == Topics {
		topics = shuffled(topicsOf(r.Subscriptions))
	}
	ready := func(ctx context.Context) error {
		for _, topic := range topics {
			if err := pub.WaitSubscribers(ctx, string(topic), max(1, r.Peers)); err != nil {
				return err
			}
		}
		return nil
	}
	err := c.spread(ctx, r, pub, kind, ready, publisher(pub, r, topics))
	r.Rate /= float64(readers)
	return err
}

// publisher sends messages, to one topic after another where there are topics.
func publisher(pub *socket.Pub, r *Result, topics [][]byte) func() error {
	frames, next := r.body(), 0
	if r.Pattern == Topics {
		frames = append([][]byte{nil}, frames...)
	}
	return func() error {
		if r.Pattern == Topics {
			frames[0] = topics[next]
			if next++; next == len(topics) {
				next = 0
			}
		}
		return pub.Send(context.Background(), frames...)
	}
}

// topicLength is that of topics as services choose them: a common beginning, then a key.
const topicLength = 32

func topicsOf(n int) [][]byte {
	all, rnd := make([][]byte, n), rand.New(rand.NewPCG(uint64(n), 0)) // both sides make the same
	for i := range all {
		all[i] = fmt.Appendf(make([]byte, 0, topicLength), "orders.%08x.%015x.", rnd.Uint32(), rnd.Uint64()>>4)
	}
	return all
}

// shuffled returns topics in another order: subscribers do not ask in that of messages. They lie in memory in it, since a publisher has just made the one
// that it sends, and does not fetch it from afar.
func shuffled(topics [][]byte) [][]byte {
	rand.Shuffle(len(topics), func(i, k int) { topics[i], topics[k] = topics[k], topics[i] })
	all := bytes.Join(topics, nil)
	for i := range topics {
		topics[i] = all[i*topicLength:][:topicLength]
	}
	return topics
}

// share has a PUSH send to workers and counts what arrives at all of them.
func (c *Config) share(ctx context.Context, r *Result) error {
	push := socket.NewPush(c.near(socket.WithLinger(0))...)
	defer push.Close()
	body := r.body()
	return c.spread(ctx, r, push, kindPull, func(context.Context) error { return nil }, func() error { return push.Send(context.Background(), body...) })
}

// spread sends for a time when the far side is ready, and finds how many messages a second arrive at it.
func (c *Config) spread(ctx context.Context, r *Result, near bound, kind string, ready func(context.Context) error, send func() error) (err error) {
	other, end, err := c.meet(ctx, near, Peer{Kind: kind, Load: r.Load})
	if err != nil {
		return err
	}
	sending := make(chan error, 1)
	defer func() {
		end(&err)
		if sendErr := <-sending; !errors.Is(sendErr, socket.ErrClosed) {
			err = errors.Join(err, sendErr)
		}
	}()
	waiting, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	if err := ready(waiting); err != nil {
		sending <- nil // nobody does
		return err
	}
	go func() { // ends with the near socket
		for {
			if err := send(); err != nil {
				sending <- err
				return
			}
		}
	}()
	if err := other.sleep(ctx, c.warmUp(r.Load)); err != nil {
		return err
	}
	return other.shares(r, func() error { return c.tallied(ctx, r, other) })
}

// tallied finds the rate of what the far side counts.
func (c *Config) tallied(ctx context.Context, r *Result, other *far) error {
	start := time.Now()
	before, err := other.tally()
	if err != nil {
		return err
	}
	for after := before; after == before && time.Since(start) < r.patience(); { // on a busy machine nothing may have come in the time
		if err := other.sleep(ctx, c.Duration); err != nil {
			return err
		}
		if after, err = other.tally(); err != nil {
			return err
		}
		r.Rate = float64(after-before) / time.Since(start).Seconds()
	}
	return nil
}
