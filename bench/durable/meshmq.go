package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// pull is the receiver: it acknowledges each message by asking for the next one, and lives until its input ends.
func pull(endpoint string) {
	s := socket.NewPull(socket.WithAck())
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

// newPush returns a PUSH on a spool, and the receiver's endpoint.
func newPush(r run, o spool.Options) (push *socket.Push, endpoint string) {
	o.SegmentSize = 64 << 20
	push = socket.NewPush(socket.WithSpool(filepath.Join(r.dir, "spool"), o), socket.WithAck(), socket.WithLinger(0))
	endpoint, err := push.Bind("tcp://127.0.0.1:0")
	check(err)
	return push, endpoint
}

func settled(push *socket.Push) func() uint64 {
	return func() uint64 { return push.Stats().Spool.Settled }
}

// spooled returns how many messages a second are sent, on disk, delivered and acknowledged.
func spooled(r run, send func(ctx context.Context, push *socket.Push, body []byte)) float64 {
	push, endpoint := newPush(r, spool.Options{})
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
func linked(ack bool) func(run) float64 {
	return func(r run) float64 {
		opts := []socket.Option{socket.WithLinger(0)}
		if ack {
			opts = append(opts, socket.WithAck())
		}
		push := socket.NewPush(opts...)
		defer push.Close() // what is left is no error here
		endpoint, err := push.Bind("tcp://127.0.0.1:0")
		check(err)
		defer child("pull", endpoint)()
		check(push.WaitPeers(background, 1))
		ctx, stop := context.WithCancel(background)
		var sending sync.WaitGroup
		sending.Go(func() {
			body := make([]byte, r.size)
			for push.Send(ctx, body) == nil { // until stop
			}
		})
		rate := count(r.d, func() uint64 {
			if ack {
				return push.Stats().Acks.AckedOut
			}
			return push.Stats().MessagesOut
		})
		stop()
		sending.Wait()
		return rate
	}
}

// replay returns how many messages a second a receiver gets of what is on disk already.
func replay(r run) float64 {
	push, endpoint := newPush(r, spool.Options{})
	for range r.backlog {
		_, err := push.Enqueue(background, make([]byte, r.size))
		check(err)
	}
	check(push.Flush(background))
	defer child("pull", endpoint)()
	check(push.WaitPeers(background, 1))
	begun := time.Now()
	for settled(push)() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := push.Shutdown(background); err != nil && !errors.Is(err, socket.ErrSpooled) {
		log.Fatal(err)
	}
	return float64(r.backlog) / time.Since(begun).Seconds()
}
