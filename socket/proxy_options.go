package socket

import (
	"fmt"
	"reflect"
	"slices"
	"time"
)

// ProxyOption sets one property of a Proxy.
type ProxyOption func(*proxyConfig) error

type proxyConfig struct {
	capturing   ProxyEnd
	capture     proxySender // capturing, nil without
	captureWait bool
	routeWait   time.Duration
}

func defaultProxyConfig() proxyConfig {
	return proxyConfig{
		routeWait: time.Second, // a pause of a peer of good will is shorter
	}
}

// WithCapture has a copy of each message, either way, sent to s: a PUB, PUSH, DEALER or PAIR socket (the capture of zmq_proxy). It is
// sent before the message itself, so that what a peer answers is captured after what it was asked. A message that s has no
// room for goes on without a copy, which is counted; see WithCaptureWait.
func WithCapture(s ProxyEnd) ProxyOption {
	return func(c *proxyConfig) error {
		if s == nil || !slices.Contains([]string{"PUB", "PUSH", "DEALER", "PAIR"}, s.Type()) {
			return bad("WithCapture", typeOf(s), "want a PUB, PUSH, DEALER or PAIR socket")
		}
		to, sends := s.(proxySender)
		if !sends {
			return bad("WithCapture", typeOf(s), "want a socket with a method Send")
		}
		c.capturing, c.capture = s, to
		return nil
	}
}

// WithCaptureWait makes messages wait until the capture socket has room, so that none goes on without a copy. A PUB has always room.
func WithCaptureWait() ProxyOption {
	return func(c *proxyConfig) error {
		c.captureWait = true
		return nil
	}
}

// WithRouteWait sets how long a message for a ROUTER's peer waits for room when that peer's queue is full. It holds up the messages for
// the others; after that the message is dropped and counted, and so are further ones for that peer, without a wait, until it
// takes one. The more peers there are like that, the shorter it is. Default 1 s; zero means that none waits, as with libzmq.
func WithRouteWait(d time.Duration) ProxyOption {
	return func(c *proxyConfig) error {
		if d < 0 {
			return bad("WithRouteWait", d, "want 0 or more")
		}
		c.routeWait = d
		return nil
	}
}

// check returns why a proxy between the two ends is not possible, if so.
func (c *proxyConfig) check(frontend, backend ProxyEnd) error {
	for i, end := range []ProxyEnd{frontend, backend} {
		side := [...]string{"frontend", "backend"}[i]
		switch {
		case end == nil:
			return fmt.Errorf("%w: NewProxy: the %s is nil", ErrOption, side)
		case end.Type() == "REQ" || end.Type() == "REP":
			return fmt.Errorf("%w: NewProxy: the %s is a %s socket, which holds one request at a time: want DEALER or ROUTER", ErrOption, side, end.Type())
		case c.capturing != nil && same(c.capturing, end):
			return fmt.Errorf("%w: WithCapture(%s): it is the %s", ErrOption, end.Type(), side)
		}
	}
	if c.captureWait && c.capture == nil {
		return fmt.Errorf("%w: WithCaptureWait without WithCapture", ErrOption)
	}
	return nil
}

// same reports whether both are one socket. Ends that cannot be compared are not.
func same(a, b ProxyEnd) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

func typeOf(s ProxyEnd) string {
	if s == nil {
		return "nil"
	}
	return s.Type()
}
