package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// newPublisher returns a publisher that the auditor follows. An audit misses nothing, so it waits for a slow auditor.
func (p *peer) newPublisher(ctx context.Context) (*pubsub.Publisher, error) {
	pub := pubsub.NewPublisher(patterns.WithSource(p.Name), patterns.WithSocketOptions(socket.WithNoDrop()))
	ep, err := pub.Bind(loopback)
	if err != nil {
		return nil, err
	}
	if _, err := p.node.Announce(p.events, ep, nil); err != nil {
		return nil, err
	}
	return pub, pub.WaitSubscribers(ctx, "order.>", 1)
}

// desk sends the orders of the file to the workers, fire and forget, and tells the auditor.
func (p *peer) desk(ctx context.Context) error {
	orders, err := readOrders()
	if err != nil {
		return err
	}
	pub, err := p.newPublisher(ctx)
	if err != nil {
		return err
	}
	producer := pushpull.NewProducer[Order](patterns.WithSource(p.Name), patterns.WithSocketOptions(socket.WithImmediate(), socket.WithLinger(leaveLimit)))
	if _, err := p.node.Follow(p.orders, producer); err != nil {
		return err
	}
	if err := producer.WaitPeers(ctx, 2); err != nil {
		return err
	}
	if err := p.ready(); err != nil {
		return err
	}
	start := time.Now()
	err = p.sendAll(ctx, orders, producer, pub, start)
	p.rep.Seconds = time.Since(start).Seconds()
	return errors.Join(err, producer.Shutdown(ctx), pub.Shutdown(ctx))
}

func (p *peer) sendAll(ctx context.Context, orders []Order, producer *pushpull.Producer[Order], pub *pubsub.Publisher, start time.Time) error {
	total := batches * len(orders)
	pacer := time.NewTicker(10 * time.Millisecond)
	defer pacer.Stop()
	for n := range total {
		switch n {
		case total / 2: // worker-a is told to leave now
			if err := p.half(); err != nil {
				return err
			}
		case total * 3 / 4: // its replacement is to have a share
			if err := p.await(ctx, "resume"); err != nil {
				return err
			}
			if err := producer.WaitPeers(ctx, 2); err != nil {
				return err
			}
			start = time.Now().Add(-time.Duration(n) * time.Second / pace)
		}
		for time.Since(start) < time.Duration(n)*time.Second/pace {
			<-pacer.C
		}
		o := orders[n%len(orders)]
		o.ID = fmt.Sprintf("%s/%d", o.ID, n/len(orders))
		if err := producer.Send(ctx, o); err != nil {
			return err
		}
		p.rep.Sent++
		p.rep.Sum += checksum(o.ID)
		if err := pub.Publish(ctx, "order.placed."+o.Region, Event{Order: o.ID, By: p.Name}); err != nil {
			return err
		}
		p.rep.Published++
	}
	return nil
}

// worker handles orders: it asks for the price and tells the auditor.
func (p *peer) worker(ctx context.Context) error {
	client := reqrep.NewClient(patterns.WithSource(p.Name))
	defer client.Close()
	if _, err := p.node.Follow(p.quotes, client); err != nil {
		return err
	}
	if err := client.WaitPeers(ctx, 1); err != nil {
		return err
	}
	pub, err := p.newPublisher(ctx)
	if err != nil {
		return err
	}
	w := pushpull.NewWorker[Order](patterns.WithOnError(p.countFailure))
	ep, err := w.Bind(loopback)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	defer w.Close()
	waits, latency := newHistogram(), newHistogram()
	running.Go(func() {
		_ = w.Run(ctx, func(ctx context.Context, o Order) error { // an error here is one of construction, which Bind showed
			// The clock of one machine may step back between two processes' looks at it: no wait is below zero.
			wait := max(0, time.Since(patterns.FromContext(ctx).Time))
			return errors.Join(waits.RecordValue(int64(wait)), p.handle(ctx, o, client, pub, latency))
		})
	})
	withdraw, err := p.node.Announce(p.orders, ep, nil)
	if err != nil {
		return err
	}
	if err := p.ready(); err != nil {
		return err
	}
	if err := p.await(ctx, "leave"); err != nil {
		return err
	}
	leave(ctx, withdraw, w)
	err = w.Shutdown(ctx)
	running.Wait()
	var err1, err2 error
	p.rep.Waits, err1 = waits.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	p.rep.Latency, err2 = latency.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	return errors.Join(err, err1, err2, pub.Shutdown(ctx))
}

func (p *peer) handle(ctx context.Context, o Order, client *reqrep.Client, pub *pubsub.Publisher, latency *hdrhistogram.Histogram) error {
	p.rep.Received++
	p.rep.Sum += checksum(o.ID)
	p.rep.Asked++
	start := time.Now()
	price, err := reqrep.Call[Quote, Price](ctx, client, "price.quote", Quote{o.Item, o.Quantity})
	if err != nil {
		return err
	}
	if err := latency.RecordValue(int64(time.Since(start))); err != nil {
		return err
	}
	if want := cents(Quote{o.Item, o.Quantity}); price.Cents != want {
		return fmt.Errorf("order %s: price %d, want %d", o.ID, price.Cents, want)
	}
	if err := pub.Publish(ctx, "order.done."+p.Name, Event{Order: o.ID, By: p.Name, Cents: price.Cents}); err != nil {
		return err
	}
	p.rep.Published++
	return nil
}

// countFailure counts what no handler could do. The worker's handlers run one at a time, and so do reports.
func (p *peer) countFailure(_ context.Context, err error) {
	p.rep.Failed++
	p.rep.Error = err.Error()
}

// price answers quotes.
func (p *peer) price(ctx context.Context) error {
	svc := reqrep.NewService(patterns.WithSource(p.Name))
	var answered atomic.Uint64
	err := reqrep.Handle(svc, "price.quote", func(_ context.Context, q Quote) (Price, error) {
		answered.Add(1)
		return Price{cents(q)}, nil
	})
	if err != nil {
		return err
	}
	ep, err := svc.Bind(loopback)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { _ = svc.Run(ctx) }) // an error here is one of construction, which Bind showed
	withdraw, err := p.node.Announce(p.quotes, ep, nil)
	if err != nil {
		return errors.Join(err, svc.Close())
	}
	err = errors.Join(p.ready(), p.await(ctx, "leave"))
	leave(ctx, withdraw, svc)
	err = errors.Join(err, svc.Shutdown(ctx))
	running.Wait()
	p.rep.Answered = answered.Load()
	return err
}

// auditor counts the events of all.
func (p *peer) auditor(ctx context.Context) error {
	sub := pubsub.NewSubscriber(patterns.WithOnError(p.countFailure))
	if _, err := pubsub.Subscribe(sub, "order.>", func(context.Context, string, Event) error {
		p.rep.Heard++
		return nil
	}); err != nil {
		return err
	}
	if _, err := p.node.Follow(p.events, sub); err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { _ = sub.Run(ctx) }) // an error here is one of construction, which Subscribe showed
	err := errors.Join(p.ready(), p.await(ctx, "leave"))
	leave(ctx, func() {}, sub)
	err = errors.Join(err, sub.Shutdown(ctx))
	running.Wait()
	return err
}
