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
	kindPush    = "push"
	kindPull    = "pull"
	kindSub     = "sub"
	kindTopics  = "topics"  // a SUB of many of them
	kindStalled = "stalled" // SUBs, the first of which does not read
	kindEcho    = "echo"
	kindReq     = "req"
	kindDeal    = "dealer"
	kindIdle    = "idle" // DEALERs that echo, too
)

// Peer is a far side: as many sockets as its Load has peers.
type Peer struct {
	Kind     string
	Endpoint string // to connect to
	Load
	Curve bool
}

// worker is a far side at work.
type worker struct {
	Peer
	count atomic.Int64

	mu  sync.Mutex // guards out
	out *json.Encoder
}

// Run works until in ends. It answers each line with what was counted so far, and says on its own what fails.
func (p Peer) Run(ctx context.Context, in io.Reader, out io.Writer) error {
	w := &worker{Peer: p, out: json.NewEncoder(out)}
	work := map[string]func(context.Context, int) error{
		kindPush: w.push, kindPull: w.pull, kindSub: w.sub, kindTopics: w.sub, kindStalled: w.sub,
		kindEcho: w.echo, kindReq: w.request, kindDeal: w.deal, kindIdle: w.rest,
	}[p.Kind]
	if work == nil {
		return fmt.Errorf("unknown kind %q of a far side", p.Kind)
	}
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	for i := range p.workers() {
		workers.Go(func() {
			if err := work(ctx, i); err != nil && ctx.Err() == nil {
				_ = w.say(tally{Error: err.Error()}) // nobody is left to be told that this fails
			}
		})
	}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		t := tally{Messages: w.count.Load()}
		if lines.Text() == askSpent {
			t.Spent = spentNow()
		}
		if err := w.say(t); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) say(t tally) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.out.Encode(t)
}

// closeAt closes a socket when ctx ends, which ends the call it is in: cheaper than a context that each call has to watch.
func closeAt(ctx context.Context, s io.Closer) (stop func() bool) {
	return context.AfterFunc(ctx, func() { s.Close() })
}

// dialer is what far sockets have in common.
type dialer interface {
	Connect(endpoint string) error
	Close() error
}

// connect connects until ctx ends, or until end is called.
func (w *worker) connect(ctx context.Context, s dialer) (end func(), err error) {
	stop := closeAt(ctx, s)
	return func() { stop(); s.Close() }, s.Connect(w.Endpoint)
}

func (w *worker) push(ctx context.Context, _ int) error {
	s := socket.NewPush(w.far(socket.WithLinger(0))...)
	end, err := w.connect(ctx, s)
	defer end()
	for body := w.body(); err == nil; {
		err = s.Send(context.Background(), body...)
	}
	return err
}

func (w *worker) pull(ctx context.Context, _ int) error {
	s := socket.NewPull(w.far()...)
	end, err := w.connect(ctx, s)
	defer end()
	if err != nil {
		return err
	}
	return w.receive(s)
}

// stalledBuffer has room for two segments of loopback. With less the system of the PUB sends small ones at long intervals, and what it still has
// at the end takes seconds to go away.
const stalledBuffer = 128 << 10

func (w *worker) sub(ctx context.Context, i int) error {
	var opts []socket.Option
	topics := []string{""}
	stalled := w.Kind == kindStalled && i == 0
	if stalled {
		opts = append(opts, socket.WithRecvHWM(1), socket.WithSocketBuffers(0, stalledBuffer)) // it is to be stuck soon
	}
	if w.Kind == kindTopics {
		opts, topics = append(opts, socket.WithMaxSubscriptions(0)), topics[:0]
		for _, topic := range topicsOf(w.Subscriptions) {
			topics = append(topics, string(topic))
		}
	}
	s := socket.NewSub(w.far(opts...)...)
	if err := s.Subscribe(topics...); err != nil {
		return errors.Join(err, s.Close())
	}
	end, err := w.connect(ctx, s)
	defer end()
	if err != nil {
		return err
	}
	if stalled {
		<-ctx.Done()
		return nil
	}
	return w.receive(s)
}

// receive counts what comes, some messages at a time.
func (w *worker) receive(s interface {
	Recv(ctx context.Context) (socket.Msg, error)
}) error {
	var pending int64
	batch := max(1, w.perLook()*8/int64(max(8, w.Peers))) // what many peers have not counted yet is to be little
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

func (w *worker) echo(ctx context.Context, _ int) error {
	s := socket.NewRouter(w.far()...)
	end, err := w.connect(ctx, s)
	defer end()
	if err != nil {
		return err
	}
	return echo(s)
}

// rest says one word and then echoes whatever comes, seldom.
func (w *worker) rest(ctx context.Context, _ int) error {
	s := socket.NewDealer(w.far(socket.WithLinger(0))...)
	end, err := w.connect(ctx, s)
	defer end()
	if err != nil {
		return err
	}
	if err := s.Send(context.Background(), nil); err != nil {
		return err
	}
	return echo(s)
}

// talker sends and receives.
type talker interface {
	Send(ctx context.Context, frames ...[]byte) error
	Recv(ctx context.Context) (socket.Msg, error)
}

func echo(s talker) error {
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

func (w *worker) request(ctx context.Context, _ int) error {
	s := socket.NewReq(w.far(socket.WithLinger(0))...)
	end, err := w.connect(ctx, s)
	defer end()
	if err != nil {
		return err
	}
	return w.pingPong(s)
}

// dealerWorkers is how many goroutines the DEALERs share. The far side of libzmq has as many threads for them (bench/libzmq/zmqbench.c), since
// it cannot have one for each: what is compared is the ROUTER, with the same work on the other side of it.
const dealerWorkers = 4

// workers returns how many goroutines work.
func (p Peer) workers() int {
	if p.Kind == kindDeal {
		return max(1, min(dealerWorkers, p.Peers))
	}
	return max(1, p.Peers)
}

// deal has its share of the DEALERs send as much as they have in flight, all in turn, and then receive what comes back.
func (w *worker) deal(ctx context.Context, i int) error {
	dealers := make([]*socket.Dealer, (max(1, w.Peers)+i)/w.workers())
	for i := range dealers {
		dealers[i] = socket.NewDealer(w.far(socket.WithLinger(0))...)
		end, err := w.connect(ctx, dealers[i])
		defer end()
		if err != nil {
			return err
		}
	}
	for body := w.body(); ; {
		for _, s := range dealers {
			if err := times(w.InFlight, func() error { return s.Send(context.Background(), body...) }); err != nil {
				return err
			}
		}
		for _, s := range dealers {
			if err := times(w.InFlight, func() error { return discard(s) }); err != nil {
				return err
			}
		}
	}
}

// times does something n times, unless it fails.
func times(n int, do func() error) error {
	for range n {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}

// discard receives a message.
func discard(s talker) error {
	m, err := s.Recv(context.Background())
	m.Release()
	return err
}

// pingPong sends the next message when the one before has come back.
func (w *worker) pingPong(s talker) error {
	body := w.body()
	for {
		if err := s.Send(context.Background(), body...); err != nil {
			return err
		}
		if err := discard(s); err != nil {
			return err
		}
	}
}
