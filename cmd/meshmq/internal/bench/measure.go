package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// patience is how long peers may take to connect and answer, and subscriptions to arrive.
func (l *Load) patience() time.Duration {
	return 10*time.Second + time.Duration(l.Peers)*10*time.Millisecond + time.Duration(l.Subscriptions)*100*time.Microsecond
}

// Run measures all that the configuration asks for, round by round, and hands each result to yield.
func Run(ctx context.Context, c *Config, yield func(Result) error) error {
	if err := c.Check(); err != nil {
		return err
	}
	if err := c.checkFiles(openFiles()); err != nil {
		return err
	}
	var steps []Step
	for _, pattern := range c.Patterns {
		for _, l := range c.loads(pattern) {
			if s := (Step{Pattern: pattern, Load: l}); !slices.Contains(steps, s) { // a pattern may be given twice
				steps = append(steps, s)
			}
		}
	}
	for i := range c.Rounds * len(steps) {
		step := steps[i%len(steps)]
		step.Round, step.Done, step.Of = i/len(steps)+1, i, c.Rounds*len(steps)
		if c.Progress != nil {
			c.Progress(step)
		}
		r, err := c.measure(ctx, step)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		if err := yield(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) measure(ctx context.Context, step Step) (Result, error) {
	r := Result{Pattern: step.Pattern, Way: c.Way(), Load: step.Load, Round: step.Round}
	err := map[string]func(context.Context, *Result) error{
		Throughput: c.work, Fanin: c.work, Requests: c.serve, Routing: c.route, Latency: c.ask, Idle: c.idle,
		Workers: c.share, Fanout: c.publish, Topics: c.publish, Dropping: c.publish, Stalled: c.publish,
	}[r.Pattern](ctx, &r)
	r.Bytes = r.Rate * float64(r.Size) * float64(r.Frames)
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

// meet binds the near socket and starts the far side, which connects to it. end ends both. If the far side fails, that is why anything else has.
func (c *Config) meet(ctx context.Context, near bound, p Peer) (other *far, end func(err *error), err error) {
	endpoint, clean, err := c.endpoint()
	if err != nil {
		return nil, nil, err
	}
	if p.Endpoint, err = near.Bind(endpoint); err != nil {
		clean()
		return nil, nil, err
	}
	stop := closeAt(ctx, near)
	if other, err = c.startFar(ctx, near, p); err != nil {
		stop()
		clean()
		return nil, nil, err
	}
	end = func(err *error) {
		defer clean()
		stop()
		if *err != nil {
			_, _ = other.tally() // it may have ended, which is noticed by now
		}
		if why := other.end(); why != nil {
			*err = why
		}
	}
	waiting, cancel := context.WithTimeout(ctx, p.patience())
	defer cancel()
	if err = near.WaitPeers(waiting, max(1, p.Peers)); err != nil {
		end(&err)
		return nil, nil, err
	}
	return other, end, nil
}

// work has pushers send as fast as they can and counts what arrives.
func (c *Config) work(ctx context.Context, r *Result) error {
	pull := socket.NewPull(c.near()...)
	return c.count(ctx, r, pull, kindPush, func() error {
		m, err := pull.Recv(context.Background())
		if err != nil {
			return err
		}
		defer m.Release()
		return checkMessage(m, r, 0)
	})
}

// serve has requesters ask, each when it has its answer, and counts the answers.
func (c *Config) serve(ctx context.Context, r *Result) error {
	rep := socket.NewRep(c.near()...)
	return c.count(ctx, r, rep, kindReq, func() error {
		m, err := rep.Recv(context.Background())
		if err != nil {
			return err
		}
		defer m.Release()
		return errors.Join(checkMessage(m, r, 0), rep.Send(context.Background(), m.Frames...))
	})
}

// route echoes what dealers send, each when it has its answers, and counts the echoes.
func (c *Config) route(ctx context.Context, r *Result) error {
	router := socket.NewRouter(c.near()...)
	return c.count(ctx, r, router, kindDeal, func() error {
		m, err := router.Recv(context.Background())
		if err != nil {
			return err
		}
		defer m.Release()
		return errors.Join(checkMessage(m, r, 1), router.Send(context.Background(), m.Frames...))
	})
}

// checkMessage wants the frames of the load after so many others.
func checkMessage(m socket.Msg, r *Result, before int) error {
	if len(m.Bytes()) != r.Size || len(m.Frames) != before+r.Frames {
		return fmt.Errorf("%w: a message has %d frames, the last of %d bytes, want %d and %d", ErrLost, len(m.Frames), len(m.Bytes()), before+r.Frames, r.Size)
	}
	return nil
}

// count lets the far side work, and finds how often one succeeds in a second.
func (c *Config) count(ctx context.Context, r *Result, near bound, kind string, one func() error) (err error) {
	defer near.Close()
	other, end, err := c.meet(ctx, near, Peer{Kind: kind, Load: r.Load})
	if err != nil {
		return err
	}
	defer end(&err)
	if _, err := repeat(one, r.perLook(), c.warmUp(r.Load), r.queued()); err != nil {
		return err
	}
	return other.shares(r, func() error {
		r.Rate, err = repeat(one, r.perLook(), c.Duration, 0)
		return err
	})
}

// warmUp is a tenth of the measurement, and more for thousands of peers: it takes a while until all of them have their turn.
func (c *Config) warmUp(l Load) time.Duration { return c.Duration / 10 * time.Duration(1+l.Peers/1000) }

// repeat does one thing for a time, and at least so often, and returns how often a second.
func repeat(one func() error, look int64, d time.Duration, least int64) (rate float64, err error) {
	n := int64(0)
	for start := time.Now(); ; {
		for range look {
			if err := one(); err != nil {
				return 0, err
			}
		}
		n += look
		if took := time.Since(start); took >= d && n >= least {
			return float64(n) / took.Seconds(), nil
		}
	}
}

// ask sends requests at a fixed rate and times their answers from when each request was due.
func (c *Config) ask(ctx context.Context, r *Result) (err error) {
	dealer := socket.NewDealer(c.near()...)
	defer dealer.Close()
	_, end, err := c.meet(ctx, dealer, Peer{Kind: kindEcho, Load: r.Load})
	if err != nil {
		return err
	}
	defer end(&err)
	interval := time.Second / time.Duration(r.Asked)
	warm := int(c.Duration / 10 / interval)
	total := warm + max(1, int(c.Duration/interval))
	trips := newTrips()
	start := time.Now().Add(time.Millisecond)
	due := func(i int) time.Time { return start.Add(time.Duration(i) * interval) }
	var asked atomic.Int64 // known before the last request leaves
	asked.Store(int64(total))
	sending := make(chan error, 1)
	go func() { // ends with the near socket
		body := r.body()
		for i := range total {
			awaitUntil(due(i))
			late := time.Since(due(total)) > 0 // more is due than can be sent
			if late {
				asked.Store(int64(i) + 1)
			}
			if err := dealer.Send(context.Background(), body...); err != nil || late {
				sending <- err
				return
			}
		}
		sending <- nil
	}()
	for i := 0; i < int(asked.Load()); i++ {
		m, err := dealer.Recv(context.Background())
		if err != nil {
			return errors.Join(err, <-sending)
		}
		m.Release()
		if time.Since(due(warm)) >= 0 { // answers come in the order of the requests: one connection, one echo
			trips.record(time.Since(due(i)))
		}
	}
	r.Times = trips.times()
	took := max(time.Since(due(warm)), time.Duration(r.Times.Samples)*interval) // the last one has its interval, too
	r.Rate = float64(r.Times.Samples) / took.Seconds()
	return <-sending
}

// spin is the part of a pause that is spent looking at the clock: naps are late by about as much.
const spin = 60 * time.Microsecond

func awaitUntil(t time.Time) {
	for d := time.Until(t) - spin; d > 0; d = time.Until(t) - spin {
		nap(d)
	}
	for time.Now().Before(t) {
		runtime.Gosched()
	}
}
