package patterns

import (
	"cmp"
	"fmt"
	"sync"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// WithAtLeastOnce has messages acknowledged by what handlers return; give it to both ends. The sender keeps each message until a handler has returned nil
// for it. One whose handler returned an error, or panicked, is sent again after a pause with jitter (socket.WithRetry; or the one that
// [RetryAfter] asks for), to whoever has room, and is a dead letter when it has failed too often (socket.WithAttempts), or at once when the error
// is [Permanent], the message does not decode, has an unknown type or version, or has expired. When a receiver or its connection ends, what it
// had not acknowledged goes to another, and has failed once more unless the receiver left in order (Shutdown, Close): a message that ends whoever handles it is a dead letter in
// the end. So a handler sees each message at least once, and some again: see WithWindow.
//
// A peer without it gets, or sends, each message at most once, as without the option: Stats().Acks counts those (WrittenOut).
// Default: off.
func WithAtLeastOnce() Option {
	return func(cfg *conf.Config) error {
		cfg.AtLeastOnce = true
		return cfg.Check("WithAtLeastOnce", conf.AtLeastOnce)
	}
}

// WithSpool has what is sent kept in the directory dir until it is acknowledged, so that nothing that Send accepted is lost to the end of
// this process or of a receiver, nor to a loss of power as options.Policy has it: socket.WithSpool says more. Send needs no receiver then. It implies
// WithAtLeastOnce. Dead letters are kept there as well, to be replayed. The directory belongs to one process at a time. Default: off.
func WithSpool(dir string, options spool.Options) Option {
	return func(cfg *conf.Config) error {
		cfg.Spool, cfg.AtLeastOnce = &conf.Spool{Dir: dir, Options: options}, true
		return cfg.Check("WithSpool", conf.Spooled)
	}
}

// WithWindow has messages handled effectively once: the directory dir has which were, and one that comes again, by the id of its envelope or by its place
// in what its sender sent, is acknowledged and not handled. One with the id of another and another body is a dead letter of its sender's, as socket.WithMessageID says, if the codec writes equal values as equal bytes: JSON, Raw, and Msgpack for types without maps and interfaces. socket.WithWindow says what is promised, and what a handler can do about
// the rest. Receivers that share work need a window each, and each knows what it has handled itself. It implies WithAtLeastOnce. Default: off.
func WithWindow(dir string, options spool.WindowOptions) Option {
	return func(cfg *conf.Config) error {
		cfg.Window, cfg.AtLeastOnce = &conf.Window{Dir: dir, Options: options}, true
		return cfg.Check("WithWindow", conf.Windowed)
	}
}

// WithLease bounds how long a handler has a message, by socket.WithLease: one that takes longer than d, and has not called [Extend] meanwhile, has its context ended, with socket.ErrLease as the cause
// (context.Cause), and the message is sent again, here or to another, as the next attempt, or is a dead letter if it has failed too often. What the handler returns after that is
// counted (Counts.Unanswered), and decides nothing; the next attempt may run beside it if it does not heed the end of its context. A handler that hangs for good keeps its place among those of
// WithConcurrency. When all of them hang nothing more comes, but what is here waits for as long as they hang: of each sender at most what WithPrefetch says, which by default is the concurrency
// then, so that one handler of one sender has nothing behind it. Time that a message waits before its handler is called does not count. It implies WithAtLeastOnce, and excludes WithKeyOrder and WithPriorities. A Subscriber needs
// pubsub.WithDurable. Default: zero, no limit: a message stays with its receiver for as long as that lives.
func WithLease(d time.Duration) Option {
	return func(cfg *conf.Config) error {
		if d < 0 {
			return fmt.Errorf("%w: WithLease(%v): want 0 (no limit) or more", socket.ErrOption, d)
		}
		cfg.Lease, cfg.AtLeastOnce = d, true
		return cfg.Check("WithLease", conf.Leased)
	}
}

// WithPrefetch sets how many messages may be here that are not handled: fewer share work more evenly where handlers are slow, and 1 has a receiver
// get one when it is done with the last; more keep fast handlers busy. With WithAtLeastOnce it is the credit of each sender, and holds
// to the message; without, what a connection holds comes on top. With WithPriorities and WithKeyOrder it is also how many messages there are to
// choose from. Default: 256, or twice the concurrency if that is more; with WithLease the concurrency, for what is here waits behind handlers that hang.
func WithPrefetch(n int) Option {
	return func(cfg *conf.Config) error {
		if n < 1 {
			return fmt.Errorf("%w: WithPrefetch(%d): want 1 or more", socket.ErrOption, n)
		}
		cfg.Prefetch = n
		return cfg.Check("WithPrefetch", conf.Prefetch)
	}
}

// KeyOrder says what becomes of a message with a key whose handler fails. A field that is zero has its default.
type KeyOrder struct {
	Attempts int           // of one worker, after which the message is rejected, and a dead letter; default 10
	Min, Max time.Duration // bounds of the pause between attempts, drawn as by socket.WithRetry; default 100 ms to 30 s
}

// WithKeyOrder has a worker handle the messages of one key ([WithKey]) one after the other, in the order they came, whatever the concurrency; those
// of different keys, and those without, run at the same time. One that fails is tried again here, not handed back to its sender, and those behind it wait
// for it; after order.Attempts it is given up, and they go on. What waits takes of the prefetch. It orders what one worker handles: to have one worker
// handle all of a key, send it to that one, as exchange.Split does. Default: off.
func WithKeyOrder(order KeyOrder) Option {
	return func(cfg *conf.Config) error {
		o := conf.KeyOrder{Attempts: cmp.Or(order.Attempts, 10), Min: cmp.Or(order.Min, 100*time.Millisecond), Max: cmp.Or(order.Max, 30*time.Second)}
		if o.Attempts < 1 || o.Min < 0 || o.Max < o.Min {
			return fmt.Errorf("%w: WithKeyOrder(%+v): want attempts of 1 or more, and 0 < min <= max", socket.ErrOption, o)
		}
		cfg.KeyOrder = &o
		return cfg.Check("WithKeyOrder", conf.KeyOrdered)
	}
}

// WithPriorities has a worker handle messages of a higher [Priority] first, of those that are here (WithPrefetch): what waits at their senders comes in its order. A
// lane that was passed over nine times has a turn, so that none stands still. Without it priorities are not looked at. Default: off.
func WithPriorities() Option {
	return func(cfg *conf.Config) error {
		cfg.Priorities = true
		return cfg.Check("WithPriorities", conf.Priorities)
	}
}

// DeadLetter is a message that was given up.
type DeadLetter struct {
	Reason   string          // why: what the last handler returned, or which limit was reached
	Attempts int             // that failed
	Envelope *codec.Envelope // with its id and headers as they were sent; nil if the message is none of ours
	Frames   [][]byte        // as they were sent
	Number   uint64          // among those of its sender, or its spool
	Buried   time.Time       // when it was given up
}

// WithDeadLetters has f called with each message that is given up, one at a time, by a goroutine of the sender's. f must not end the sender, which
// would wait for it, and must not panic: that ends the process. With WithSpool the letters are on disk as well, before f is called. Without either they are counted, and
// reported as events (socket.DeadLettered). It needs WithAtLeastOnce or WithSpool, of a Publisher pubsub.WithLog: the letters are then events that a durable name has given
// up. Default: none.
func WithDeadLetters(f func(DeadLetter)) Option {
	return func(cfg *conf.Config) error {
		if f == nil {
			return fmt.Errorf("%w: WithDeadLetters(nil): want a function", socket.ErrOption)
		}
		var mu sync.Mutex // the socket tells of some, a Producer of delayed ones
		cfg.DeadLetters = func(number uint64, reason string, attempts int, e *codec.Envelope, frames [][]byte) {
			mu.Lock()
			defer mu.Unlock()
			f(DeadLetter{Reason: reason, Attempts: attempts, Envelope: e, Frames: frames, Number: number, Buried: time.Now()})
		}
		return cfg.Check("WithDeadLetters", conf.DeadLetters)
	}
}
