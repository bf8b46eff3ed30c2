package socket_test

import (
	"crypto/rand"
	"crypto/tls"
	"io"
	"testing"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// comesWith is the mechanism of good peers, empty for NULL; these tests are not run in parallel.
var comesWith string

// comesThrough is the TLS of good peers, nil for none; the same holds.
var comesThrough *tls.Config

// securely are the options that a socket has a mechanism with, as the side that may be connected to.
func securely() map[string][]socket.Option {
	return map[string][]socket.Option{
		"PLAIN": {socket.WithPlainServer(), socket.WithAuthenticator(socket.StaticPasswords(map[string]string{"user": "password"}))},
		"CURVE": {socket.WithCurveServer(besiegedKeys)},
	}
}

// assaultSecured is assault on sockets with a mechanism. That good peers are served means that they shake hands.
func assaultSecured(t *testing.T, mechanism string, attack func(g *siege)) {
	t.Helper()
	comesWith = mechanism
	defer func() { comesWith = "" }()
	assault(t, nil, attack, securely()[mechanism]...)
}

// shakeHands does the handshake of comesWith as a good peer would.
func shakeHands(conn io.ReadWriter, socketType string) error {
	_, err := enterAs(conn, socketType, comesWith)
	return err
}

// enterAs does the handshake of a mechanism as a good peer would.
func enterAs(conn io.ReadWriter, socketType, with string, announced ...zmtp.Property) (*zmtp.Handshake, error) {
	if with == "CURVE" {
		return enterCurve(conn, socketType, socket.NewKeyPair(), announced...)
	}
	mechanism, err := zmtp.PlainClient("user", "password")
	if err != nil {
		return nil, err
	}
	return enterWith(conn, socketType, mechanism, announced...)
}

// enterCurve is enterAs with CURVE and this key.
func enterCurve(conn io.ReadWriter, socketType string, own socket.KeyPair, announced ...zmtp.Property) (*zmtp.Handshake, error) {
	mechanism, err := zmtp.CurveClient(zmtp.CurveKeys{Public: own.Public, Secret: own.Secret}, besiegedKeys.Public, rand.Reader)
	if err != nil {
		return nil, err
	}
	return enterWith(conn, socketType, mechanism, announced...)
}

// enterWith does the handshake of a mechanism, NULL if that is nil.
func enterWith(conn io.ReadWriter, socketType string, mechanism zmtp.Mechanism, announced ...zmtp.Property) (*zmtp.Handshake, error) {
	h, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.SocketType(socketType), Mechanism: mechanism, Properties: announced})
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(h.Start()); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for !h.Done() {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		_, out, err := h.Step(buf[:n])
		if err != nil {
			return nil, err
		}
		if _, err := conn.Write(out); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// With a mechanism no peer is let in that speaks a version which has none.
func TestAttack05_Downgrade(t *testing.T) {
	olds := []string{"\x01\x00", "\x05\x00abcd", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x02"}
	for mechanism := range securely() {
		assaultSecured(t, mechanism, func(g *siege) {
			g.each(socket.RefusedVersion, len(olds), func(b *besieged) {
				for _, old := range olds {
					tell(b.dial(), old)
				}
			})
		})
	}
}

// Where there is a mechanism nothing else comes in: neither NULL nor another.
func TestAttack06_NoOtherMechanism(t *testing.T) {
	others := map[string][]string{"PLAIN": {"NULL", "CURVE"}, "CURVE": {"NULL", "PLAIN"}}
	for mechanism := range securely() {
		assaultSecured(t, mechanism, func(g *siege) {
			g.each(socket.RefusedMechanism, 2, func(b *besieged) {
				for _, other := range others[mechanism] {
					tell(b.dial(), hello(other)+ready(b.peer))
				}
			})
		})
	}
}

// Two servers of a mechanism do not talk to each other.
func TestAttack07_BothAreServers(t *testing.T) {
	for mechanism := range securely() {
		greeting := []byte(hello(mechanism))
		greeting[32] = 1
		assaultSecured(t, mechanism, func(g *siege) {
			g.each(socket.RefusedMechanism, 1, func(b *besieged) { tell(b.dial(), string(greeting)) })
		})
	}
}
