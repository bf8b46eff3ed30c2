package reqrep

import (
	"context"
	"errors"
	"fmt"
	"sync"

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

// Service answers the calls of clients by the methods given to [Handle]. It embeds its socket: Bind and Connect lead to clients.
// Receive with Run: what the socket's Recv takes does not get there.
type Service struct {
	*socket.Router
	loop   *intake.Loop
	conf   conf.Config
	sealer wire.Sealer
	err    error // what the options did wrong

	mu      sync.Mutex // guards the fields below
	methods map[string]method
	leaving bool
	busy    int           // requests that a reply is owed to
	quiet   chan struct{} // closed when leaving and not busy
}

// method handles the body of a request. bad is what is wrong with the request, err what the handler returned.
type method func(ctx context.Context, e *codec.Envelope) (out any, bad, err error)

// NewService returns a Service. It uses nothing until Bind or Connect; end it with Shutdown or Close. Its socket queues replies to
// a client that does not read them up to 64 MiB, not to a number (socket.WithSendHWM is 0 unless set);
// beyond, they are dropped and reported, so that such a client holds up nobody else.
func NewService(opts ...patterns.Option) *Service {
	c, err := conf.Make("NewService", conf.Concurrency|conf.OnError|conf.Source, conf.Config{
		Codec: codec.Msgpack, Concurrency: serviceConcurrency, OnError: patterns.LogError,
		Socket: []socket.Option{socket.WithSendHWM(0)},
	}, opts)
	s := &Service{
		Router:  socket.NewRouter(c.Socket...),
		conf:    c,
		sealer:  wire.NewSealer(patterns.Call, c),
		err:     err,
		methods: make(map[string]method),
		quiet:   make(chan struct{}),
	}
	s.loop = intake.New(courteous{s}, c.OnError)
	return s
}

// Handle has calls of the method called name answered by handler. A name has 1 to codec.MaxName bytes; one that is taken is an error.
// It may be called at any time.
//
// The context of handler has the request's envelope and ends when the caller's time is up. An *Error that handler returns, or
// wraps, goes to the caller as it is; any other error goes as CodeInternal with its text, and is reported;
// a panic goes as CodeInternal without it. The reply is encoded by the codec that the request came in.
func Handle[In, Out any](s *Service, name string, handler func(ctx context.Context, in In) (Out, error)) error {
	return s.add(name, func(ctx context.Context, e *codec.Envelope) (out any, bad, err error) {
		var in In
		if bad = wire.Decode(e, s.conf.Codec, s.conf.Schemas, &in); bad != nil {
			return nil, bad, nil
		}
		err = intake.Attempt(func() error {
			result, err := handler(ctx, in)
			out = &result
			return err
		})
		return out, nil, err
	})
}

func (s *Service) add(name string, m method) error {
	if name == "" || len(name) > codec.MaxName {
		return fmt.Errorf("handle method %.60q: want a name of 1 to %d bytes", name, codec.MaxName)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.methods[name] != nil {
		return fmt.Errorf("handle method %q: it has a handler already", name)
	}
	s.methods[name] = m
	return nil
}

// Run answers calls, as many at a time as WithConcurrency says, until ctx ends, Shutdown or Close. It returns when all handlers have
// returned: nil, or what makes the Service unusable. It may be called again, and several times at once.
//
// The context of a handler has the values of ctx. It does not end with ctx: calls in hand are answered, unless Close or the deadline
// of Shutdown ends their contexts.
func (s *Service) Run(ctx context.Context) error {
	if s.err != nil {
		return fmt.Errorf("run: %w", s.err)
	}
	return s.loop.Run(ctx, s.conf.Concurrency, s.take)
}

// take answers one request.
func (s *Service) take(ctx context.Context, m socket.Msg) {
	e, err := wire.Open(m.Bytes())
	if err == nil && e.ID.IsZero() {
		err = fmt.Errorf("%w: no message id to refer a reply to", patterns.ErrMalformed)
	}
	if err != nil {
		s.loop.Refuse(ctx, m, nil, err) // nobody can be told
		return
	}
	ctx = patterns.NewContext(ctx, e)
	if !s.enter() {
		s.reply(ctx, m, e, nil, Errorf(CodeUnavailable, "the service is shutting down"))
		return
	}
	defer s.leave()
	left, limited, err := timeoutOf(e)
	if err != nil {
		s.refuse(ctx, m, e, err)
		return
	}
	if limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	s.answer(ctx, m, e)
}

// answer calls the method's handler and replies.
func (s *Service) answer(ctx context.Context, m socket.Msg, e *codec.Envelope) {
	s.mu.Lock()
	handle := s.methods[e.Type]
	s.mu.Unlock()
	if handle == nil {
		s.loop.Refuse(ctx, m, e, fmt.Errorf("%w: no method %q", patterns.ErrMalformed, e.Type))
		s.reply(ctx, m, e, nil, Errorf(CodeUnknownMethod, "no method %q", e.Type))
		return
	}
	out, bad, err := handle(ctx, e)
	if bad != nil {
		s.refuse(ctx, m, e, bad)
		return
	}
	answer, typed := errors.AsType[*Error](err)
	switch {
	case err == nil || typed:
		s.loop.Settle(ctx, m, e, nil)
	default:
		s.loop.Settle(ctx, m, e, err)
		answer = untyped(ctx, err)
	}
	s.reply(ctx, m, e, out, answer)
}

// untyped is what the caller is told of an error without a code.
func untyped(ctx context.Context, err error) *Error {
	switch {
	case errors.Is(err, patterns.ErrPanic):
		return Errorf(CodeInternal, "%v", patterns.ErrPanic) // what it says is not the caller's business
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		return Errorf(CodeDeadline, "%v", err)
	}
	return Errorf(CodeInternal, "%v", err)
}

// refuse answers a request that does not decode.
func (s *Service) refuse(ctx context.Context, m socket.Msg, e *codec.Envelope, err error) {
	s.loop.Refuse(ctx, m, e, err)
	s.reply(ctx, m, e, nil, Errorf(CodeBadRequest, "%v", err))
}

// reply sends out, or failure if it is not nil. What cannot be encoded or is too large becomes an error for the caller.
func (s *Service) reply(ctx context.Context, m socket.Msg, request *codec.Envelope, out any, failure *Error) {
	err := s.send(ctx, m, request, out, failure)
	if err == nil {
		return
	}
	s.loop.Report(ctx, "reply", m, request, err)
	if failure == nil && !errors.Is(err, socket.ErrNoPeer) && !errors.Is(err, socket.ErrFull) && !errors.Is(err, socket.ErrClosed) {
		s.reply(ctx, m, request, nil, Errorf(CodeInternal, "reply: %v", err))
	}
}

func (s *Service) send(ctx context.Context, m socket.Msg, request *codec.Envelope, out any, failure *Error) error {
	e := codec.Envelope{Type: request.Type}
	sealer := s.sealer
	if failure != nil {
		failure = failure.bounded()
		e.Headers = []codec.Header{{Key: headerCode, Value: string(failure.Code)}, {Key: headerMessage, Value: failure.Message}}
		out = wire.NoBody
	} else if c, err := wire.CodecOf(request, s.conf.Codec); err == nil {
		sealer.Codec = c
	}
	return sealer.Seal(ctx, "", e, out, nil, func(_ context.Context, _ *patterns.Outgoing, frame []byte) error {
		frames := append([][]byte(nil), m.Frames...)
		frames[len(frames)-1] = frame
		return s.Router.Send(ended, frames...)
	})
}

// ended makes Send a try: a client whose queue is full must not hold up the handlers of others.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// enter reports whether a request may still be begun.
func (s *Service) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leaving {
		return false
	}
	s.busy++
	return true
}

func (s *Service) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.quietenLocked()
}

func (s *Service) quietenLocked() {
	if s.leaving && s.busy == 0 {
		close(s.quiet)
	}
}

// Counts returns how the requests fared. A handler that returned an *Error handled its request; one for a method that does not exist
// is malformed.
func (s *Service) Counts() patterns.Counts { return s.loop.Counts() }

// Shutdown ends the Service in order: it listens no more, answers what comes in with CodeUnavailable, finishes the calls in hand and
// has their replies written. When ctx ends before, the contexts of the handlers end too, and the error
// says how many calls were in hand. It must not be called by a handler, for which it would wait.
func (s *Service) Shutdown(ctx context.Context) error { return s.loop.Shutdown(ctx) }

// Close ends the Service now: the contexts of handlers end, and their callers see the peer go. It does not wait for handlers, which
// Run does, and may be called by one. Closing again does nothing.
func (s *Service) Close() error { return s.loop.Close() }

// courteous is a Service's socket that finishes the calls in hand before it shuts down: they need it for their replies.
type courteous struct{ *Service }

func (c courteous) Recv(ctx context.Context) (socket.Msg, error) { return c.Router.Recv(ctx) }
func (c courteous) Close() error                                 { return c.Router.Close() }

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
	return c.Router.Shutdown(ctx)
}
