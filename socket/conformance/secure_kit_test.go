package conformance

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// secret is a peer that does a handshake with a mechanism by hand.
type secret struct {
	*sockettest.RawPeer
	t    *testing.T
	h    *zmtp.Handshake
	mend func(name string, data []byte) []byte // changes the data of a command before it is sent; nil for nothing
	rest []byte                                // read behind the handshake
}

// secretPeer prepares one to be a PUSH at the other end of an endpoint.
func secretPeer(t *testing.T, endpoint string, m zmtp.Mechanism) *secret {
	t.Helper()
	h, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.Push, Mechanism: m})
	require.NoError(t, err)
	return &secret{RawPeer: dialRaw(t, endpoint), t: t, h: h}
}

// plainServer are the options of a server of PLAIN that knows one user.
func plainServer() []socket.Option {
	known := socket.StaticPasswords(map[string]string{"user": "secret"})
	return []socket.Option{socket.WithPlainServer(), socket.WithAuthenticator(known)}
}

// curveClient is the mechanism of somebody with new keys.
func curveClient(t *testing.T, server socket.PublicKey) zmtp.Mechanism {
	t.Helper()
	keys := socket.NewKeyPair()
	m, err := zmtp.CurveClient(zmtp.CurveKeys{Public: keys.Public, Secret: keys.Secret}, server, rand.Reader)
	require.NoError(t, err)
	return m
}

// shake does the handshake. It returns why it failed: io.EOF when the other side hung up.
func (s *secret) shake() error {
	conn := s.Conn()
	require.NoError(s.t, conn.SetDeadline(time.Now().Add(sockettest.Timeout)))
	if _, err := conn.Write(s.h.Start()); err != nil {
		return io.EOF
	}
	for buf := make([]byte, 4096); !s.h.Done(); {
		n, err := conn.Read(buf)
		if n == 0 && err != nil {
			require.NotErrorIs(s.t, err, os.ErrDeadlineExceeded, "it neither answers nor hangs up")
			return io.EOF
		}
		used, out, err := s.h.Step(buf[:n])
		if _, asked := s.h.Pending(); asked {
			out, err = s.h.Answer(zmtp.Verdict{Decision: zmtp.Allow})
		}
		if err != nil {
			return err
		}
		if len(out) > 0 {
			if _, err := conn.Write(s.mended(out)); err != nil {
				return io.EOF
			}
		}
		s.rest = bytes.Clone(buf[used:n])
	}
	return nil
}

func (s *secret) mended(command []byte) []byte {
	_, _, h, err := zmtp.ParseHeader(command)
	require.NoError(s.t, err)
	name, data, err := zmtp.ParseCommand(command[h:])
	require.NoError(s.t, err)
	if s.mend == nil {
		return command
	}
	return zmtp.AppendCommand(nil, string(name), s.mend(string(name), bytes.Clone(data)))
}

// requireRefused waits until a handshake has failed for this reason.
func requireRefused(t *testing.T, await func(socket.EventKind) socket.Event, why zmtp.Reason) {
	t.Helper()
	e := await(socket.HandshakeFailed)
	var refused *socket.HandshakeError
	require.ErrorAs(t, e.Err, &refused)
	require.Equal(t, why, refused.Reason, refused.Error())
}
