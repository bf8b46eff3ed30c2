package zmtp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// One octet of a good conversation is changed, or a command is cut short: it fails, or nothing was changed. What only decides how a nonce looks
// or stands in plain metadata is not protected.
func FuzzCurveConversation(f *testing.F) {
	f.Add(uint8(1), uint16(3), byte(1), uint16(0))
	f.Add(uint8(2), uint16(80), byte(0x80), uint16(0))
	f.Add(uint8(3), uint16(12), byte(0), uint16(5))
	f.Add(uint8(5), uint16(200), byte(4), uint16(0))
	f.Fuzz(func(t *testing.T, which uint8, at uint16, flip byte, cut uint16) {
		client, server := curveClientOf(t, fuzzServerKey), curveServerOf(t)
		number, changed := uint8(0), false
		_, clientErr, serverErr := converse(client, server, Verdict{Decision: Allow}, func(s said) []byte {
			if number++; number != which || number <= 2 { // the greetings are for FuzzGreeting
				return s.octets
			}
			b := bytes.Clone(s.octets)
			b = b[:len(b)-min(int(cut), len(b))]
			if len(b) > 0 {
				b[int(at)%len(b)] ^= flip
			}
			changed = !bytes.Equal(b, s.octets)
			return b
		})
		if !changed {
			require.NoError(t, clientErr)
			require.NoError(t, serverErr)
			require.True(t, client.Done() && server.Done())
			return
		}
		require.False(t, client.Done() && server.Done())
	})
}

// What is sealed in any pieces opens to what it was, into room of any size; what was changed does not.
func FuzzSealed(f *testing.F) {
	f.Add([]byte("\x00\x05hello\x01\x01a\x00\x00"), []byte{1, 2, 3}, uint16(20), uint16(0), byte(0))
	f.Add(AppendFrame(nil, 0, make([]byte, 70000)), []byte{9}, uint16(5000), uint16(40), byte(1))
	f.Add(AppendPing(AppendFrame(nil, FlagMore, make([]byte, 300)), 0, []byte("x")), []byte{255, 100}, uint16(9), uint16(9), byte(2))
	f.Fuzz(func(t *testing.T, frames, cuts []byte, room, at uint16, flip byte) {
		frames = wholeFrames(frames)
		seal, open := newTraffic(&session{shared: [32]byte{1}}, clientNonce, clientNonce)
		var sealed []byte
		for in, left := frames, cuts; len(in) > 0; {
			size := len(in)
			if len(left) > 0 {
				size, left = min(size, max(1, int(left[0]))), left[1:]
			}
			var used int
			var err error
			sealed, used, err = seal.Append(sealed, in[:size], 1<<30)
			require.NoError(t, err)
			require.Equal(t, size, used)
			in = in[used:]
		}
		require.Zero(t, seal.Held())
		require.Equal(t, len(frames), Written(sealed, len(sealed)))
		if len(sealed) > 0 {
			sealed[int(at)%len(sealed)] ^= flip
		}
		dst := make([]byte, int(room)+1)
		var plain []byte
		for err := error(nil); err == nil; {
			var n, used int
			n, used, err = open.Open(dst, sealed)
			plain, sealed = append(plain, dst[:n]...), sealed[used:]
			if n == 0 && used == 0 {
				break
			}
		}
		require.True(t, bytes.HasPrefix(frames, plain))
		if flip == 0 {
			require.Len(t, plain, len(frames))
		}
	})
}

// wholeFrames are frames of ours at the start of b, in the shortest form.
func wholeFrames(b []byte) (frames []byte) {
	for {
		flags, size, h, err := ParseHeader(b)
		if err != nil || h == 0 || size > uint64(len(b)-h) {
			return frames
		}
		frames = AppendFrame(frames, flags, b[h:h+int(size)])
		b = b[h+int(size):]
	}
}

// Any octets from the peer: no panic, nothing returned that was not sealed.
func FuzzOpener(f *testing.F) {
	f.Add([]byte("\x00\x29\x07MESSAGE\x00\x00\x00\x00\x00\x00\x00\x01"), uint16(100))
	f.Add([]byte("\x04\x21\x07MESSAGE"), uint16(1))
	f.Add([]byte("\x02\x7f\xff\xff\xff\xff\xff\xff\xff\x07MESSAGE"), uint16(1))
	f.Add([]byte("\x00\x05hello"), uint16(9))
	f.Fuzz(func(t *testing.T, in []byte, room uint16) {
		_, open := newTraffic(&session{shared: [32]byte{1}}, clientNonce, clientNonce)
		n, _, _ := open.Open(make([]byte, int(room)), in)
		require.Zero(t, n)
	})
}
