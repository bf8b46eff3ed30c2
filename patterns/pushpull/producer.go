package pushpull

import (
	"context"
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket"
)

// Producer sends values of type T to workers. It embeds its socket: Bind and Connect lead to workers, Close and
// Shutdown end it. It is safe for use by any number of goroutines.
type Producer[T any] struct {
	*socket.Push
	sealer   wire.Sealer
	line     wire.Line
	typeName string
	err      error // what the options did wrong
}

// NewProducer returns a Producer. It uses nothing until Bind or Connect; Close it in the end.
func NewProducer[T any](opts ...patterns.Option) *Producer[T] {
	c, err := conf.Make("NewProducer", conf.Source|conf.SendMiddleware, conf.Config{Codec: codec.Msgpack}, opts)
	p := &Producer[T]{
		Push:     socket.NewPush(c.Socket...),
		sealer:   wire.NewSealer(patterns.Work, c),
		typeName: wire.NameOf(c.Schemas, reflect.TypeFor[T]()),
		err:      err,
	}
	p.line = func(ctx context.Context, _ *patterns.Outgoing, frame []byte) error { return p.Push.Send(ctx, frame) }
	return p
}

// Send hands v to one worker. It blocks while no worker is connected or all queues are full, until ctx ends: the error
// is then socket.ErrNoPeer or socket.ErrFull, and socket.ErrTimeout if a deadline passed. With a
// context that has ended already it is a try. Nil means that the message is queued; v is not
// referred to any more.
func (p *Producer[T]) Send(ctx context.Context, v T, opts ...patterns.SendOption) error {
	if p.err != nil {
		return fmt.Errorf("send: %w", p.err)
	}
	return p.sealer.Seal(ctx, "", codec.Envelope{Type: p.typeName}, &v, opts, p.line)
}
