package zmtp

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// sides are the sides of the mechanisms that have some, as what a peer may have in front of it.
func sides(t *testing.T) []*Handshake {
	t.Helper()
	plain, err := PlainClient("user", "password")
	require.NoError(t, err)
	return []*Handshake{
		curveServerOf(t), curveClientOf(t, keysOf(serverKeys).Public), secureHandshake(t, Pull, PlainServer()), secureHandshake(t, Push, plain),
	}
}

// Any octets, cut in two anywhere, behind as much of a good conversation as there is, change nothing but the connection: no panic, one verdict, a printable
// reason, and never more held than a command may have.
func FuzzMechanism(f *testing.F) {
	for side := range uint8(4) {
		f.Add(side, uint8(0), []byte("\x04\x06\x05HELLO"), uint8(3))
		f.Add(side, uint8(1), AppendCommand(nil, CommandHello, make([]byte, 194)), uint8(0))
		f.Add(side, uint8(1), AppendCommand(nil, "HELLO", []byte("\x04user\x08password")), uint8(9))
		f.Add(side, uint8(2), AppendCommand(nil, "INITIATE", make([]byte, 300)), uint8(200))
		f.Add(side, uint8(2), AppendCommand(nil, CommandReady, []byte(readyPush[8:])), uint8(2))
		f.Add(side, uint8(1), AppendError(nil, "400"), uint8(1))
	}
	f.Fuzz(func(t *testing.T, side, good uint8, in []byte, cut uint8) {
		whole, parts := prepared(t, side, good), prepared(t, side, good)
		n, out, err := feed(whole, in)
		at := min(int(cut), len(in))
		n1, out1, err1 := feed(parts, in[:at])
		if err1 == nil && n1 == at && !parts.Done() {
			n2, out2, err2 := feed(parts, in[at:])
			n1, out1, err1 = n1+n2, append(out1, out2...), err2
		}
		require.Equal(t, err, err1)
		require.Equal(t, n, n1)
		require.Equal(t, string(out), string(out1))
		require.Equal(t, whole.Done(), parts.Done())
		require.LessOrEqual(t, len(parts.buf), MaxHeaderSize+defaultMaxCommand)
		if err == nil {
			return
		}
		refused := new(*HandshakeError)
		require.True(t, errors.As(err, refused))
		assertPrintable(t, (*refused).Detail)
		require.False(t, whole.Done())
	})
}

// prepared is a side that has heard as many commands of a good peer as said, up to all but the last.
func prepared(t *testing.T, side, good uint8) *Handshake {
	at := int(side) % 4
	h, other := sides(t)[at], sides(t)[at^1]
	_, out, err := h.Step(other.Start())
	require.NoError(t, err)
	toOther := append(append([]byte{}, h.Start()...), out...)
	for range good % 3 {
		_, answer, err := feed(other, toOther)
		if err != nil || len(answer) == 0 || other.Done() {
			break
		}
		if _, toOther, err = feed(h, answer); err != nil || h.Done() {
			return sides(t)[at] // that was all there is to say
		}
	}
	return h
}

// feed is Step with every question answered by yes.
func feed(h *Handshake, in []byte) (n int, out []byte, err error) {
	n, out, err = h.Step(in)
	for err == nil {
		if _, pending := h.Pending(); !pending {
			break
		}
		var more []byte
		if more, err = h.Answer(Verdict{Decision: Allow}); err != nil {
			break
		}
		out = append(out[:len(out):len(out)], more...)
		var used int
		used, more, err = h.Step(in[n:])
		n, out = n+used, append(out, more...)
	}
	return n, out, err
}
