package zmtp

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// fuzzSide makes one side of a mechanism, as what a peer may have in front of it. The other side of the same has number which^1.
func fuzzSide(t *testing.T, which uint8) *Handshake {
	t.Helper()
	switch which % 4 {
	case 0:
		return curveServerOf(t)
	case 1:
		return curveClientOf(t, fuzzServerKey)
	case 2:
		return secureHandshake(t, Pull, PlainServer())
	}
	plain, err := PlainClient("user", "password")
	require.NoError(t, err)
	return secureHandshake(t, Push, plain)
}

var fuzzServerKey = keysOf(serverKeys).Public

// Any octets, cut anywhere, behind as much of a good conversation as there is, change nothing but the connection: no panic, one verdict, a printable
// reason, never more held than a command may have, and nobody gets in without keys.
func FuzzMechanism(f *testing.F) {
	for side := range uint8(4) {
		f.Add(side, uint8(0), []byte("\x04\x06\x05HELLO"), []byte{3})
		f.Add(side, uint8(1), AppendCommand(nil, CommandHello, make([]byte, 194)), []byte{})
		f.Add(side, uint8(1), AppendCommand(nil, CommandHello, []byte("\x04user\x08password")), []byte{9, 1})
		f.Add(side, uint8(1), AppendCommand(nil, CommandWelcome, make([]byte, welcomeSize)), []byte{70})
		f.Add(side, uint8(2), AppendCommand(nil, CommandInitiate, make([]byte, 300)), []byte{200, 1, 1})
		f.Add(side, uint8(2), AppendCommand(nil, CommandReady, []byte(readyPush[8:])), []byte{2})
		f.Add(side, uint8(1), AppendError(nil, "400"), []byte{1})
	}
	greeting := ourGreeting(curve, false, 0)
	f.Add(uint8(0), uint8(3), AppendCommand(greeting[:], CommandHello, append([]byte{1, 0}, make([]byte, helloSize-2)...)), []byte{70})
	f.Add(uint8(3), uint8(1), []byte("\x04\x09\x5eRROR\x03400"), []byte{})
	f.Fuzz(func(t *testing.T, side, good uint8, in, cuts []byte) {
		whole, parts := prepared(t, side, good), prepared(t, side, good)
		n, out, err := feed(whole, in)
		n1, out1, err1 := feedCut(parts, in, cuts)
		require.Equal(t, err, err1)
		require.Equal(t, string(out), string(out1))
		require.Equal(t, whole.Done(), parts.Done())
		require.Equal(t, whole.Peer(), parts.Peer())
		require.LessOrEqual(t, len(parts.buf), MaxHeaderSize+defaultMaxCommand)
		require.False(t, whole.Done() && side%4 < 2, "without keys")
		if err == nil {
			require.Equal(t, n, n1)
			return
		}
		refused := new(*HandshakeError)
		require.True(t, errors.As(err, refused))
		assertPrintable(t, (*refused).Detail)
		require.False(t, whole.Done())
	})
}

// prepared is a side that has heard the greeting of a good peer and as many of its commands as said, up to all but the last; with 3 nothing.
func prepared(t *testing.T, side, good uint8) *Handshake {
	h := fuzzSide(t, side)
	if good%4 == 3 {
		return h
	}
	other := fuzzSide(t, side^1)
	_, out, err := h.Step(other.Start())
	require.NoError(t, err)
	toOther := append(append([]byte{}, h.Start()...), out...)
	for range good % 4 {
		_, answer, err := feed(other, toOther)
		if err != nil || len(answer) == 0 || other.Done() {
			break
		}
		if _, toOther, err = feed(h, answer); err != nil || h.Done() {
			return fuzzSide(t, side) // that was all there is to say
		}
	}
	return h
}

// feedCut is feed in pieces of the given sizes, and the rest whole.
func feedCut(h *Handshake, in, cuts []byte) (n int, out []byte, err error) {
	for err == nil && n < len(in) && !h.Done() {
		size := len(in) - n
		if len(cuts) > 0 {
			size, cuts = min(size, max(1, int(cuts[0]))), cuts[1:]
		}
		var used int
		var more []byte
		used, more, err = feed(h, in[n:n+size])
		n, out = n+used, append(out, more...)
	}
	return n, out, err
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
