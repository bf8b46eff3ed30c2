package socket_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/meshmq/meshmq/socket"
)

// checkAllocs fails a benchmark that allocates per message. It counts by itself over enough messages for what is amortised, such as
// the chunk that a thousand messages arrive in, however short the benchmark is.
func checkAllocs(b *testing.B, most float64, pass func()) {
	b.Helper()
	const passes = 20000
	for range 2000 {
		pass()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range passes {
		pass()
	}
	runtime.ReadMemStats(&after)
	if got := float64(after.Mallocs-before.Mallocs) / passes; got > most {
		b.Fatalf("%.3f allocations for each message, want at most %.2f", got, most)
	}
}

func must(b *testing.B, err error) {
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPushPull sends and receives one message after another; both ends are in this process.
func BenchmarkPushPull(b *testing.B) {
	for _, transport := range []string{"tcp://127.0.0.1:0", "inproc://bench"} {
		for _, size := range []int{16, 100, 1024, 16 << 10} {
			b.Run(fmt.Sprintf("%.3s/%d", transport, size), func(b *testing.B) {
				ctx := context.Background()
				push, pull := socket.NewPush(), socket.NewPull()
				defer push.Close()
				defer pull.Close()
				bound, err := pull.Bind(transport)
				must(b, err)
				must(b, push.Connect(bound))
				body := make([]byte, size)
				pass := func() {
					must(b, push.Send(ctx, body))
					_, err := pull.Recv(ctx)
					must(b, err)
				}
				checkAllocs(b, 0.2, pass) // a chunk for each ten reads or so, and slices of frames
				b.SetBytes(int64(size))
				for b.Loop() {
					pass()
				}
			})
		}
	}
}

// BenchmarkChannel is what inproc is measured against: the same with a channel that has places for 1,000 messages.
func BenchmarkChannel(b *testing.B) {
	for _, size := range []int{16, 1024} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			channel, received := make(chan []byte, 1000), make(chan struct{})
			go func() {
				defer close(received)
				for range channel {
				}
			}()
			body := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				channel <- bytes.Clone(body) // Send copies, too
			}
			close(channel)
			<-received
		})
	}
}

// BenchmarkStream sends as fast as it can while another goroutine receives.
func BenchmarkStream(b *testing.B) {
	for _, transport := range []string{"tcp://127.0.0.1:0", "inproc://stream"} {
		for _, size := range []int{16, 100, 1024} {
			b.Run(fmt.Sprintf("%.3s/%d", transport, size), func(b *testing.B) {
				ctx := context.Background()
				push, pull := socket.NewPush(), socket.NewPull()
				bound, err := pull.Bind(transport)
				must(b, err)
				must(b, push.Connect(bound))
				received := make(chan struct{})
				go func() {
					defer close(received)
					for range pull.Messages(ctx) {
					}
				}()
				body := make([]byte, size)
				send := func() { must(b, push.Send(ctx, body)) }
				checkAllocs(b, 0.1, send)
				b.SetBytes(int64(size))
				for b.Loop() {
					send()
				}
				must(b, push.Shutdown(ctx))
				must(b, pull.Close())
				<-received
			})
		}
	}
}

// BenchmarkReqRep makes one request after another.
func BenchmarkReqRep(b *testing.B) {
	ctx := context.Background()
	req, rep := socket.NewReq(), socket.NewRep()
	bound, err := rep.Bind("tcp://127.0.0.1:0")
	must(b, err)
	must(b, req.Connect(bound))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for m := range rep.Messages(ctx) {
			if rep.Send(ctx, m.Frames...) != nil {
				return
			}
		}
	}()
	body := make([]byte, 16)
	pass := func() {
		_, err := req.Request(ctx, body)
		must(b, err)
	}
	checkAllocs(b, 0.1, pass)
	for b.Loop() {
		pass()
	}
	must(b, req.Close())
	must(b, rep.Close())
	<-answered
}

// BenchmarkPubSub publishes to subscribers that keep up.
func BenchmarkPubSub(b *testing.B) {
	for _, subscribers := range []int{1, 8} {
		b.Run(fmt.Sprint(subscribers), func(b *testing.B) {
			ctx := context.Background()
			pub := socket.NewPub(socket.WithNoDrop())
			bound, err := pub.Bind("inproc://bench-pubsub")
			must(b, err)
			ended := make(chan struct{}, subscribers)
			var subs []*socket.Sub
			for range subscribers {
				sub := socket.NewSub()
				subs = append(subs, sub)
				must(b, sub.Subscribe("topic"))
				must(b, sub.Connect(bound))
				go func() {
					for range sub.Messages(ctx) {
					}
					ended <- struct{}{}
				}()
			}
			must(b, pub.WaitSubscribers(ctx, "topic", subscribers))
			topic, body := []byte("topic"), make([]byte, 100)
			send := func() { must(b, pub.Send(ctx, topic, body)) }
			checkAllocs(b, 0.1*float64(subscribers), send)
			for b.Loop() {
				send()
			}
			must(b, pub.Close())
			for _, sub := range subs {
				must(b, sub.Close())
				<-ended
			}
		})
	}
}

// BenchmarkClientServer makes one request after another, which the server answers by number.
func BenchmarkClientServer(b *testing.B) {
	ctx := context.Background()
	client, server := socket.NewClient(), socket.NewServer()
	bound, err := server.Bind("tcp://127.0.0.1:0")
	must(b, err)
	must(b, client.Connect(bound))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		for m := range server.Messages(ctx) {
			if server.Send(ctx, m.RoutingID(), m.Bytes()) != nil {
				return
			}
		}
	}()
	body := make([]byte, 16)
	pass := func() {
		must(b, client.Send(ctx, body))
		_, err := client.Recv(ctx)
		must(b, err)
	}
	checkAllocs(b, 0.1, pass)
	for b.Loop() {
		pass()
	}
	must(b, client.Close())
	must(b, server.Close())
	<-answered
}

// BenchmarkScatterGather sends and receives one message after another; both ends are in this process.
func BenchmarkScatterGather(b *testing.B) {
	ctx := context.Background()
	scatter, gather := socket.NewScatter(), socket.NewGather()
	defer scatter.Close()
	defer gather.Close()
	bound, err := gather.Bind("tcp://127.0.0.1:0")
	must(b, err)
	must(b, scatter.Connect(bound))
	body := make([]byte, 100)
	pass := func() {
		must(b, scatter.Send(ctx, body))
		_, err := gather.Recv(ctx)
		must(b, err)
	}
	checkAllocs(b, 0.1, pass)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		pass()
	}
}

// BenchmarkRadioDish sends to a group and receives, one message after another; both ends are in this process.
func BenchmarkRadioDish(b *testing.B) {
	for _, group := range []string{"group", strings.Repeat("g", 255)} {
		b.Run(fmt.Sprint(len(group)), func(b *testing.B) {
			ctx := context.Background()
			radio, dish := socket.NewRadio(), socket.NewDish()
			defer radio.Close()
			defer dish.Close()
			bound, err := radio.Bind("tcp://127.0.0.1:0")
			must(b, err)
			must(b, dish.Join(group))
			must(b, dish.Connect(bound))
			must(b, radio.WaitSubscribers(ctx, group, 1))
			body := make([]byte, 100)
			pass := func() {
				must(b, radio.Send(ctx, group, body))
				_, err := dish.Recv(ctx)
				must(b, err)
			}
			checkAllocs(b, 0.2, pass) // a chunk for each ten reads or so, and slices of frames
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				pass()
			}
		})
	}
}
