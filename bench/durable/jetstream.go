package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// serve is the server, which syncs before it confirms; it listens at an address and lives until its input ends.
func serve(address string) {
	host, port, err := net.SplitHostPort(address)
	check(err)
	number, err := strconv.Atoi(port)
	check(err)
	dir, err := os.Getwd()
	check(err)
	s, err := server.NewServer(&server.Options{
		Host: host, Port: number, JetStream: true, StoreDir: filepath.Join(dir, "jetstream"), SyncAlways: true, NoSigs: true, NoLog: true,
	})
	check(err)
	s.Start()
	_, _ = io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
}

// stream returns how many messages a second JetStream confirms: to so many senders that wait for each, or to one with so many on their way.
func stream(r run, senders, window int) float64 {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	address := listener.Addr().String()
	check(listener.Close())
	old, err := os.Getwd()
	check(err)
	check(os.Chdir(r.dir))
	end := child("jetstream", address)
	check(os.Chdir(old))
	defer end()
	nc, err := nats.Connect("nats://"+address, nats.RetryOnFailedConnect(true), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(1000))
	check(err)
	defer nc.Close()
	js, err := nc.JetStream(nats.PublishAsyncMaxPending(max(window, 1)), nats.MaxWait(30*time.Second))
	check(err)
	for tries := 0; ; tries++ {
		_, err = js.AddStream(&nats.StreamConfig{Name: "bench", Subjects: []string{"bench"}, Storage: nats.FileStorage})
		if err == nil {
			break
		}
		if tries > 500 {
			log.Fatal(fmt.Errorf("JetStream does not start: %w", err))
		}
		time.Sleep(10 * time.Millisecond)
	}
	var confirmed atomic.Uint64
	var stopped atomic.Bool
	var all sync.WaitGroup
	for range senders {
		all.Go(func() { publish(js, make([]byte, r.size), window, &confirmed, &stopped) })
	}
	begun := time.Now()
	for time.Since(begun) < r.d || confirmed.Load() < uint64(max(2*window, senders)) { // it confirms what is on its way in large lots
		time.Sleep(time.Millisecond)
	}
	rate := float64(confirmed.Load()) / time.Since(begun).Seconds()
	stopped.Store(true)
	all.Wait()
	return rate
}

// publish sends until it is told to stop.
func publish(js nats.JetStreamContext, body []byte, window int, confirmed *atomic.Uint64, stopped *atomic.Bool) {
	pending := make(chan nats.PubAckFuture, max(window, 1))
	done := make(chan struct{})
	go func() { // ends when pending is closed, below
		defer close(done)
		for f := range pending {
			select {
			case <-f.Ok():
				confirmed.Add(1)
			case err := <-f.Err():
				log.Fatal(err)
			}
		}
	}()
	for !stopped.Load() {
		if window == 0 {
			_, err := js.Publish("bench", body)
			check(err)
			confirmed.Add(1)
			continue
		}
		f, err := js.PublishAsync("bench", body, nats.StallWait(time.Minute))
		check(err)
		pending <- f
	}
	close(pending)
	<-done
}
