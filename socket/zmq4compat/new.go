package zmq4

import (
	"context"

	"github.com/meshmq/meshmq/socket"
)

// NewPair returns a PAIR socket, which talks to one peer. As with all constructors here, ctx is the life of the socket, which is closed when
// it ends; nil is none. It uses nothing before Listen or Dial; Close it in the end.
func NewPair(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Pair, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewPair(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
}

// NewReq returns a REQ socket: Send a request, Recv its reply.
func NewReq(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Req, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewReq(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
}

// NewRep returns a REP socket: Recv a request, Send its reply.
func NewRep(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Rep, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewRep(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
}

// NewDealer returns a DEALER socket, which deals messages out over its peers in turn and receives from all.
func NewDealer(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Dealer, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewDealer(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
}

// NewRouter returns a ROUTER socket. The first frame of each message is the identity of the peer that it is from, or for.
func NewRouter(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Router, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewRouter(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
}

// NewPush returns a PUSH socket, which sends each message to one of its peers in turn.
func NewPush(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Push, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewPush(opts...)
		s.sck, s.send = n, n.Send
	})
}

// NewPull returns a PULL socket, which receives from all its peers.
func NewPull(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, Pull, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewPull(opts...)
		s.sck, s.recv = n, n.Recv
	})
}

// NewPub returns a PUB socket. It has Topics.
func NewPub(ctx context.Context, opts ...Option) Socket {
	var n *socket.Pub
	s := newSock(ctx, Pub, opts, func(s *sock, opts []socket.Option) {
		n = socket.NewPub(opts...)
		s.sck, s.send = n, n.Send
	})
	return topical{s, n.Topics}
}

// NewXPub returns an XPUB socket, whose Recv returns subscriptions: 1 or 0 and the topic. It has Topics.
func NewXPub(ctx context.Context, opts ...Option) Socket {
	var n *socket.XPub
	s := newSock(ctx, XPub, opts, func(s *sock, opts []socket.Option) {
		n = socket.NewXPub(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
	return topical{s, n.Topics}
}

// NewSub returns a SUB socket, which receives nothing before SetOption(OptionSubscribe, topic). Send takes what that sends: a
// message of one frame, 1 or 0 and the topic. It has Topics.
func NewSub(ctx context.Context, opts ...Option) Socket {
	var n *socket.Sub
	s := newSock(ctx, Sub, opts, func(s *sock, opts []socket.Option) {
		n = socket.NewSub(opts...)
		s.sck, s.recv = n, n.Recv
		s.send = func(_ context.Context, frames ...[]byte) error {
			if len(frames) != 1 || len(frames[0]) == 0 || frames[0][0] > 1 {
				return s.cannot("send anything but subscriptions")
			}
			return change(n, string(frames[0][1:]), frames[0][0] == 1)
		}
	})
	return topical{s, n.Topics}
}

// NewXSub returns an XSUB socket. It subscribes by Send of a message of one frame, 1 or 0 and the topic.
func NewXSub(ctx context.Context, opts ...Option) Socket {
	return newSock(ctx, XSub, opts, func(s *sock, opts []socket.Option) {
		n := socket.NewXSub(opts...)
		s.sck, s.send, s.recv = n, n.Send, n.Recv
	})
}

// topical is a sock that has Topics.
type topical struct {
	*sock
	topics func() []string
}

// Topics returns the topics that a SUB subscribed to, or the subscribers of a PUB or XPUB, sorted.
func (t topical) Topics() []string { return t.topics() }

var _ Topics = topical{}
