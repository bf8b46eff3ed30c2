package zmq4

import (
	"context"
	"fmt"

	"github.com/meshmq/meshmq/socket"
)

// Proxy passes messages between two sockets: see NewProxy. All methods may be called by any number of goroutines.
type Proxy struct {
	ctx   context.Context
	proxy *socket.Proxy
	err   error
}

// NewProxy returns a proxy that passes what front receives on to back, and the other way, where both can. Copies go to capture, if it is
// not nil: a PUB, PUSH, DEALER or PAIR. The sockets are to be made by this package; with others Run fails. Listen or
// Dial is the caller's part.
func NewProxy(ctx context.Context, front, back, capture Socket) *Proxy {
	if ctx == nil {
		ctx = context.Background()
	}
	p := &Proxy{ctx: ctx}
	f, b := p.end("front", front), p.end("back", back)
	var opts []socket.ProxyOption
	if capture != nil {
		opts = append(opts, socket.WithCapture(p.end("capture", capture)))
	}
	p.proxy = socket.NewProxy(f, b, opts...)
	return p
}

// end returns the socket inside s.
func (p *Proxy) end(name string, s Socket) socket.ProxyEnd {
	var in *sock
	switch s := s.(type) {
	case *sock:
		in = s
	case topical:
		in = s.sock
	default:
		p.err = fmt.Errorf("%w: NewProxy: the %s is a %T, want a socket of this package", socket.ErrOption, name, s)
		return nil
	}
	if in.bad != nil {
		p.err = in.bad
	}
	return in.sck
}

// Run passes messages until Kill, which makes it return nil, the end of the context, or the end of a socket.
func (p *Proxy) Run() error {
	if p.err != nil {
		return p.err
	}
	return p.proxy.Run(p.ctx)
}

// Pause stops the proxy from taking messages until Resume.
func (p *Proxy) Pause() { p.proxy.Pause() }

// Resume ends Pause.
func (p *Proxy) Resume() { p.proxy.Resume() }

// Kill ends Run, now or when it is called.
func (p *Proxy) Kill() { p.proxy.Terminate() }

// Stats returns the counters.
func (p *Proxy) Stats() socket.ProxyStats { return p.proxy.Stats() }
