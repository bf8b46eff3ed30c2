package bench

import "github.com/meshmq/meshmq/socket"

// serverKeys and clientKeys are of the near side and the far one. Everybody knows them, which a measurement does not mind.
var (
	serverKeys = socket.SecretKey{0: 1}.Pair()
	clientKeys = socket.SecretKey{0: 2}.Pair()
)

// near are the options of a near socket.
func (c *Config) near(opts ...socket.Option) []socket.Option {
	if c.Curve {
		opts = append(opts, socket.WithCurveServer(serverKeys))
	}
	return opts
}

// far are the options of a far socket.
func (p *Peer) far(opts ...socket.Option) []socket.Option {
	if p.Curve {
		opts = append(opts, socket.WithCurveClient(clientKeys, serverKeys.Public))
	}
	return opts
}
