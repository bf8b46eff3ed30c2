package socket

import "context"

// RecvHold is Recv for goroutines that handle what they receive and mostly are back in a moment. Of several that are in Recv, one reads the
// connection of the only peer itself. When it leaves Recv with a message another takes its place, which costs more than a short
// message takes to handle; when it leaves RecvHold none does before it is back, somebody calls HandOn, or some 20 to 100 ms have passed.
// What has arrived by then, and what other peers send, goes to the others at once.
func (s *Router) RecvHold(ctx context.Context) (Msg, error) {
	r := &s.receiver
	if r.acks.onNext {
		return r.recvNext(ctx)
	}
	m, _, err := r.recv(ctx, nil, true)
	return m, err
}

// HandOn has another caller of Recv or RecvHold read, if nobody does: the caller will not be back soon. It never blocks.
func (s *Router) HandOn() {
	r := &s.receiver
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.sole.Load(); p != nil && !p.reading.Load() {
		r.wait.wake()
	}
}
