package zmtp

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// secured is a mechanism that is not NULL, and no more.
type secured struct{ null }

func (*secured) name() string { return "CURVE" }

// What peers of the older versions say before a message, and what each says.
var oldPeers = map[string]string{
	"2.0":      "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x08\x00\x00",
	"1.0":      "\x01\x00",
	"1.0 long": "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7e",
}

// RFC 37, "Security Considerations" and "Detecting ZMTP 1.0 and 2.0 Peers": whoever asks for security gets it from nobody
// older than 3.0, whatever else he allowed, and says nothing to him but his greeting.
func TestDowngradeGuard(t *testing.T) {
	t.Parallel()
	for name, hello := range oldPeers {
		h := newHandshake(t, Config{SocketType: Pull, Downgrade: true})
		h.secure(&secured{}, true)
		assert.Equal(t, "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01CURVE", string(h.Start()[:17]), name)
		assert.Len(t, h.Start(), GreetingSize)
		assert.False(t, h.HoldsBack())
		_, out, err := h.Step([]byte(hello))
		requireReason(t, OldVersion, err)
		assert.Empty(t, out)
		assert.False(t, h.Done())

		plain := newHandshake(t, Config{SocketType: Pull})
		_, out, err = plain.Step([]byte(hello))
		requireReason(t, OldVersion, err)
		assert.Empty(t, out)
	}
}

// Sides that allow older versions and sides that do not, each only ever answering what it has got, come to terms.
func TestHandshake_NobodyWaitsForever(t *testing.T) {
	t.Parallel()
	for _, allowed := range [][2]bool{{true, true}, {true, false}, {false, true}, {false, false}} {
		for _, piece := range []int{1, 7, 64, 1000} {
			push := newHandshake(t, Config{SocketType: Push, Downgrade: allowed[0]})
			pull := newHandshake(t, Config{SocketType: Pull, Downgrade: allowed[1]})
			toPull, toPush := push.Start(), pull.Start()
			for !push.Done() || !pull.Done() {
				require.NotZero(t, len(toPull)+len(toPush), "both wait")
				said := talk(t, push, &toPush, piece)
				toPush = append(toPush, talk(t, pull, &toPull, piece)...)
				toPull = append(toPull, said...)
			}
			assert.Equal(t, Pull, push.Peer().SocketType)
			assert.Equal(t, Push, pull.Peer().SocketType)
			assert.Equal(t, byte(1), push.Peer().Minor)
		}
	}
}

// talk has h take a piece of what is there for it and returns its answer.
func talk(t *testing.T, h *Handshake, in *[]byte, piece int) []byte {
	t.Helper()
	n, out, err := h.Step((*in)[:min(piece, len(*in))])
	require.NoError(t, err)
	*in = (*in)[n:]
	return out
}

// Whoever may not be let in is greeted in full, and told nothing that lets it send.
func TestHandshake_Admit(t *testing.T) {
	t.Parallel()
	full := errors.New("full")
	for name, hello := range map[string]struct{ hello, out string }{
		"3.1": {string(greetingOf(1, 0)), "\x03\x01NULL" + string(make([]byte, 48))},
		"2.0": {oldPeers["2.0"], "\x03"},
		"1.0": {oldPeers["1.0"], ""},
	} {
		asked := 0
		h := newHandshake(t, Config{SocketType: Pull, Downgrade: true, Admit: func() error { asked++; return full }})
		_, out, err := h.Step([]byte(hello.hello))
		assert.Equal(t, full, err, name)
		assert.Equal(t, hello.out, string(out), name)
		_, out, err = h.Step([]byte(hello.hello))
		assert.Equal(t, full, err, name)
		assert.Empty(t, out)
		assert.Equal(t, 1, asked)
		assert.False(t, h.Done())
	}
}

// Frames from a 1.0 peer become the same however they are cut, and the same again when they went back and forth.
func FuzzOldFrames(f *testing.F) {
	f.Add([]byte("\x01\x00\x06\x01hello\x00\x02\x7ex"), []byte{1, 3})
	f.Add([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x03\x01hi\x01\x00"), []byte{})
	f.Add([]byte("\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00body"), []byte{9, 1})
	f.Add(append([]byte("\xfe\x00"), make([]byte, 253)...), []byte{200})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		var whole, cut Upgrader
		out, err := whole.Append(nil, in)
		var cutOut []byte
		var cutErr error
		for rest := in; len(rest) > 0 && cutErr == nil; {
			size := 1
			if len(cuts) > 0 {
				size, cuts = max(1, int(cuts[0])), cuts[1:]
			}
			piece := rest[:min(size, len(rest))]
			rest = rest[len(piece):]
			before := len(cutOut)
			cutOut, cutErr = cut.Append(cutOut, piece)
			require.LessOrEqual(t, len(cutOut)-before, len(piece)+MaxHeaderSize)
		}
		require.Equal(t, err, cutErr)
		require.Equal(t, string(out), string(cutOut))

		var down Downgrader
		old, err := down.Append(nil, out)
		require.NoError(t, err)
		again, err := new(Upgrader).Append(nil, old)
		require.NoError(t, err)
		require.Equal(t, string(out), string(again))
	})
}

// What goes to a 1.0 peer is the same however it is cut, and a copy made in between goes on alike.
func FuzzDowngrader(f *testing.F) {
	f.Add([]byte("\x00\x05hello\x04\x05\x04PING\x01\x00"), 4)
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x01\x00body"), 5)
	f.Add(append([]byte("\x00\xfe"), make([]byte, 254)...), 100)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		out, err := new(Downgrader).Append(nil, in)
		at = min(max(at, 0), len(in))
		var first Downgrader
		head, headErr := first.Append(nil, in[:at])
		for _, d := range []Downgrader{first, first} {
			if headErr != nil {
				break
			}
			tail, err2 := d.Append(nil, in[at:])
			require.Equal(t, err, err2)
			require.Equal(t, string(out), string(head)+string(tail))
		}
	})
}
