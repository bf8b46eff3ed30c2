package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/meshmq/meshmq/socket"
)

// The kinds of a far side.
const (
	kindPush = "push"
	kindSub  = "sub"
	kindEcho = "echo"
	kindReq  = "req"
	kindDeal = "dealer"
)

// Peer is a far side.
type Peer struct {
	Kind     string
	Endpoint string // to connect to
	Size     int
	Sockets  int
	Curve    bool
}

// worker is a far side at work.
type worker struct {
	Peer
	count atomic.Int64

	mu  sync.Mutex // guards err
	err error
}

// Run works until in ends. It answers each line with what was counted so far.
func (p Peer) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	w := &worker{Peer: p}
	work := map[string]func(context.Context) error{kindPush: w.push, kindSub: w.sub, kindEcho: w.echo, kindReq: w.request, kindDeal: w.deal}[p.Kind]
	if work == nil {
		return fmt.Errorf("unknown kind %q of a far side", p.Kind)
	}
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for range p.Sockets {
		workers.Go(func() {
			if err := work(ctx); err != nil && ctx.Err() == nil {
				w.mu.Lock()
				w.err = errors.Join(w.err, err)
				w.mu.Unlock()
			}
		})
	}
	enc := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		t := tally{Messages: w.count.Load()}
		w.mu.Lock()
		if w.err != nil {
			t.Error = w.err.Error()
		}
		w.mu.Unlock()
		if err := enc.Encode(t); err != nil {
			return err
		}
	}
	return nil
}

// closeAt closes a socket when ctx ends, which ends the call it is in: cheaper than a context that each call has to watch.
func closeAt(ctx context.Context, s io.Closer) (stop func() bool) {
	return context.AfterFunc(ctx, func() { s.Close() })
}

func (w *worker) push(ctx context.Context) error {
	s := socket.NewPush(w.far(socket.WithLinger(0))...)
	defer s.Close()
	defer closeAt(ctx, s)()
	if err := s.Connect(w.Endpoint); err != nil {
		return err
	}
	body := make([]byte, w.Size)
	for {
		if err := s.Send(context.Background(), body); err != nil {
			return err
		}
	}
}

func (w *worker) sub(ctx context.Context) error {
	s := socket.NewSub(w.far()...)
	defer s.Close()
	defer closeAt(ctx, s)()
	if err := s.Subscribe(""); err != nil {
		return err
	}
	if err := s.Connect(w.Endpoint); err != nil {
		return err
	}
	var pending int64
	batch := perLook(w.Size)
	for {
		m, err := s.Recv(context.Background())
		if err != nil {
			return err
		}
		m.Release()
		if pending++; pending == batch {
			w.count.Add(pending)
			pending = 0
		}
	}
}

func (w *worker) echo(ctx context.Context) error {
	s := socket.NewRouter(w.far()...)
	defer s.Close()
	defer closeAt(ctx, s)()
	if err := s.Connect(w.Endpoint); err != nil {
		return err
	}
	for {
		m, err := s.Recv(context.Background())
		if err != nil {
			return err
		}
		if err := s.Send(context.Background(), m.Frames...); err != nil {
			return err
		}
		m.Release()
	}
}

func (w *worker) request(ctx context.Context) error {
	s := socket.NewReq(w.far(socket.WithLinger(0))...)
	defer s.Close()
	defer closeAt(ctx, s)()
	if err := s.Connect(w.Endpoint); err != nil {
		return err
	}
	return w.pingPong(s)
}

func (w *worker) deal(ctx context.Context) error {
	s := socket.NewDealer(w.far(socket.WithLinger(0))...)
	defer s.Close()
	defer closeAt(ctx, s)()
	if err := s.Connect(w.Endpoint); err != nil {
		return err
	}
	return w.pingPong(s)
}

// pingPong sends the next message when the one before has come back.
func (w *worker) pingPong(s interface {
	Send(ctx context.Context, frames ...[]byte) error
	Recv(ctx context.Context) (socket.Msg, error)
}) error {
	body := make([]byte, w.Size)
	for {
		if err := s.Send(context.Background(), body); err != nil {
			return err
		}
		m, err := s.Recv(context.Background())
		if err != nil {
			return err
		}
		m.Release()
	}
}

// perLook is after how many messages one looks at the clock or at a shared counter: it must cost nothing for small ones, and
// large ones are few.
func perLook(size int) int64 { return int64(min(max(1, (64<<10)/(size+1)), 64)) }
