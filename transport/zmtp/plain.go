package zmtp

import (
	"bytes"
	"fmt"
)

// Names of the handshake commands of PLAIN and CURVE.
const (
	CommandHello    = "HELLO"
	CommandWelcome  = "WELCOME"
	CommandInitiate = "INITIATE"
)

// PlainClient is the client's side of PLAIN (RFC 24), for one handshake: it shows a user and a password, which any listener on the way can read.
// Each has 0 to 255 octets.
func PlainClient(user, password string) (Mechanism, error) {
	if len(user) > 255 || len(password) > 255 {
		return nil, fmt.Errorf("zmtp: PLAIN with a user of %d octets and a password of %d, want at most 255 each", len(user), len(password))
	}
	return &plainClient{user: user, password: password}, nil
}

// PlainServer is the server's side of PLAIN (RFC 24), for one handshake: Handshake.Pending returns the user and the password.
func PlainServer() Mechanism { return &plainServer{} }

const plain = "PLAIN"

// plainClient says HELLO, waits for WELCOME, says INITIATE, waits for READY.
type plainClient struct {
	user, password string
	welcome, ready bool
}

func (*plainClient) name() string             { return plain }
func (*plainClient) role() role               { return client }
func (*plainClient) overhead() int            { return 1 + len(CommandInitiate) }
func (p *plainClient) done() bool             { return p.ready }
func (*plainClient) allowed(*Handshake) error { return nil }

// closed: RFC 27 has a server that knows no answer yet, status 300, say nothing.
func (p *plainClient) closed() error {
	if p.welcome {
		return nil
	}
	return unanswered()
}

func (p *plainClient) start(h *Handshake) error {
	hello := append([]byte{byte(len(p.user))}, p.user...)
	hello = append(append(hello, byte(len(p.password))), p.password...)
	h.out = AppendCommand(h.out, CommandHello, hello)
	return nil
}

func (p *plainClient) command(h *Handshake, name string, data []byte) error {
	switch {
	case !p.welcome && name == CommandHello:
		return refuse(RoleMismatch, "both sides are clients of PLAIN")
	case !p.welcome:
		return p.welcomed(h, name, data)
	case name != CommandReady:
		return unexpected(name, CommandReady)
	}
	if err := h.acceptMetadata(data); err != nil {
		return err
	}
	p.ready = true
	return h.identified()
}

func (p *plainClient) welcomed(h *Handshake, name string, data []byte) error {
	if name != CommandWelcome {
		return unexpected(name, CommandWelcome)
	}
	if len(data) > 0 {
		return refuse(MalformedCommand, "WELCOME has %d octets of data, want none", len(data))
	}
	p.welcome = true
	if err := h.admitted(); err != nil {
		return err
	}
	h.out = AppendCommand(h.out, CommandInitiate, h.metadata)
	return nil
}

// plainServer is the other side.
type plainServer struct{ hello, ready bool }

func (*plainServer) name() string           { return plain }
func (*plainServer) role() role             { return server }
func (*plainServer) overhead() int          { return 1 + len(CommandReady) }
func (*plainServer) start(*Handshake) error { return nil }
func (p *plainServer) done() bool           { return p.ready }
func (*plainServer) closed() error          { return nil }

func (p *plainServer) command(h *Handshake, name string, data []byte) error {
	switch {
	case !p.hello && name != CommandHello:
		return unexpected(name, CommandHello)
	case !p.hello:
		return p.greeted(h, data)
	case name != CommandInitiate:
		return unexpected(name, CommandInitiate)
	}
	if err := h.acceptMetadata(data); err != nil {
		return err
	}
	if err := h.admitted(); err != nil {
		return err
	}
	if err := h.identified(); err != nil {
		return err
	}
	h.out = AppendCommand(h.out, CommandReady, h.metadata)
	p.ready = true
	return nil
}

// greeted takes HELLO: user and password, each behind its one-octet length.
func (p *plainServer) greeted(h *Handshake, data []byte) error {
	user, rest, ok := cutShort(data)
	password, rest, also := cutShort(rest)
	if !ok || !also || len(rest) > 0 {
		return refuse(MalformedCommand, "HELLO of %d octets is not a user and a password", len(data))
	}
	p.hello = true
	h.ask(Credentials{User: string(user), Password: string(password)})
	return nil
}

func (p *plainServer) allowed(h *Handshake) error {
	h.out = AppendCommand(h.out, CommandWelcome)
	return nil
}

// ungarbled mends the ERROR command of libzmq's server of PLAIN (4.3.4), in which the length of the name and its first letter have become one octet.
func ungarbled(body []byte) []byte {
	if rest, garbled := bytes.CutPrefix(body, []byte("\x5eRROR")); garbled {
		return append([]byte("\x05ERROR"), rest...)
	}
	return body
}

// cutShort cuts a string with a one-octet length off b.
func cutShort(b []byte) (text, rest []byte, ok bool) {
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, nil, false
	}
	return b[1 : 1+b[0]], b[1+b[0]:], true
}
