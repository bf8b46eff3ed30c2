package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/meshmq/meshmq/socket"
)

// patience is how long peers may take to connect and answer.
const patience = 10 * time.Second

// Run measures all that the configuration asks for, round by round, and hands each result to yield.
func Run(ctx context.Context, c *Config, yield func(Result) error) error {
	if err := c.Check(); err != nil {
		return err
	}
	done, of := 0, c.Rounds*len(c.Patterns)*len(c.Sizes)
	for round := 1; round <= c.Rounds; round++ {
		for _, pattern := range c.Patterns {
			for _, size := range c.Sizes {
				if c.Progress != nil {
					c.Progress(Step{pattern, size, round, done, of})
				}
				r, err := c.measure(ctx, pattern, size)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err != nil {
					return fmt.Errorf("%s of %s: %w", pattern, FormatSize(size), err)
				}
				r.Round = round
				if err := yield(r); err != nil {
					return err
				}
				done++
			}
		}
	}
	return nil
}

func (c *Config) measure(ctx context.Context, pattern string, size int) (Result, error) {
	r := Result{Pattern: pattern, Transport: c.Transport, Size: size}
	var err error
	switch pattern {
	case Throughput:
		r.Rate, err = c.work(ctx, size, 1)
	case Fanin:
		r.Peers = c.Peers
		r.Rate, err = c.work(ctx, size, c.Peers)
	case Fanout:
		r.Peers = c.Peers
		r.Rate, err = c.spread(ctx, size)
	case Requests:
		r.Peers = c.Peers
		r.Rate, err = c.serve(ctx, size)
	case Routing:
		r.Peers = c.Peers
		r.Rate, err = c.route(ctx, size)
	case Latency:
		r.Rate, r.Times, err = c.ask(ctx, size)
	}
	r.Bytes = r.Rate * float64(size)
	return r, err
}

var endpoints atomic.Int64

// endpoint returns a fresh one to bind, and what cleans up after it.
func (c *Config) endpoint() (endpoint string, clean func(), err error) {
	switch c.Transport {
	case "ipc":
		dir, err := os.MkdirTemp("", "meshmq-bench")
		return "ipc://" + filepath.Join(dir, "s"), func() { os.RemoveAll(dir) }, err
	case "inproc":
		return "inproc://bench-" + strconv.FormatInt(endpoints.Add(1), 10), func() {}, nil
	}
	return c.Transport + "://127.0.0.1:0", func() {}, nil
}

// bound is what the near sockets have in common.
type bound interface {
	Bind(endpoint string) (string, error)
	WaitPeers(ctx context.Context, n int) error
	Close() error
}

// meet binds the near socket and starts the far side, which connects to it. end ends both.
func (c *Config) meet(ctx context.Context, near bound, p Peer) (other *far, end func() error, err error) {
	endpoint, clean, err := c.endpoint()
	if err != nil {
		return nil, nil, err
	}
	if p.Endpoint, err = near.Bind(endpoint); err != nil {
		clean()
		return nil, nil, err
	}
	stop := closeAt(ctx, near)
	if other, err = c.startFar(ctx, p); err != nil {
		stop()
		clean()
		return nil, nil, err
	}
	end = func() error {
		defer clean()
		defer near.Close() // what is still queued then is no part of the measurement
		stop()
		return other.end()
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := near.WaitPeers(waiting, p.Sockets); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return other, end, nil
}

// work has pushers send as fast as they can and counts what arrives.
func (c *Config) work(ctx context.Context, size, pushers int) (float64, error) {
	pull := socket.NewPull(c.near()...)
	return c.count(ctx, pull, Peer{Kind: kindPush, Size: size, Sockets: pushers}, func() error {
		m, err := pull.Recv(context.Background())
		if err != nil {
			return err
		}
		defer m.Release()
		return checkSize(m, size, 1)
	})
}

// serve has requesters ask, each when it has its answer, and counts the answers.
func (c *Config) serve(ctx context.Context, size int) (float64, error) {
	rep := socket.NewRep(c.near()...)
	return c.count(ctx, rep, Peer{Kind: kindReq, Size: size, Sockets: c.Peers}, func() error {
		m, err := rep.Recv(context.Background())
		if err != nil {
			return err
		}
		defer m.Release()
		return errors.Join(checkSize(m, size, 1), rep.Send(context.Background(), m.Frames...))
	})
}

// route echoes what dealers send, each when it has its answer, and counts the echoes.
func (c *Config) route(ctx context.Context, size int) (float64, error) {
	router := socket.NewRouter(c.near()...)
	return c.count(ctx, router, Peer{Kind: kindDeal, Size: size, Sockets: c.Peers}, func() error {
		m, err := router.Recv(context.Background())
		if err != nil {
			return err
		}
		defer m.Release()
		return errors.Join(checkSize(m, size, 2), router.Send(context.Background(), m.Frames...))
	})
}

func checkSize(m socket.Msg, size, frames int) error {
	if len(m.Bytes()) != size || len(m.Frames) != frames {
		return fmt.Errorf("%w: a message has %d frames, the last of %d bytes, want %d and %d", ErrLost, len(m.Frames), len(m.Bytes()), frames, size)
	}
	return nil
}

// count lets the far side work and returns how often one succeeds in a second.
func (c *Config) count(ctx context.Context, near bound, p Peer, one func() error) (rate float64, err error) {
	defer near.Close()
	_, end, err := c.meet(ctx, near, p)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if _, err := repeat(one, perLook(p.Size), c.Duration/10); err != nil {
		return 0, err
	}
	runtime.GC()
	return repeat(one, perLook(p.Size), c.Duration)
}

// repeat does one thing for a time and returns how often a second.
func repeat(one func() error, look int64, d time.Duration) (rate float64, err error) {
	n := int64(0)
	for start := time.Now(); ; {
		for range look {
			if err := one(); err != nil {
				return 0, err
			}
		}
		n += look
		if took := time.Since(start); took >= d {
			return float64(n) / took.Seconds(), nil
		}
	}
}

// spread publishes as fast as the slowest subscriber can, and counts what arrives at all of them.
func (c *Config) spread(ctx context.Context, size int) (rate float64, err error) {
	pub := socket.NewPub(c.near(socket.WithNoDrop(), socket.WithLinger(0))...)
	defer pub.Close()
	other, end, err := c.meet(ctx, pub, Peer{Kind: kindSub, Size: size, Sockets: c.Peers})
	if err != nil {
		return 0, err
	}
	publishing := make(chan error, 1)
	defer func() {
		err = errors.Join(err, end())
		if sendErr := <-publishing; !errors.Is(sendErr, socket.ErrClosed) {
			err = errors.Join(err, sendErr)
		}
	}()
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := pub.WaitSubscribers(waiting, "", c.Peers); err != nil {
		publishing <- nil // nobody does
		return 0, err
	}
	go func() {
		body := make([]byte, size)
		for {
			if err := pub.Send(context.Background(), body); err != nil {
				publishing <- err
				return
			}
		}
	}()
	if err := sleep(ctx, c.Duration/10); err != nil {
		return 0, err
	}
	start := time.Now()
	before, err := other.tally()
	if err != nil {
		return 0, err
	}
	for after := before; after == before && time.Since(start) < patience; { // on a busy machine nothing may have come in the time
		if err := sleep(ctx, c.Duration); err != nil {
			return 0, err
		}
		if after, err = other.tally(); err != nil {
			return 0, err
		}
		rate = float64(after-before) / time.Since(start).Seconds()
	}
	return rate, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// ask sends requests at a fixed rate and times their answers from when each request was due.
func (c *Config) ask(ctx context.Context, size int) (rate float64, times *Times, err error) {
	dealer := socket.NewDealer(c.near()...)
	defer dealer.Close()
	_, end, err := c.meet(ctx, dealer, Peer{Kind: kindEcho, Size: size, Sockets: 1})
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, end()) }()
	interval := time.Second / time.Duration(c.Rate)
	warm := int(c.Duration / 10 / interval)
	total := warm + max(1, int(c.Duration/interval))
	hist := hdrhistogram.New(1, int64(time.Minute), 3)
	start := time.Now().Add(time.Millisecond)
	sending := make(chan error, 1)
	go func() {
		body := make([]byte, size)
		for i := range total {
			awaitUntil(start.Add(time.Duration(i) * interval))
			if err := dealer.Send(context.Background(), body); err != nil {
				sending <- err
				return
			}
		}
		sending <- nil
	}()
	for i := range total {
		m, err := dealer.Recv(context.Background())
		if err != nil {
			return 0, nil, errors.Join(err, <-sending)
		}
		m.Release()
		if i >= warm { // answers come in the order of the requests: one connection, one echo
			_ = hist.RecordValue(int64(time.Since(start.Add(time.Duration(i) * interval))))
		}
	}
	took := time.Since(start.Add(time.Duration(warm) * interval))
	return float64(total-warm) / took.Seconds(), timesOf(hist), <-sending
}

// spin is the part of a pause that is spent looking at the clock: timers are late by about as much.
const spin = 60 * time.Microsecond

func awaitUntil(t time.Time) {
	if d := time.Until(t) - spin; d > 0 {
		time.Sleep(d)
	}
	for time.Now().Before(t) {
		runtime.Gosched()
	}
}

func timesOf(h *hdrhistogram.Histogram) *Times {
	at := func(percent float64) float64 { return float64(h.ValueAtQuantile(percent)) / 1e3 }
	return &Times{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e3}
}
