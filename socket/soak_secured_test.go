package socket_test

import (
	"bytes"
	"crypto/tls"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/transporttest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// patiently gives a hostile peer the time that it takes to get in, and no more.
func patiently(conn net.Conn) { _ = conn.SetDeadline(time.Now().Add(50 * time.Millisecond)) }

// insiders have a key that is let in with CURVE, and acknowledge messages. What they say then is sealed.
var insiders = []func(r *rand.Rand) string{
	func(*rand.Rand) string { return "" },
	func(r *rand.Rand) string { return aFrame(sockettest.Command, noisy(r, 300)) },
	func(r *rand.Rand) string { return aFrame(byte(r.IntN(2)), noisy(r, 300)) },
	func(*rand.Rand) string { return string(zmtp.AppendAck(nil, 1<<40, nil)) },
	func(*rand.Rand) string { return string(zmtp.AppendNack(nil, &zmtp.Nack{Tag: 7})) },
	func(*rand.Rand) string { return string(octets("ACK", bytes.Repeat([]byte{0xff}, 9)...)) },
	func(*rand.Rand) string {
		return strings.Repeat(string(zmtp.AppendCredit(nil, math.MaxInt64, math.MaxInt64)), 1000)
	},
	func(*rand.Rand) string {
		return strings.Repeat(string(streamed(1, 1, "s"))+string(octets("SKIP", 1)), 500)
	},
	func(*rand.Rand) string { return string(streamed(math.MaxInt64, 1, "s")) + string(octets("SKIP", 1)) },
	func(*rand.Rand) string { return strings.Repeat(command("PING", "\x00\x00x"), 20_000) },
	func(*rand.Rand) string { return strings.Repeat("\x01\x01x", 3000) },
	func(r *rand.Rand) string { return strings.Repeat(aFrame(1, "")+aFrame(0, noisy(r, 100)), 500) }, // and reads none of what comes back
}

// sealing are the insiders.
func sealing() (all []hostility) {
	for _, text := range insiders {
		all = append(all, func(conn net.Conn, peer string, r *rand.Rand) {
			patiently(conn)
			h, err := enterAs(conn, peer, "CURVE", zmtp.Property{Name: "X-Mesh-Ack", Value: []byte("1 send receive")})
			if err != nil {
				return
			}
			seal, _ := h.Traffic()
			say, _, _ := seal.Append(nil, []byte(text(r)), 1<<20)
			if r.IntN(4) == 0 && len(say) > 0 {
				say[r.IntN(len(say))] ^= 1 << r.IntN(8)
			}
			if r.IntN(4) == 0 {
				say = append(say, say...) // the nonces again
			}
			_, _ = conn.Write(say)
		})
	}
	return all
}

// halfway are those who change or break off the handshake of CURVE.
func halfway(conn net.Conn, peer string, r *rand.Rand) {
	patiently(conn)
	_, _ = enterAs(&changing{conn, r, 64 + r.IntN(700)}, peer, "CURVE")
}

// changing flips a bit of what is written, at a place.
type changing struct {
	net.Conn
	r  *rand.Rand
	at int
}

func (c *changing) Write(p []byte) (int, error) {
	p = slices.Clone(p)
	if c.at >= 0 && c.at < len(p) {
		p[c.at] ^= 1 << c.r.IntN(8)
	}
	c.at -= len(p)
	return c.Conn.Write(p)
}

// behindTLS has hostile peers do what they do behind a handshake of TLS, if it lets them in.
func behindTLS(with *tls.Config, all []hostility) (behind []hostility) {
	for _, h := range all {
		behind = append(behind, func(conn net.Conn, peer string, r *rand.Rand) {
			patiently(conn)
			secure := tls.Client(conn, with)
			if secure.Handshake() == nil {
				h(secure, peer, r)
			}
		})
	}
	return behind
}

// overWS are texts for a WebSocket: in place of the request, and behind it as frames, well-formed or not.
func overWS(texts []func(peer string, r *rand.Rand) string) (all []func(peer string, r *rand.Rand) string) {
	for _, text := range texts {
		all = append(all, text, func(peer string, r *rand.Rand) string {
			said := text(peer, r)
			framed := []byte(masked(0x82, said[:min(len(said), 60_000)]))
			if r.IntN(4) == 0 {
				framed[r.IntN(4)] ^= 1 << r.IntN(8)
			}
			return upgrade("/", "ZWS2.0/CURVE") + string(framed)
		})
	}
	return all
}

// TestSoakHostile_Secured is TestSoakHostile with what peers can do wrong where there is more to do: acknowledged links with CURVE over tcp and ws, and TLS with certificates
// on both sides. It runs for two seconds, or for as long as SOAK says.
func TestSoakHostile_Secured(t *testing.T) {
	ca := transporttest.NewAuthority(t)
	good := ca.Mutual("good")
	raw, stranger := good.Clone(), &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", Certificates: transporttest.NewAuthority(t).Mutual("stranger").Certificates}
	raw.ServerName = "127.0.0.1"

	s := &soak{t: t, router: socket.NewRouter(socket.WithCurveServer(besiegedKeys), socket.WithAck()), pub: socket.NewPub(socket.WithTLS(ca.Mutual("publisher")))}
	closing(t, s.router, s.pub)
	curve := []socket.Option{socket.WithCurveClient(socket.NewKeyPair(), besiegedKeys.Public), socket.WithAck()}
	plain := saying(hostilities)
	s.fronts = []front{
		{bind(t, s.router, "tcp://127.0.0.1:0"), "DEALER", curve, 2, slices.Concat(plain, sealing(), slices.Repeat([]hostility{halfway}, 6))},
		{bind(t, s.router, "ws://127.0.0.1:0/"), "DEALER", curve, 2, saying(overWS(hostilities))},
		{bind(t, s.pub, "tls+tcp://127.0.0.1:0"), "SUB", []socket.Option{socket.WithTLS(good)}, 2, slices.Concat(plain, behindTLS(raw, plain), behindTLS(stranger, plain[:4]))},
	}
	s.run(2 * time.Second)
}
