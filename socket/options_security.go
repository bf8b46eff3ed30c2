package socket

import (
	"crypto/rand"
	"fmt"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// securityConfig is what options set about who may talk to the socket.
type securityConfig struct {
	mechanism   func() (zmtp.Mechanism, error) // for one handshake; nil for NULL
	mechanismOf string                         // the option that set it
	mechanismIs string                         // its name; empty for NULL
	authConfig
	rightsConfig
}

// secured is an option that sets the mechanism. There is one for all connections of a socket, and no other is spoken: else whoever sits on the way
// could have both sides agree on less.
func secured(option, name string, make func() (zmtp.Mechanism, error)) Option {
	return speaking(option, func(c *config) error {
		if c.mechanism != nil {
			return fmt.Errorf("%w: %s and %s: a socket has one security mechanism, in one role", ErrOption, c.mechanismOf, option)
		}
		c.mechanism, c.mechanismOf, c.mechanismIs = make, option, name
		return nil
	})
}

// WithCurveServer makes this side the server of CURVE (RFC 25) on all connections, bound or connected: peers have to know its public key and
// be CURVE clients, all traffic is encrypted, and each peer is known by its own key, Peer.PublicKey. Whether the key may come in says the authenticator; without one any may, as
// with libzmq. Peers that speak less than ZMTP 3.0, or another mechanism, are refused.
// libzmq: ZMQ_CURVE_SERVER, ZMQ_CURVE_SECRETKEY.
func WithCurveServer(keys KeyPair) Option {
	return func(c *config) error {
		prepared, err := keys.prepare()
		if err != nil {
			return fmt.Errorf("%w: WithCurveServer: %w", ErrOption, err)
		}
		return secured("WithCurveServer", "CURVE", func() (zmtp.Mechanism, error) {
			return zmtp.CurveServer(prepared, rand.Reader), nil
		})(c)
	}
}

// WithCurveClient makes this side a client of CURVE (RFC 25) on all connections: it talks to nobody but the owner of the server key, and shows
// its own key to that one. Keys are made with NewKeyPair; they may be new each time where the server lets any key in.
// libzmq: ZMQ_CURVE_SERVERKEY, ZMQ_CURVE_PUBLICKEY, ZMQ_CURVE_SECRETKEY.
func WithCurveClient(keys KeyPair, server PublicKey) Option {
	return func(c *config) error {
		prepared, err := keys.prepare()
		if err != nil {
			return fmt.Errorf("%w: WithCurveClient: %w", ErrOption, err)
		}
		if err := server.check(); err != nil {
			return fmt.Errorf("%w: WithCurveClient: server key: %w", ErrOption, err)
		}
		return secured("WithCurveClient", "CURVE", func() (zmtp.Mechanism, error) {
			return zmtp.CurveClient(prepared, server, rand.Reader)
		})(c)
	}
}

// WithPlainServer makes this side the server of PLAIN (RFC 24) on all connections: peers show a user and a password, which the authenticator checks;
// without one all are refused. Nothing is encrypted: it is for networks that are, such as ipc or a tunnel.
// libzmq: ZMQ_PLAIN_SERVER.
func WithPlainServer() Option {
	return secured("WithPlainServer", "PLAIN", func() (zmtp.Mechanism, error) { return zmtp.PlainServer(), nil })
}

// WithPlainClient makes this side a client of PLAIN (RFC 24) on all connections: it shows user and password, of at most 255 bytes each, to whoever it
// is connected to. libzmq: ZMQ_PLAIN_USERNAME, ZMQ_PLAIN_PASSWORD.
func WithPlainClient(user, password string) Option {
	return func(c *config) error {
		if len(user) > 255 || len(password) > 255 {
			return bad("WithPlainClient", fmt.Sprint(len(user), " bytes, ", len(password), " bytes"), "want at most 255 bytes each")
		}
		return secured("WithPlainClient", "PLAIN", func() (zmtp.Mechanism, error) { return zmtp.PlainClient(user, password) })(c)
	}
}
