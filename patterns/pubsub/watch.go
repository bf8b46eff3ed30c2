package pubsub

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// watch reports publishers that are no good to the Subscriber, or that it is no good to, until ctx ends.
func (s *Subscriber) watch(ctx context.Context) {
	events := s.Sub.Events(ctx)
	inexact := map[*socket.Peer]bool{} // reported, or none
	refused := map[string]string{}     // what is reported, by endpoint: a publisher says so each time we come
	for _, p := range s.Sub.Stats().Peers {
		s.checkExact(ctx, p.Peer, inexact)
	}
	for e := range events {
		switch e.Kind {
		case socket.Connected:
			s.checkExact(ctx, e.Peer, inexact)
		case socket.Disconnected:
			delete(inexact, e.Peer)
			if err := refusal(e.Err); err != nil && refused[e.Endpoint] != err.Error() {
				refused[e.Endpoint] = err.Error()
				s.conf.OnError(ctx, patterns.NewError("subscribe", nil, e.Peer.Address(), err))
			}
		case socket.Resumed:
			delete(refused, e.Endpoint)
		}
	}
}

// refusal returns what a publisher has said that ended its connection, nil for nothing.
func refusal(err error) *zmtp.HandshakeError {
	if h, ok := errors.AsType[*zmtp.HandshakeError](err); ok && h.Reason == zmtp.PeerError {
		return h
	}
	return nil
}

// checkExact reports a publisher, once, that does not end its topics.
func (s *Subscriber) checkExact(ctx context.Context, p *socket.Peer, told map[*socket.Peer]bool) {
	if !s.conf.Events.Exact || p == nil || told[p] {
		return
	}
	told[p] = true
	if value, _ := p.Property(topicsProperty); value != exactTopics {
		s.conf.OnError(ctx, patterns.NewError("subscribe", nil, p.Address(), fmt.Errorf("%w: patterns without wildcards get nothing from it", ErrInexact)))
	}
}
