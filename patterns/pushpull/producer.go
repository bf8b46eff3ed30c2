package pushpull

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/inplace"
	"github.com/meshmq/meshmq/socket/spool"
)

// Producer sends values of type T to workers. It embeds its socket: Bind and Connect lead to workers. It is safe for use by any number of
// goroutines.
type Producer[T any] struct {
	*socket.Push
	sealer   wire.Sealer
	line     wire.Line
	typeName string
	stencil  codec.Stencil
	queue    inplace.Lender // nil where the values are not of a kind that can be written there
	boxes    sync.Pool      // of *box[T]
	last     atomic.Int32   // the length of the last message, or one like it: the next may be as long
	log      *spool.Log     // nil without WithSpool
	delay    *delay
	err      error // what the options did wrong
}

// box is where a value is while it is sent, so that it takes no memory of its own.
type box[T any] struct {
	value  T
	buffer wire.Buffer
}

// producerUses are the options a Producer has a use for.
const producerUses = conf.Source | conf.SendMiddleware | conf.OnError | conf.AtLeastOnce | conf.Spooled | conf.DeadLetters

// NewProducer returns a Producer. It uses nothing but the directory of a spool until Bind or Connect; end it with Shutdown or Close.
func NewProducer[T any](opts ...patterns.Option) *Producer[T] {
	c, err := conf.Make("NewProducer", producerUses,
		conf.Config{Codec: codec.Msgpack, OnError: patterns.LogError, Socket: []socket.Option{socket.WithPeerLimits()}}, opts)
	p := &Producer[T]{typeName: wire.NameOf(c.Schemas, reflect.TypeFor[T]())}
	p.boxes.New = func() any { return new(box[T]) }
	if c.Spool != nil && err == nil {
		if p.log, err = openSpool(c.Spool.Dir, c.Spool.Options); err != nil {
			err = fmt.Errorf("%w: WithSpool: %w", socket.ErrOption, err)
		}
	}
	p.err = err
	p.Push = socket.NewPush(pushing(&c, p.log)...)
	p.sealer = wire.NewSealer(patterns.Work, c)
	p.stencil = p.sealer.Stencil(p.typeName, nil, reflect.TypeFor[T]())
	if _, ok := codec.AppendValue(&p.stencil, nil, nil, new(T)); ok {
		p.queue = inplace.Of(p.Push)
	}
	p.delay = newDelay(p.Push, c.OnError)
	p.delay.died = c.DeadLetters
	if p.log != nil {
		p.err = p.delay.keep(c.Spool)
	}
	p.line = func(ctx context.Context, o *patterns.Outgoing, frame []byte) error {
		if len(o.Envelope.Headers) > 0 {
			due, err := patterns.NotBefore(o.Envelope)
			if err != nil {
				return err
			}
			if due.After(time.Now()) {
				return p.delay.add(ctx, due, frame)
			}
		}
		return p.Push.Send(ctx, frame)
	}
	return p
}

// pushing returns the options of a Producer's socket, those of the user last.
func pushing(c *conf.Config, log *spool.Log) (opts []socket.Option) {
	if c.AtLeastOnce {
		opts = append(opts, socket.WithAck())
	}
	if log != nil {
		opts = append(opts, socket.WithSpoolOn(socket.SpoolOf(log)))
	}
	if f := c.DeadLetters; f != nil {
		opts = append(opts, socket.WithDeadLetter(func(d socket.DeadLetter) {
			f(d.Number, d.Reason, d.Attempts, envelopeOf(d.Frames), d.Frames)
		}))
	}
	return append(opts, c.Socket...)
}

// envelopeOf returns the envelope of a message, nil if it has none.
func envelopeOf(frames [][]byte) *codec.Envelope {
	if len(frames) != 1 {
		return nil
	}
	e, err := wire.Open(frames[0])
	if err != nil {
		return nil
	}
	return e
}

// Send hands v to one worker. It blocks while no worker is connected or all queues are full, until ctx ends: the error
// is then socket.ErrNoPeer or socket.ErrFull, and socket.ErrTimeout if a deadline passed. With a
// context that has ended already it is a try. What is larger than any worker takes that is connected is socket.ErrTooLarge. Nil means
// that the message is queued; v is not referred to any more.
//
// The message bears the time it is now. Where messages without options follow each other within microseconds up to 16 bear that of the first, which may be a millisecond old, a time
// slice more where all processors are busy, or as old as a stop between them: SIGSTOP, suspend, a pause of the virtual machine.
//
// With patterns.WithSpool nil means that it is as safe as the spool's policy says, and no worker need be there. With patterns.WithDelay and
// WithNotBefore nil means that it is kept until then, and sent as if Send were called then, by a context that does not end; in
// memory there is room for 65536, and for 64 MiB, beyond which the error is socket.ErrFull. One that is then too large is given up, and
// told to patterns.WithOnError and WithDeadLetters; with a spool it is a dead letter of that in the folder "delayed".
func (p *Producer[T]) Send(ctx context.Context, v T, opts ...patterns.SendOption) error {
	if p.err != nil {
		return fmt.Errorf("send: %w", p.err)
	}
	if last := p.last.Load(); last <= small && p.queue != nil && len(opts) == 0 {
		if sent, err := p.sendSmall(ctx, v, last <= inRow); sent {
			return err
		}
	}
	b := p.boxes.Get().(*box[T])
	b.value = v
	err := p.send(ctx, b, opts)
	b.value = *new(T)
	b.buffer.Close()
	p.boxes.Put(b)
	return err
}

const (
	// inRow is how long a message may be that is made in the queue: as long as those that may follow each other there.
	inRow = math.MaxUint8
	// small is how long one may be that is made on the stack: an envelope and 200 bytes.
	small = 288
)

// sendSmall sends a message without options, if there is nothing to say about it that the Stencil does not.
func (p *Producer[T]) sendSmall(ctx context.Context, v T, inRow bool) (sent bool, err error) {
	parent, ok := wire.Parent(ctx)
	if !ok {
		return false, nil
	}
	if inRow {
		if room, to := p.queue.Lend(); room != nil {
			frame, ok := codec.AppendValue(&p.stencil, room[:0], parent, &v)
			if ok && len(frame) <= len(room) {
				to.Fill(len(frame))
				return true, nil
			}
			if to.Fill(-1); !ok {
				return false, nil
			}
			return true, p.sendFrame(ctx, frame)
		}
	}
	return p.sendStacked(ctx, parent, v)
}

// sendStacked is sendSmall where the queue lends no room.
func (p *Producer[T]) sendStacked(ctx context.Context, parent *codec.Envelope, v T) (sent bool, err error) {
	var room [small]byte
	frame, ok := codec.AppendValue(&p.stencil, room[:0], parent, &v)
	if !ok {
		return false, nil
	}
	return true, p.sendFrame(ctx, frame)
}

// sendFrame sends a message, and notes what the next may be like.
func (p *Producer[T]) sendFrame(ctx context.Context, frame []byte) error {
	if last := p.last.Load(); (last > inRow) != (len(frame) > inRow) || (last > small) != (len(frame) > small) {
		p.last.Store(int32(min(len(frame), small+1)))
	}
	return p.Push.Send(ctx, frame)
}

func (p *Producer[T]) send(ctx context.Context, b *box[T], opts []patterns.SendOption) error {
	if len(opts) > 0 || !p.sealer.Plain() {
		return p.sealer.Seal(ctx, "", &codec.Envelope{Type: p.typeName}, &b.value, opts, p.line)
	}
	frame, err := p.sealer.Frame(ctx, &b.buffer, &p.stencil, p.typeName, nil, &b.value)
	if err != nil {
		return err
	}
	return p.sendFrame(ctx, frame)
}

// Delayed returns how many messages wait for their time. WaitAcked does not wait for them.
func (p *Producer[T]) Delayed() int { return p.delay.len() }

// Delays returns how the messages fared that were to wait for their time.
func (p *Producer[T]) Delays() patterns.Delays { return p.delay.stats() }

// Shutdown ends the Producer in order: it waits until all that was sent is written, or acknowledged where it is to be, or until ctx ends; the error then says
// what was left. With a spool that stays there (socket.ErrSpooled). Messages that wait for their time are not waited for: the error says how
// many there are, which is socket.ErrSpooled if they are in a spool, and socket.ErrClosed if they are lost.
func (p *Producer[T]) Shutdown(ctx context.Context) error {
	p.delay.stop()
	return p.end(p.Push.Shutdown(ctx))
}

// Close ends the Producer, within the linger period of its socket. What is left is dropped, counted and reported, unless it is in a spool. Closing
// again does nothing.
func (p *Producer[T]) Close() error {
	p.delay.stop()
	return p.end(p.Push.Close())
}

// end closes what the socket has not.
func (p *Producer[T]) end(err error) error {
	err = errors.Join(err, p.delay.close())
	if p.log != nil {
		err = errors.Join(err, p.log.Close()) // the socket did, unless its options were wrong
	}
	return err
}
