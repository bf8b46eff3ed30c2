package zmq4

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// native is what all sockets of package socket have.
type native interface {
	Type() string
	Bind(endpoint string) (string, error)
	Connect(endpoint string) error
	Disconnect(endpoint string) error
	Connected(endpoint string) bool
	SetSendHWM(messages int) error
	Events(ctx context.Context) iter.Seq[socket.Event]
	Close() error
}

// sock is one of our sockets behind the interface Socket. Its methods may be called by any number of goroutines at the same time.
type sock struct {
	*settings
	sck    native
	typ    SocketType
	send   func(context.Context, ...[]byte) error    // nil for a type that sends nothing
	recv   func(context.Context) (socket.Msg, error) // nil for a type that receives nothing
	bad    error                                     // what the options ask for that cannot be had
	ctx    context.Context                           // ends with Close
	cancel context.CancelFunc
	let    func() bool // lets go of the context that the constructor was given

	mu    sync.Mutex // guards the fields below
	addr  net.Addr
	props map[string]any
}

func newSock(ctx context.Context, typ SocketType, opts []Option, open func(*sock, []socket.Option)) *sock {
	if ctx == nil {
		ctx = context.Background()
	}
	s := &sock{settings: newSettings(opts), typ: typ, props: map[string]any{}}
	s.bad = s.check()
	s.ctx, s.cancel = context.WithCancel(ctx)
	open(s, s.options(typ, s.handle))
	s.let = context.AfterFunc(ctx, func() { s.sck.Close() }) // Close waits for this to end
	return s
}

// handle sees the events of the socket.
func (s *sock) handle(e socket.Event) {
	if e.Kind == socket.Disconnected && !s.reconnect {
		_ = s.sck.Disconnect(e.Endpoint) // an error: it is one of Listen, or of a Dial that gave up
	}
	if s.logger == nil {
		return
	}
	switch e.Kind {
	case socket.HandshakeFailed, socket.AcceptFailed, socket.Retrying, socket.Dropped:
		s.logger.Print(e)
	}
}

// Close closes the socket. Messages that were sent are handed over, for two seconds at most; the error says if some were
// left. Calls under way return context.Canceled. Closing again does nothing.
func (s *sock) Close() error {
	s.let()
	s.cancel()
	return s.sck.Close()
}

// usable returns why the socket cannot be used, if it cannot.
func (s *sock) usable() error {
	if s.bad != nil {
		return s.bad
	}
	return s.ctx.Err()
}

// Send puts the message on the outbound queue, all its frames or none. It waits for a peer with room as long as WithTimeout says.
func (s *sock) Send(msg Msg) error {
	if err := s.usable(); err != nil {
		return err
	}
	switch {
	case s.send == nil:
		return s.cannot("send")
	case msg.Type != UsrMsg:
		return fmt.Errorf("%w: a socket sends messages, not commands", ErrBadCmd)
	}
	err := s.send(tried, msg.Frames...)
	if !waits(err) {
		return s.final(err)
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	return s.final(s.send(ctx, msg.Frames...))
}

// SendMulti is Send.
func (s *sock) SendMulti(msg Msg) error { return s.Send(msg) }

// Recv returns the next message, all its frames. It waits for one without a limit, or as long as WithTimeout says.
func (s *sock) Recv() (Msg, error) {
	if err := s.usable(); err != nil {
		return Msg{}, err
	}
	if s.recv == nil {
		return Msg{}, s.cannot("receive")
	}
	m, err := s.receive()
	if err != nil {
		return Msg{}, s.final(err)
	}
	return NewMsgFrom(m.Frames...), nil
}

func (s *sock) receive() (socket.Msg, error) {
	if !s.timed {
		return s.recv(s.ctx)
	}
	m, err := s.recv(tried)
	if !waits(err) {
		return m, err
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	return s.recv(ctx)
}

// tried is a context that makes each call a try: one that need not wait needs no timer.
var tried = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

func waits(err error) bool { return errors.Is(err, context.Canceled) }

func (s *sock) cannot(what string) error {
	return fmt.Errorf("zmq4: %w: %s sockets do not %s", socket.ErrState, s.typ, what)
}

// final is the error that a call returns: once the socket's life is over, that of its context.
func (s *sock) final(err error) error {
	switch {
	case err == nil:
		return nil
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case errors.Is(err, socket.ErrClosed):
		return context.Canceled
	}
	return err
}

// Listen binds the socket to an endpoint, in addition to those before.
func (s *sock) Listen(ep string) error {
	if err := s.usable(); err != nil {
		return err
	}
	bound, err := s.sck.Bind(listenEndpoint(ep))
	if err != nil {
		return s.final(unknown(ep, err))
	}
	s.mu.Lock()
	s.addr = addrOf(bound)
	s.mu.Unlock()
	return nil
}

// Dial connects the socket to an endpoint and returns when the peer has answered. It tries again for as long as WithDialerRetry and
// WithDialerMaxRetries say. What was sent to the endpoint meanwhile is lost when it gives up.
func (s *sock) Dial(ep string) error {
	if err := s.usable(); err != nil {
		return err
	}
	endpoint := dialEndpoint(ep)
	ctx, cancel := s.patience(endpoint)
	defer cancel()
	events := s.sck.Events(ctx)
	start := time.Now()
	if err := s.sck.Connect(endpoint); err != nil {
		return s.final(unknown(ep, err))
	}
	if s.sck.Connected(endpoint) {
		return nil
	}
	cause := ctx.Err
	for e := range events {
		if e.Endpoint != endpoint {
			continue
		}
		if e.Kind == socket.Connected {
			return nil
		}
		if e.Kind == socket.Retrying && s.maxRetries >= 0 && time.Since(start) >= s.tries() {
			cause = func() error { return e.Err }
			break
		}
	}
	_ = s.sck.Disconnect(endpoint) // an error: the socket is closed
	return s.final(&socket.Error{Op: "dial", Endpoint: ep, Err: cause()})
}

// tries is how long Dial goes on trying.
func (s *sock) tries() time.Duration { return time.Duration(s.maxRetries) * s.retry }

// patience returns the context of one Dial. An in-process endpoint is waited for without attempts that could be counted.
func (s *sock) patience(endpoint string) (context.Context, context.CancelFunc) {
	if schemeOf(endpoint) == "inproc" && s.maxRetries >= 0 {
		return context.WithTimeout(s.ctx, max(s.tries(), s.retry))
	}
	return context.WithCancel(s.ctx)
}

// Type returns the type of the socket.
func (s *sock) Type() SocketType { return s.typ }

// Addr returns the address that Listen bound last: a *net.TCPAddr, a *net.UnixAddr, or one whose String is the endpoint. It is nil before.
func (s *sock) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// GetOption returns what SetOption was given for the name, ErrBadProperty before that.
func (s *sock) GetOption(name string) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, known := s.props[name]
	if !known {
		return nil, ErrBadProperty
	}
	return v, nil
}

// SetOption sets an option of any type of socket: OptionHWM. A name or value that means nothing to the socket is ErrBadProperty.
func (s *sock) SetOption(name string, value any) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := s.set(name, value); err != nil {
		return s.final(err)
	}
	s.mu.Lock()
	s.props[name] = value
	s.mu.Unlock()
	return nil
}

func (s *sock) set(name string, value any) error {
	if sub, ok := s.sck.(*socket.Sub); ok && (name == OptionSubscribe || name == OptionUnsubscribe) {
		topic, ok := value.(string)
		if !ok {
			return fmt.Errorf("%w: %s: a %T, want a string", ErrBadProperty, name, value)
		}
		return change(sub, topic, name == OptionSubscribe)
	}
	if name != OptionHWM {
		return fmt.Errorf("%w: %.40q on a %s socket", ErrBadProperty, name, s.typ)
	}
	hwm, ok := value.(int)
	if !ok || hwm < 0 {
		return fmt.Errorf("%w: %s: %v (%T), want an int of 0 (no limit) or more", ErrBadProperty, name, value, value)
	}
	return s.sck.SetSendHWM(hwm)
}

// change subscribes a SUB to a topic or takes that back. To take back what was not subscribed to does nothing, as with go-zeromq.
func change(sub *socket.Sub, topic string, add bool) error {
	if add {
		return sub.Subscribe(topic)
	}
	if err := sub.Unsubscribe(topic); !errors.Is(err, socket.ErrState) {
		return err
	}
	return nil
}
