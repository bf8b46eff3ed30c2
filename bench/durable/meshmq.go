package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// sender is a PUSH or DEALER.
type sender interface {
	Bind(endpoint string) (string, error)
	Send(ctx context.Context, frames ...[]byte) error
	WaitPeers(ctx context.Context, n int) error
	Stats() socket.Stats
	Close() error
}

func newPush(opts ...socket.Option) sender   { return socket.NewPush(opts...) }
func newDealer(opts ...socket.Option) sender { return socket.NewDealer(opts...) }

// receiver is one of the other side.
type receiver interface {
	Connect(endpoint string) error
	Recv(ctx context.Context) (socket.Msg, error)
}

// receivers are what runs in processes of their own.
var receivers = map[string]func() receiver{
	"pull":   func() receiver { return socket.NewPull(socket.WithAck()) },
	"router": func() receiver { return socket.NewRouter(socket.WithAck()) },
	"sub": func() receiver {
		s := socket.NewSub(socket.WithDurable("bench", spool.Beginning()))
		check(s.Subscribe(""))
		return s
	},
}

// receive acknowledges each message by asking for the next one, and lives until its input ends.
func receive(s receiver, endpoint string) {
	check(s.Connect(endpoint))
	go func() {
		for {
			if _, err := s.Recv(background); err != nil {
				return
			}
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// inSpool is the option of a socket with a spool on the disk that is measured.
func inSpool(r run) socket.Option {
	return socket.WithSpool(filepath.Join(r.dir, "spool"), spool.Options{SegmentSize: 64 << 20})
}

// newSpooled returns a PUSH on a spool, and the receiver's endpoint.
func newSpooled(r run) (push *socket.Push, endpoint string) {
	push = socket.NewPush(inSpool(r), socket.WithAck(), socket.WithLinger(0))
	endpoint, err := push.Bind("tcp://127.0.0.1:0")
	check(err)
	return push, endpoint
}

func settled(push *socket.Push) func() uint64 {
	return func() uint64 { return push.Stats().Spool.Settled }
}

// spooled returns how many messages a second are sent, on disk, delivered and acknowledged.
func spooled(r run, send func(ctx context.Context, push *socket.Push, body []byte)) float64 {
	push, endpoint := newSpooled(r)
	defer push.Close() // what stays in the spool is no error here
	defer child("pull", endpoint)()
	check(push.WaitPeers(background, 1))
	ctx, stop := context.WithCancel(background)
	var sending sync.WaitGroup
	sending.Go(func() { send(ctx, push, make([]byte, r.size)) })
	rate := count(r.d, settled(push))
	stop()
	sending.Wait()
	return rate
}

// senders has n goroutines wait for the disk with each message.
func senders(n int) func(context.Context, *socket.Push, []byte) {
	return func(ctx context.Context, push *socket.Push, body []byte) {
		var all sync.WaitGroup
		for range n {
			all.Go(func() {
				for ctx.Err() == nil {
					check(push.Send(background, body))
				}
			})
		}
		all.Wait()
	}
}

// window has one goroutine wait for the message n before.
func window(n uint64) func(context.Context, *socket.Push, []byte) {
	return func(ctx context.Context, push *socket.Push, body []byte) {
		for ctx.Err() == nil {
			number, err := push.Enqueue(background, body)
			check(err)
			if number > n {
				check(push.WaitSpooled(background, number-n))
			}
		}
	}
}

// linked returns how many messages a second go over a link without a spool: acknowledged, or written to a peer that was not asked to.
func linked(open func(...socket.Option) sender, to string, ack bool) func(run) float64 {
	return func(r run) float64 {
		opts := []socket.Option{socket.WithLinger(0)}
		if ack {
			opts = append(opts, socket.WithAck())
		}
		s := open(opts...)
		defer s.Close() // what is left is no error here
		endpoint, err := s.Bind("tcp://127.0.0.1:0")
		check(err)
		defer child(to, endpoint)()
		check(s.WaitPeers(background, 1))
		ctx, stop := context.WithCancel(background)
		var sending sync.WaitGroup
		sending.Go(func() {
			body := make([]byte, r.size)
			for s.Send(ctx, body) == nil { // until stop
			}
		})
		rate := count(r.d, func() uint64 {
			if ack {
				return s.Stats().Acks.AckedOut
			}
			return s.Stats().MessagesOut
		})
		stop()
		sending.Wait()
		return rate
	}
}

// replay returns how many messages a second a receiver gets of what is on disk already.
func replay(r run) float64 {
	push, endpoint := newSpooled(r)
	defer push.Close()
	return replayed(r, push, "pull", endpoint, settled(push))
}

// replayLog is replay of the log of a publisher, to a durable subscription.
func replayLog(r run) float64 {
	pub := socket.NewPub(inSpool(r))
	defer pub.Close()
	endpoint, err := pub.Bind("tcp://127.0.0.1:0")
	check(err)
	return replayed(r, pub, "sub", endpoint, func() (n uint64) {
		for _, d := range pub.Durables() {
			n += d.Acked
		}
		return n
	})
}

// logger is what a spool can be filled with.
type logger interface {
	Enqueue(ctx context.Context, frames ...[]byte) (uint64, error)
	Flush(ctx context.Context) error
}

func replayed(r run, s logger, to, endpoint string, acked func() uint64) float64 {
	for range r.backlog {
		_, err := s.Enqueue(background, make([]byte, r.size))
		check(err)
	}
	check(s.Flush(background))
	defer child(to, endpoint)()
	wait := func(n uint64) {
		for acked() < n {
			time.Sleep(time.Millisecond)
		}
	}
	wait(1)
	begun, before := time.Now(), acked()
	wait(uint64(r.backlog))
	return float64(uint64(r.backlog)-before) / time.Since(begun).Seconds()
}
