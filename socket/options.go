package socket

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// Option sets one property of a socket at construction. An option with an impossible value, or
// one that is for other socket types, makes the socket unusable: every later call returns
// the same error, which is ErrOption and names the option.
type Option func(*config) error

// only is an option for some types of sockets.
func only(option string, set func(*config), types ...zmtp.SocketType) Option {
	return func(c *config) error {
		if !slices.Contains(types, c.typ) {
			return fmt.Errorf("%w: %s on a %s socket: it is for %v", ErrOption, option, c.typ, types)
		}
		set(c)
		return nil
	}
}

// speaking is an option about what is said in ZMTP, of which a STREAM says nothing.
func speaking(option string, set Option) Option {
	return func(c *config) error {
		err := set(c)
		if err == nil && c.typ == streamType {
			err = fmt.Errorf("%w: %s on a STREAM socket: it speaks no ZMTP", ErrOption, option)
		}
		return err
	}
}

// config is what the options set. Defaults are in defaultConfig, with their reasons. What goes together is embedded.
type config struct {
	netConfig
	topicConfig
	routeConfig
	greetConfig
	limitConfig
	securityConfig
	ackConfig
	spoolConfig
	durableConfig
	windowConfig
	retryConfig
	typ            zmtp.SocketType
	identity       []byte
	sendHWM        int
	sendHWMGiven   bool
	sendHWMBytes   int
	recvHWM        int
	recvHWMGiven   bool
	recvHWMBytes   int
	linger         time.Duration
	immediate      bool
	connectTimeout time.Duration
	busyPoll       time.Duration
	reconnectMin   time.Duration
	reconnectMax   time.Duration
	reconnectSet   bool // by WithReconnect
	reconnectNever bool
	reconnectStop  StopCondition
	pingInterval   time.Duration
	pingTimeout    time.Duration
	pingTTL        *time.Duration // nil for what pingTimeout makes of it
	properties     map[string]string
	onEvent        func(Event)
	trouble        func(error) // reports what files make impossible while the socket is in use
}

func defaultConfig() config {
	return config{
		sendHWM:        1000,     // as libzmq, so that users' sizing holds
		recvHWM:        1000,     // as libzmq
		sendHWMBytes:   64 << 20, // one message of the largest default size
		recvHWMBytes:   64 << 20, // the same on the way in
		limitConfig:    defaultLimits(),
		ackConfig:      defaultAck(),
		durableConfig:  durableConfig{maxDurables: 1000}, // each is a position on disk; far fewer are in use
		retryConfig:    defaultRetry(),
		routeConfig:    routeConfig{mandatory: true, handover: true},
		linger:         2 * time.Second,  // long enough for a LAN, short enough to close
		connectTimeout: 10 * time.Second, // below the kernel's two minutes
		reconnectMin:   100 * time.Millisecond,
		reconnectMax:   5 * time.Second,                                                      // full jitter keeps a fleet from returning at once
		securityConfig: securityConfig{authConfig: authConfig{authTimeout: 2 * time.Second}}, // below what a person takes for a hang
		pingInterval:   10 * time.Second,
		pingTimeout:    30 * time.Second, // three PINGs unanswered
	}
}

// check returns why options that are each right do not go together, if so.
func (c *config) check() error {
	for _, check := range []func() error{c.checkHeartbeat, c.checkNet, c.checkTopics, c.checkRoute, c.checkGreeting, c.checkAnnounced, c.checkReconnect, c.checkAuth, c.checkRights, c.checkLimit, c.checkDurable, c.checkAck, c.checkRetry, c.checkSpool, c.checkWindow} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func bad(option string, value any, want string) error {
	return fmt.Errorf("%w: %s(%v): %s", ErrOption, option, value, want)
}

func count(option string, n int, set func(*config)) Option {
	return func(c *config) error {
		if n < 0 {
			return bad(option, n, "want 0 (no limit) or more")
		}
		set(c)
		return nil
	}
}

func period(option string, d time.Duration, set func(*config)) Option {
	return func(c *config) error {
		if d < 0 {
			return bad(option, d, "want 0 or more")
		}
		set(c)
		return nil
	}
}

// WithIdentity sets the identity that REQ, DEALER and ROUTER sockets announce: 1 to 255 bytes, the
// first not zero (RFC 37, ZMQ_ROUTING_ID). A Router at the other end knows the peer by it. Two peers of one identity contend for
// their place: see WithHandover. Default: none.
func WithIdentity(id string) Option {
	return func(c *config) error {
		if len(id) == 0 || len(id) > 255 || id[0] == 0 {
			return bad("WithIdentity", fmt.Sprintf("%.20q", id), "want 1 to 255 bytes, the first not zero")
		}
		return only("WithIdentity", func(c *config) { c.identity = []byte(id) }, zmtp.Req, zmtp.Dealer, zmtp.Router)(c)
	}
}

// WithSendHWM sets the high-water mark of outgoing messages per peer. Default 1000, 32768 with WithAck or WithSpool; zero means no
// limit in messages (the one in bytes stays).
func WithSendHWM(messages int) Option {
	return count("WithSendHWM", messages, func(c *config) { c.sendHWM, c.sendHWMGiven = messages, true })
}

// WithSendHWMBytes sets the high-water mark of outgoing bytes per peer. A message that is larger
// than the mark is still taken when the queue is empty. Default 64 MiB; zero means no limit.
func WithSendHWMBytes(bytes int) Option {
	return count("WithSendHWMBytes", bytes, func(c *config) { c.sendHWMBytes = bytes })
}

// WithRecvHWM sets the high-water mark of received messages per peer that wait for Recv; beyond it the
// socket stops reading from that peer. One read (at most 260 KiB) may go beyond. Default
// 1000, 32768 with WithAck; zero means no limit in messages.
func WithRecvHWM(messages int) Option {
	return count("WithRecvHWM", messages, func(c *config) { c.recvHWM, c.recvHWMGiven = messages, true })
}

// WithRecvHWMBytes is WithRecvHWM in bytes. Default 64 MiB; zero means no limit.
func WithRecvHWMBytes(bytes int) Option {
	return count("WithRecvHWMBytes", bytes, func(c *config) { c.recvHWMBytes = bytes })
}

// WithLinger sets how long Close and Disconnect wait for queued messages to be written, and for the systems of peers that are behind with
// reading to take them. Default 2 s; zero means not at all.
func WithLinger(d time.Duration) Option {
	return period("WithLinger", d, func(c *config) { c.linger = d })
}

// WithImmediate makes PUSH, DEALER, PAIR, CLIENT, SCATTER and CHANNEL queue only to peers that are connected, as REQ always does.
// Without it, the default, an endpoint given to Connect has a queue at once, which survives reconnects, and gets its share while nobody is
// there (ZMQ_IMMEDIATE).
func WithImmediate() Option {
	return only("WithImmediate", func(c *config) { c.immediate = true },
		zmtp.Push, zmtp.Dealer, zmtp.Pair, zmtp.Client, zmtp.Scatter, zmtp.Channel)
}

// WithConnectTimeout bounds one attempt to connect, the resolution of names included and the handshake not
// (ZMQ_CONNECT_TIMEOUT). inproc endpoints wait to be bound without a bound. Default 10 s; zero leaves it to the system.
func WithConnectTimeout(d time.Duration) Option {
	return period("WithConnectTimeout", d, func(c *config) { c.connectTimeout = d })
}

// WithReconnect sets the range of the pause before another attempt to connect. It is drawn evenly (full jitter) below a bound that grows from min to max: while nobody is
// there to a tenth of the time for which that has been so, twice min at least from the second attempt on; where somebody is, and hangs up, it doubles. A peer that refused us is asked again after at least
// half of max (ZMQ_RECONNECT_IVL, ZMQ_RECONNECT_IVL_MAX). It begins with min again after a connection that lived longer than min; with an identity of its own
// a socket waits for one that lived longer than max, since two of one identity may be ending each other's. Default 100 ms to 5 s; for no reconnecting see WithoutReconnect.
func WithReconnect(min, max time.Duration) Option {
	return func(c *config) error {
		if min <= 0 || max < min {
			return bad("WithReconnect", fmt.Sprint(min, ", ", max), "want 0 < min <= max")
		}
		c.reconnectMin, c.reconnectMax, c.reconnectSet = min, max, true
		return nil
	}
}

// WithBusyPoll has Recv look for messages for up to this long without sleeping, which saves the time that waking up takes: round trips
// between two idle cores take a third. It costs a core while Recv waits, and works while one peer is connected. The end of a
// context is seen that much later. Default and zero: off. A few times the round trip, such as 100 us, is right for request and reply. It
// is not libzmq's ZMQ_BUSY_POLL, which is an option of the kernel: WithControl sets that.
func WithBusyPoll(d time.Duration) Option {
	return period("WithBusyPoll", d, func(c *config) { c.busyPoll = d })
}

// WithHeartbeat sets how often peers are sent a PING and after how much silence they count as
// dead. Default 10 s and 30 s. A zero interval turns heartbeats off. Peers that speak less than
// ZMTP 3.1 are sent none; TCP keep-alive watches those. A PING of the peer's is answered, and the time to live in it
// obeyed, whatever is set here. libzmq: ZMQ_HEARTBEAT_IVL (off by default) and ZMQ_HEARTBEAT_TIMEOUT.
func WithHeartbeat(interval, dead time.Duration) Option {
	return speaking("WithHeartbeat", func(c *config) error {
		if interval < 0 || interval > 0 && dead <= interval {
			return bad("WithHeartbeat", fmt.Sprint(interval, ", ", dead), "want 0 <= interval < dead, to leave time for an answer")
		}
		c.pingInterval, c.pingTimeout = interval, dead
		return nil
	})
}

// WithHeartbeatTTL sets the silence of ours after which peers are asked to take us for dead: the time to live that a PING carries. It is
// rounded up to tenths of a second. At most 65.5 s, beyond which libzmq wraps to something short, and more than the interval of
// WithHeartbeat. Default: the dead time of WithHeartbeat, as far as that fits; zero asks for nothing.
// libzmq: ZMQ_HEARTBEAT_TTL, zero by default.
func WithHeartbeatTTL(ttl time.Duration) Option {
	return speaking("WithHeartbeatTTL", func(c *config) error {
		if ttl < 0 || ttl > maxTTL {
			return bad("WithHeartbeatTTL", ttl, fmt.Sprintf("want 0 (none) to %s", maxTTL))
		}
		c.pingTTL = &ttl
		return nil
	})
}

// WithProperty announces an application property in the handshake; peers read it with
// Peer.Property. Names start with X- (RFC 37), consist of letters, digits and -_.+, and are the same in upper and lower case. Names and
// values have 3 KiB in all. The same name given again replaces the value.
func WithProperty(name, value string) Option {
	return speaking("WithProperty", func(c *config) error {
		if !strings.HasPrefix(strings.ToUpper(name), "X-") || len(name) > 255 {
			return bad("WithProperty", fmt.Sprintf("%.40q", name), "want a name that starts with X-, at most 255 bytes")
		}
		if slices.ContainsFunc(ownProperties, func(own string) bool { return strings.EqualFold(name, own) }) {
			return bad("WithProperty", name, "the name is taken by this library")
		}
		for _, r := range name {
			if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.+", r) {
				return bad("WithProperty", fmt.Sprintf("%.40q", name), "want letters, digits and -_.+ in the name")
			}
		}
		c.properties = maps.Clone(c.properties)
		if c.properties == nil {
			c.properties = map[string]string{}
		}
		maps.DeleteFunc(c.properties, func(other, _ string) bool { return strings.EqualFold(other, name) })
		c.properties[name] = value
		return nil
	})
}

// WithEventHandler has f called for each event, one at a time, in order, on a goroutine of the socket's
// own. f must not call Close or Shutdown of the same socket, which wait for it.
func WithEventHandler(f func(Event)) Option {
	return func(c *config) error {
		if f == nil {
			return bad("WithEventHandler", "nil", "want a function")
		}
		c.onEvent = f
		return nil
	}
}
