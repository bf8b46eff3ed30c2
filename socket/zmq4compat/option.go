package zmq4

import (
	"crypto/rand"
	"fmt"
	"log"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// Option sets one property of a socket at construction. A socket with an impossible one returns its error,
// socket.ErrOption, from every call.
type Option func(*settings)

type settings struct {
	id          SocketIdentity
	security    Security
	logger      *log.Logger
	timeout     time.Duration
	timed       bool // WithTimeout was given
	retry       time.Duration
	maxRetries  int
	dialTimeout time.Duration // 0 for the default of package socket
	reconnect   bool
}

func newSettings(opts []Option) *settings {
	// As go-zeromq: programs that start together count on how long Dial tries.
	s := &settings{timeout: 5 * time.Minute, retry: 250 * time.Millisecond, maxRetries: 10, reconnect: true}
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// WithID sets the identity of REQ, DEALER and ROUTER sockets, by which a ROUTER knows them: 1 to 255 bytes, the first not zero. Without it,
// or with an empty one, a random text is made up, which stays the same over reconnects. Other types have no use for it.
func WithID(id SocketIdentity) Option { return func(s *settings) { s.id = id } }

// WithSecurity sets the security mechanism; nil means NULL, which is the only one there is so far.
func WithSecurity(sec Security) Option { return func(s *settings) { s.security = sec } }

// WithTimeout bounds how long Send and Recv wait; 0 or less means that they do not. Default: 5 minutes for Send, no bound for Recv.
func WithTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.timeout, s.timed = max(timeout, 0), true }
}

// WithDialerRetry sets the longest pause between two attempts to connect, in Dial and later. Pauses are random below it. Default 250 ms.
func WithDialerRetry(retry time.Duration) Option { return func(s *settings) { s.retry = retry } }

// WithDialerMaxRetries sets how many pauses of WithDialerRetry Dial goes on trying for. Default 10; 0 means one attempt, -1 that
// Dial never gives up.
func WithDialerMaxRetries(maxRetries int) Option {
	return func(s *settings) { s.maxRetries = maxRetries }
}

// WithDialerTimeout bounds one attempt to connect. Default 10 s; 0 leaves it at that.
func WithDialerTimeout(timeout time.Duration) Option {
	return func(s *settings) { s.dialTimeout = timeout }
}

// WithAutomaticReconnect says whether lost connections of Dial are restored. Default true, other than with go-zeromq; with
// false messages are queued only for peers that are connected.
func WithAutomaticReconnect(automaticReconnect bool) Option {
	return func(s *settings) { s.reconnect = automaticReconnect }
}

// WithLogger has failed connections and dropped messages logged.
func WithLogger(msg *log.Logger) Option { return func(s *settings) { s.logger = msg } }

// check returns what of the settings cannot be had.
func (s *settings) check() error {
	if s.security != nil && s.security.Type() != NullSecurity {
		return fmt.Errorf("%w: WithSecurity(%s): want %s", socket.ErrOption, s.security.Type(), NullSecurity)
	}
	return nil
}

// options are the settings as options of a socket of the type.
func (s *settings) options(typ SocketType, onEvent func(socket.Event)) []socket.Option {
	pause := max(s.retry, time.Millisecond) // a loop without any would take the processor
	opts := []socket.Option{socket.WithReconnect(pause, pause)}
	switch typ {
	case Req, Dealer, Router:
		if len(s.id) == 0 {
			s.id = SocketIdentity(rand.Text())
		}
		opts = append(opts, socket.WithIdentity(string(s.id)))
	case Pub, XPub:
		opts = append(opts, socket.WithSendHWM(0)) // as go-zeromq, whose queue has no end
	}
	if !s.reconnect && (typ == Push || typ == Dealer || typ == Pair) {
		opts = append(opts, socket.WithImmediate())
	}
	if s.dialTimeout > 0 {
		opts = append(opts, socket.WithConnectTimeout(s.dialTimeout))
	}
	if s.logger != nil || !s.reconnect {
		opts = append(opts, socket.WithEventHandler(onEvent))
	}
	return opts
}
