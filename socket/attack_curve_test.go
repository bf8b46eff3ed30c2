package socket_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// curved is a CURVE client that goes through its handshake step by step, so that each can be changed on its way.
type curved struct {
	b    *besieged
	raw  *sockettest.RawPeer
	h    *zmtp.Handshake
	said []byte // what it would say next
}

// besiegedKeys are those of the sockets under siege.
var besiegedKeys = socket.NewKeyPair()

// approach makes a client that has sent its greeting, and has HELLO to say.
func (b *besieged) approach() *curved {
	b.t.Helper()
	own := socket.NewKeyPair()
	mechanism, err := zmtp.CurveClient(zmtp.CurveKeys{Public: own.Public, Secret: own.Secret}, besiegedKeys.Public, rand.Reader)
	require.NoError(b.t, err)
	h, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.SocketType(b.peer), Mechanism: mechanism})
	require.NoError(b.t, err)
	c := &curved{b: b, raw: b.dial(), h: h}
	c.raw.Write(h.Start())
	c.hear(64)
	return c
}

// hear takes n octets of the socket's.
func (c *curved) hear(n int) {
	c.b.t.Helper()
	_, out, err := c.h.Step(c.raw.Read(n))
	require.NoError(c.b.t, err)
	c.said = out
}

// hearCommand takes a whole command.
func (c *curved) hearCommand() {
	c.b.t.Helper()
	f := c.raw.ReadFrame()
	_, out, err := c.h.Step([]byte(aFrame(f.Flags&^sockettest.Long, string(f.Body))))
	require.NoError(c.b.t, err)
	c.said = out
}

// welcomed is a client that has INITIATE to say.
func (b *besieged) welcomed() *curved {
	b.t.Helper()
	c := b.approach()
	c.raw.Write(c.said)
	c.hearCommand()
	return c
}

// inside is a client whose handshake is done, with what seals its messages.
func (b *besieged) inside() (*curved, *zmtp.Sealer) {
	b.t.Helper()
	c := b.welcomed()
	c.raw.Write(c.said)
	c.hearCommand()
	require.True(b.t, c.h.Done())
	seal, _ := c.h.Traffic()
	return c, seal
}

// assaultCurve is assault on sockets with CURVE.
func assaultCurve(t *testing.T, attack func(g *siege)) {
	t.Helper()
	assaultSecured(t, "CURVE", attack)
}

// HELLO of the wrong length, version, padding or key: all end the same way.
func TestAttack24_CurveHello(t *testing.T) {
	change := func(at int, to ...byte) func([]byte) []byte {
		return func(hello []byte) []byte { copy(hello[at:], to); return hello }
	}
	const data = 2 + 6 // behind flags, length and name
	malformed := []func([]byte) []byte{change(1, 198), change(data, 9), change(data+1, 1), change(data+10, 7)}
	keys := []func([]byte) []byte{change(data+74, make([]byte, 32)...), change(data+74, append([]byte{1}, make([]byte, 31)...)...), change(data+190, 1, 2, 3, 4)}
	assaultCurve(t, func(g *siege) {
		for want, changes := range map[socket.Refusal][]func([]byte) []byte{socket.RefusedProtocol: malformed, socket.RefusedKey: keys} {
			g.each(want, len(changes), func(b *besieged) {
				for _, change := range changes {
					c := b.approach()
					tell(c.raw, string(change(c.said)))
				}
			})
		}
	})
}

// INITIATE and the cookie in it are good for their connection, and once.
func TestAttack25_CurveReplay(t *testing.T) {
	assaultCurve(t, func(g *siege) {
		g.each(socket.RefusedKey, 1, func(b *besieged) {
			first, second := b.welcomed(), b.welcomed()
			tell(second.raw, string(first.said))
		})
		g.each(socket.RefusedProtocol, 1, func(b *besieged) { // said before HELLO
			first, second := b.welcomed(), b.approach()
			tell(second.raw, string(first.said))
		})
	})
}

// INITIATE of 64 KiB, and one that only says so.
func TestAttack26_CurveInitiate(t *testing.T) {
	assaultCurve(t, func(g *siege) {
		g.each(socket.RefusedProperties, 2, func(b *besieged) {
			tell(b.welcomed().raw, command("INITIATE", strings.Repeat("i", 64<<10)))
			header := longHeader(1 << 40)
			header[0] |= sockettest.Command
			tell(b.welcomed().raw, string(header))
		})
		g.each(socket.RefusedProtocol, 1, func(b *besieged) { tell(b.welcomed().raw, command("INITIATE", "short")) })
	})
}

// Messages with a nonce that was there, a lower one, a bit that is not as sent, in the clear, or cut short.
func TestAttack27_CurveMessages(t *testing.T) {
	assaultCurve(t, func(g *siege) {
		sealed := func(b *besieged) (c *curved, one, two []byte) {
			c, seal := b.inside()
			one, _, err := seal.Append(nil, []byte(aFrame(sockettest.Command, "\x03HUM")), 1<<20)
			require.NoError(t, err)
			two, _, err = seal.Append(nil, []byte(aFrame(sockettest.Command, "\x03HUM")), 1<<20)
			require.NoError(t, err)
			return c, one, two
		}
		g.each(socket.RefusedKey, 3, func(b *besieged) {
			c, one, _ := sealed(b)
			tell(c.raw, string(one)+string(one))
			c, one, two := sealed(b)
			tell(c.raw, string(two)+string(one))
			c, one, _ = sealed(b)
			one[len(one)-1] ^= 1
			tell(c.raw, string(one))
		})
		g.each(socket.RefusedProtocol, 2, func(b *besieged) {
			c, _, _ := sealed(b)
			tell(c.raw, aFrame(0, "in the clear"))
			c, _, _ = sealed(b)
			tell(c.raw, command("MESSAGE", "short"))
		})
	})
}
