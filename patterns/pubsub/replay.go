package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/conf"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/patterns/internal/wire"
	"github.com/meshmq/meshmq/socket/spool"
)

// Replay calls handler for each event in a Publisher's log whose topic matches pattern, from the given place to what is the end at the time, in order, on the caller's
// goroutine. It is how the process that has the log builds a read model; others have a Subscriber with a durable name that is new. Nothing is acknowledged or
// moved, and expired events are history, too. The log may be in use: see WithLogOn.
//
// next is where to go on, with spool.At: behind the end when err is nil, and else at the event that handler returned an error or panicked for, or that does not decode; a *spool.Gap says which events are
// gone, and next is behind them. ctx is looked at between events. The options are WithCodec, WithAnyType and that of schemas.
func Replay[T any](ctx context.Context, log *spool.Log, from spool.Start, pattern string, handler func(ctx context.Context, topic string, v T) error, opts ...patterns.Option) (next uint64, err error) {
	c, err := conf.Make("Replay", conf.AnyType, conf.Config{Codec: codec.Msgpack}, opts)
	if err := errors.Join(err, CheckPattern(pattern)); err != nil {
		return 0, fmt.Errorf("replay: %w", err)
	}
	typeName := ""
	if !c.AnyType {
		typeName = wire.NameOf(c.Schemas, reflect.TypeFor[T]())
	}
	reader := log.Reader(from)
	defer reader.Close()
	for end := log.Next(); reader.Number() < end; {
		if err := ctx.Err(); err != nil {
			return reader.Number(), fmt.Errorf("replay: %w", err)
		}
		r, err := reader.TryNext()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = replay(ctx, &c, r.Frames, pattern, typeName, handler)
		} else {
			return reader.Number(), fmt.Errorf("replay: %w", err)
		}
		if err != nil {
			return r.Number, fmt.Errorf("replay event %d: %w", r.Number, err)
		}
	}
	return reader.Number(), nil
}

// replay handles one event of a log.
func replay[T any](ctx context.Context, c *conf.Config, frames [][]byte, pattern, typeName string, handler func(context.Context, string, T) error) error {
	if len(frames) < 2 {
		return fmt.Errorf("%w: %d frames, want topic and envelope", patterns.ErrMalformed, len(frames))
	}
	topic, err := topicOf(frames[0])
	if err != nil {
		return fmt.Errorf("%w: %w", patterns.ErrMalformed, err)
	}
	if !Match(pattern, topic) {
		return nil
	}
	var e codec.Envelope
	var v T
	if err := wire.OpenInto(&e, frames[1]); err != nil {
		return err
	}
	if err := wire.CheckType(&e, typeName); err != nil {
		return err
	}
	if err := wire.Decode(&e, c.Codec, c.Schemas, &v); err != nil {
		return err
	}
	return intake.Attempt(func() error { return handler(patterns.NewContext(ctx, &e), topic, v) })
}
