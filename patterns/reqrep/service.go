package reqrep

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// serviceConcurrency lets a service that waits for others, as most do, use that time, and is little enough not
// to overrun them.
const serviceConcurrency = 64

// Service answers the calls of clients by the methods given to [Handle] and [HandleStream]. It embeds its socket: Bind and Connect lead to
// clients. Receive with Run: what the socket's Recv takes does not get there. A Service is safe for use by any number of goroutines, those of handlers too
// where a method does not say otherwise.
type Service struct {
	*socket.Router
	loop    *intake.Loop
	conf    conf.Config
	calls   *serviceConfig
	sealer  wire.Sealer
	started time.Time
	err     error // what the options did wrong
	closed  atomic.Bool
	relief  *relief

	mu      sync.Mutex // guards the fields below
	methods map[string]*method
	desk    desk
	leaving bool
	busy    int           // requests that a reply is owed to
	quiet   chan struct{} // closed when leaving and not busy
}

// NewService returns a Service. It uses nothing until Bind or Connect; end it with Shutdown or Close. Its socket queues replies to
// a client that does not read them up to 64 MiB, not to a number (socket.WithSendHWM is 0 unless set);
// beyond, they are dropped and reported, so that such a client holds up nobody else.
func NewService(opts ...patterns.Option) *Service {
	calls := &serviceConfig{waiting: maxWaiting}
	c, err := conf.Make("NewService", conf.Concurrency|conf.OnError|conf.Source|conf.Middleware|conf.Service, conf.Config{
		Codec: codec.Msgpack, Concurrency: serviceConcurrency, OnError: patterns.LogError, Calls: calls,
		Socket: []socket.Option{socket.WithSendHWM(0), controlsOption(), socket.WithPeerLimits()},
	}, opts)
	s := &Service{
		Router:  socket.NewRouter(c.Socket...),
		conf:    c,
		calls:   calls,
		sealer:  wire.NewSealer(patterns.Call, c),
		started: time.Now(),
		err:     err,
		methods: make(map[string]*method),
		desk:    desk{limit: calls.waiting, inHand: make(map[requestKey]*request)},
		quiet:   make(chan struct{}),
	}
	s.relief = newRelief(s.HandOn)
	s.loop = intake.New(courteous{s}, s.tell)
	return s
}

// tell calls the hook, while others receive: it may take its time.
func (s *Service) tell(ctx context.Context, err error) {
	s.HandOn()
	s.conf.OnError(ctx, err)
}

// Run answers calls, as many at a time as WithConcurrency says, until ctx ends, Shutdown or Close. It returns when all handlers have
// returned: nil, or what makes the Service unusable. It may be called again, and several times at once. While all handlers are
// busy, requests go on being received: they wait as WithWaiting says, unless their callers' time is up or they are cancelled before.
//
// The context of a handler has the values of ctx. It does not end with ctx: calls in hand are answered, unless Close or the deadline
// of Shutdown ends their contexts.
func (s *Service) Run(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("run: %w", s.err)
	}
	s.hire(s.conf.Concurrency)
	defer s.hire(-s.conf.Concurrency)
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { s.watch(watching) }) // ended and awaited below
	defer watch.Wait()
	defer stop()
	return s.loop.Run(ctx, s.conf.Concurrency+1, intake.Alike(s.take)) // one more, for what comes while all handlers are busy
}

// watch cancels the calls of peers that go.
func (s *Service) watch(ctx context.Context) {
	for e := range s.Events(ctx) {
		if e.Kind == socket.Disconnected && e.Peer != nil && !s.closed.Load() { // else it is we who went
			s.forsake(e.Peer)
		}
	}
}

// Counts returns how the requests fared. A handler that returned an *Error handled its request, and so did one whose caller had left and that returned that its context had
// ended. A request for a method that does not exist is malformed.
func (s *Service) Counts() patterns.Counts {
	counts := s.loop.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	counts.Unhandled += s.desk.dropped
	return counts
}

// Shutdown ends the Service in order: it listens no more, answers what comes in with CodeUnavailable, finishes the calls in hand and
// has their replies written. When ctx ends before, the contexts of the handlers end too, and the error
// says how many calls were in hand. It must not be called by a handler, for which it would wait.
func (s *Service) Shutdown(ctx context.Context) error { return s.loop.Shutdown(ctx) }

// Close ends the Service now: the contexts of handlers end, and their callers see the peer go. It does not wait for handlers, which
// Run does, and may be called by one. Closing again does nothing.
func (s *Service) Close() error { return s.loop.Close() }

// courteous is a Service's socket that finishes the calls in hand before it shuts down: they need it for their replies.
type courteous struct{ *Service }

func (c courteous) Recv(ctx context.Context) (socket.Msg, error) { return c.Router.RecvHold(ctx) }

func (c courteous) Close() error {
	c.closed.Store(true)
	return c.Router.Close()
}

func (c courteous) Shutdown(ctx context.Context) error {
	for _, endpoint := range c.Stats().Endpoints {
		_ = c.Unbind(endpoint) // an error means that somebody else did
	}
	c.mu.Lock()
	if !c.leaving {
		c.leaving = true
		c.quietenLocked()
	}
	c.mu.Unlock()
	select {
	case <-c.quiet:
	case <-ctx.Done():
	}
	c.closed.Store(true)
	return c.Router.Shutdown(ctx)
}
