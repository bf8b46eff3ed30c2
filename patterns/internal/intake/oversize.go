package intake

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// watch has oversized reports until it is told to stop, which waits for that.
func (l *Loop) watch() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	events := l.sock.Events(ctx) // from before Run takes anything
	var watch sync.WaitGroup
	watch.Go(func() { l.oversized(events) })
	return func() {
		cancel()
		watch.Wait()
	}
}

// oversized counts and reports messages that are larger than the socket takes. No Recv returns them: they end the connection, and with it what else was on the way.
func (l *Loop) oversized(events iter.Seq[socket.Event]) {
	for e := range events {
		if e.Kind == socket.Disconnected && errors.Is(e.Err, socket.ErrTooLarge) {
			l.malformed.Add(1)
			l.onError(context.Background(), patterns.NewError("receive", nil, e.Peer.Address(), e.Err))
		}
	}
}
