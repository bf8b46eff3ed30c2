package ws

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// encodeAll has e encode zmtp, cut at random.
func encodeAll(t testing.TB, e *encoder, octets []byte, cuts *rand.Rand) (out []byte) {
	t.Helper()
	for len(octets) > 0 {
		piece := octets[:min(len(octets), 1+cuts.IntN(40_000))]
		if cuts.IntN(2) == 0 {
			piece = octets[:1]
		}
		for n := 0; n < len(piece); {
			var took int
			var err error
			out, took, err = e.next(out, piece[n:])
			require.NoError(t, err)
			require.Positive(t, took)
			n += took
		}
		octets = octets[len(piece):]
	}
	return out
}

// decodeAll has d decode raw, cut at random, into buffers of random size.
func decodeAll(d *decoder, raw []byte, cuts *rand.Rand) (out []byte, err error) {
	fed := 0
	for {
		dst := make([]byte, 1+cuts.IntN(9))
		if cuts.IntN(2) == 0 {
			dst = make([]byte, 1+cuts.IntN(40_000))
		}
		n, used, err := d.step(dst, raw[:fed])
		out = append(out, dst[:n]...)
		raw, fed = raw[used:], fed-used
		switch {
		case err != nil:
			return out, err
		case n > 0 || used > 0:
		case fed == len(raw):
			return out, nil
		default:
			fed += 1 + cuts.IntN(min(len(raw)-fed, 20_000))
		}
	}
}

func newCodec(client, bare bool) (*encoder, *decoder) {
	d := &decoder{masked: client, bare: bare, maxMessage: 1 << 20, pongs: &pongs{}}
	return &encoder{mask: client, bare: bare}, d
}

func TestFramesSurviveTheWay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		sent := zmtp.AppendCommand(nil, zmtp.CommandReady, zmtp.AppendMetadata(nil, zmtp.Metadata{{Name: "Socket-Type", Value: []byte("PUSH")}}))
		for range 30 {
			size := []int{0, 1, 124, 125, 126, 254, 255, 256, 65534, 65535, 65536, 100_000}[r.IntN(12)]
			body := make([]byte, size)
			for i := range body {
				body[i] = byte(r.Uint32())
			}
			sent = zmtp.AppendFrame(sent, byte(r.IntN(2)), body)
		}
		sent = zmtp.AppendCommand(sent, "WHATEVER", []byte("data"))
		e, d := newCodec(seed%2 == 0, false)
		got, err := decodeAll(d, encodeAll(t, e, sent, r), r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got), "seed %d", seed)
	}
}

// The greeting of the user's goes nowhere, cut however.
func TestGreetingIsSwallowed(t *testing.T) {
	t.Parallel()
	e := &encoder{skip: zmtp.GreetingSize}
	out := encodeAll(t, e, append(make([]byte, zmtp.GreetingSize), zmtp.AppendFrame(nil, 0, []byte("x"))...), rand.New(rand.NewPCG(1, 1)))
	assert.Equal(t, []byte{0x82, 2, 0, 'x'}, out)
}

// The flags of RFC 45, "Framing", next to those of ZMTP.
func TestFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		zmtp byte
		ws   byte
	}{{0, 0}, {zmtp.FlagMore, 1}, {zmtp.FlagCommand, 2}} {
		body := []byte("\x01XY")
		e, d := newCodec(false, false)
		out := encodeAll(t, e, zmtp.AppendFrame(nil, test.zmtp, body), rand.New(rand.NewPCG(1, 1)))
		assert.Equal(t, append([]byte{0x82, 4, test.ws}, body...), out)
		back, err := decodeAll(d, out, rand.New(rand.NewPCG(1, 1)))
		require.NoError(t, err)
		assert.Equal(t, zmtp.AppendFrame(nil, test.zmtp, body), back)
	}
}

// raw appends a frame as a peer would send it, of any kind.
func raw(dst []byte, first byte, mask bool, payload string) []byte {
	var key [4]byte
	if mask {
		key = [4]byte{1, 2, 3, 4}
	}
	dst = appendHeader(dst, 0, len(payload), mask, key)
	start := len(dst)
	dst = append(dst, payload...)
	if mask {
		ws.Cipher(dst[start:], key, 0)
	}
	// The first octet is all that appendHeader decides by itself.
	dst[start-headerLen(len(payload), mask)] = first
	return dst
}

func headerLen(size int, mask bool) int {
	return ws.HeaderSize(ws.Header{Length: int64(size), Masked: mask})
}

const (
	fin       = 0x80
	binaryFin = fin | byte(ws.OpBinary)
	ready     = "\x02\x05READY"
	pingFin   = fin | byte(ws.OpPing)
	pongFin   = fin | byte(ws.OpPong)
	closeFin  = fin | byte(ws.OpClose)
)

func TestPeersThatBreakTheRules(t *testing.T) {
	t.Parallel()
	big := string(make([]byte, 1<<20))
	for _, test := range []struct {
		name, problem string
		client        bool // the peer is
		raw           []byte
	}{
		{"client without mask", "without a mask", true, raw(nil, binaryFin, false, "\x00x")},
		{"server with mask", "with a mask", false, raw(nil, binaryFin, true, "\x00x")},
		{"text", "text message", true, raw(nil, fin|1, true, "\x00x")},
		{"reserved bit", "reserved bit", true, raw(nil, binaryFin|0x40, true, "\x00x")},
		{"unknown data opcode", "opcode 0x3", true, raw(nil, fin|3, true, "x")},
		{"unknown control opcode", "opcode 0xb", true, raw(nil, fin|0xb, true, "x")},
		{"no flags", "empty message", true, raw(nil, binaryFin, true, "")},
		{"no flags in fragments", "empty message", true, raw(raw(nil, 2, true, ""), fin, true, "")},
		{"flags of 3", "flags of 0x03", true, raw(nil, binaryFin, true, "\x03x")},
		{"flags of 4", "flags of 0x04", false, raw(nil, binaryFin, false, "\x04x")},
		{"flags of 0x80 in fragments", "flags of 0x80", false, raw(raw(nil, 2, false, "\x80"), fin, false, "x")},
		{"fragment of nothing", "out of order", true, raw(nil, fin, true, "x")},
		{"message within fragments", "out of order", true, raw(raw(nil, 2, true, "\x00a"), binaryFin, true, "\x00b")},
		{"long ping", "control frame", true, raw(nil, pingFin, true, string(make([]byte, 126)))},
		{"ping in fragments", "control frame", true, raw(nil, byte(ws.OpPing), true, "x")},
		{"fragments too large", "at most 1048576", true, raw(raw(raw(nil, binaryFin, true, ready), 2, true, "\x00"+big), fin, true, "xy")},
		{"fragments before the handshake", "at most 8192", true, raw(raw(nil, 2, true, "\x00"+big[:8192]), fin, true, "xy")},
		{"large fragment before the handshake", "at most 8192", true, raw(nil, 2, true, big)},
		{"length with bit 63", "most significant bit", false, []byte{binaryFin, 127, 0x80, 0, 0, 0, 0, 0, 0, 1}},
		{"claimed fragment", "at most 1048576", false, append(raw(nil, binaryFin, false, ready), 2, 127, 0x7f, 0, 0, 0, 0, 0, 0, 1)},
		{"complaint", `code 1002 "oh"`, true, raw(nil, closeFin, true, "\x03\xeaoh")},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, d := newCodec(test.client, false)
			_, err := decodeAll(d, test.raw, rand.New(rand.NewPCG(1, 1)))
			require.ErrorContains(t, err, test.problem)
			_, _, again := d.step(make([]byte, 10), raw(nil, binaryFin, test.client, "\x00x"))
			assert.Equal(t, err, again, "it is final")
		})
	}
}

// A length that is only claimed costs nothing.
func TestClaimedLengthAllocatesNothing(t *testing.T) {
	t.Parallel()
	_, d := newCodec(false, false)
	header := []byte{binaryFin, 127, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 'x'} // 2^46 octets
	got, err := decodeAll(d, header, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	assert.Equal(t, "\x02\x00\x00\x3f\xff\xff\xff\xff\xffx", string(got), "the size goes up as it is: the user bounds it")
	assert.Less(t, cap(d.held)+cap(d.parts), 1024)
}

func TestFragments(t *testing.T) {
	t.Parallel()
	_, d := newCodec(true, false)
	in := raw(nil, 2, true, "")
	in = raw(in, 0, true, "\x01ab")
	in = raw(in, pingFin, true, "between")
	in = raw(in, 0, true, "")
	in = raw(in, fin, true, "cd")
	in = raw(in, binaryFin, true, "\x00ef")
	got, err := decodeAll(d, in, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	assert.Equal(t, "\x01\x04abcd\x00\x02ef", string(got))
}

func TestPingsAndPongs(t *testing.T) {
	t.Parallel()
	cuts := rand.New(rand.NewPCG(1, 1))
	_, d := newCodec(true, false)
	e := &encoder{}
	take := func() []byte { d.pongs.take(&e.pong); return e.begin(nil) }

	// The user knows of no ping before its handshake is over: the next write answers it.
	got, err := decodeAll(d, raw(raw(nil, pingFin, true, "early"), pongFin, true, "unasked"), cuts)
	require.NoError(t, err)
	assert.Empty(t, got)
	assert.Equal(t, "\x8a\x05early", string(take()))
	assert.Empty(t, take(), "once")

	got, err = decodeAll(d, raw(nil, binaryFin, true, ready), cuts)
	require.NoError(t, err)
	assert.Equal(t, "\x04\x06\x05READY", string(got))

	// From now on the user answers, so that its bounds on answers hold. Its context is too short for all of a ping.
	long := "a payload that is longer than any context of ZMTP"
	got, err = decodeAll(d, raw(raw(nil, pingFin, true, "first"), pingFin, true, long), cuts)
	require.NoError(t, err)
	assert.Equal(t, string(zmtp.AppendPing(zmtp.AppendPing(nil, 0, []byte("first")), 0, []byte(long))), string(got))
	assert.Empty(t, take())
	pong := zmtp.AppendPong(nil, []byte("whatever"))
	assert.Equal(t, "\x8a"+string(rune(len(long)))+long, string(encodeAll(t, e, pong, cuts)), "one answer, to the last")
	assert.Empty(t, encodeAll(t, e, pong, cuts))
	assert.Equal(t, "\x82\x0e\x02\x04PONGwhatever", string(encodeAll(t, e, pong, cuts)), "to a PING of ZMTP that the peer sent")

	assert.Equal(t, "\x89\x03abc", string(encodeAll(t, e, zmtp.AppendPing(nil, 1e9, []byte("abc")), cuts)))
	got, err = decodeAll(d, raw(nil, pongFin, true, "abc"), cuts)
	require.NoError(t, err)
	assert.Equal(t, string(zmtp.AppendPong(nil, []byte("abc"))), string(got))
}

// RFC 45, "No Mechanism": the first message is the routing id; there are no commands.
func TestBare(t *testing.T) {
	t.Parallel()
	cuts := rand.New(rand.NewPCG(1, 1))
	for _, id := range []string{"", "me"} {
		e, d := newCodec(true, true)
		metadata := zmtp.Metadata{{Name: "Socket-Type", Value: []byte("DEALER")}, {Name: "Identity", Value: []byte(id)}}
		sent := zmtp.AppendCommand(nil, zmtp.CommandReady, zmtp.AppendMetadata(nil, metadata))
		sent = zmtp.AppendCommand(sent, zmtp.CommandError, []byte("\x02no"))
		sent = zmtp.AppendFrame(sent, zmtp.FlagMore, []byte("a"))
		wire := encodeAll(t, e, sent, cuts)
		got, err := decodeAll(d, wire, cuts)
		require.NoError(t, err)
		var announced zmtp.Metadata
		if id != "" {
			announced = zmtp.Metadata{{Name: "Identity", Value: []byte(id)}}
		}
		want := zmtp.AppendCommand(nil, zmtp.CommandReady, zmtp.AppendMetadata(nil, announced))
		assert.Equal(t, string(zmtp.AppendFrame(want, zmtp.FlagMore, []byte("a"))), string(got))
	}
	for _, first := range []string{"\x01id", "\x02id", "\x00" + string(make([]byte, 256))} {
		_, d := newCodec(true, true)
		_, err := decodeAll(d, raw(nil, binaryFin, true, first), cuts)
		assert.ErrorContains(t, err, "routing id")
	}
}

func TestCloseFrameEndsReading(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "\x03\xe8", "\x03\xe9going away"} {
		_, d := newCodec(true, false)
		in := raw(raw(nil, binaryFin, true, "\x00last"), closeFin, true, payload)
		got, err := decodeAll(d, append(in, "rubbish"...), rand.New(rand.NewPCG(1, 1)))
		assert.Equal(t, io.EOF, err)
		assert.Equal(t, "\x00\x04last", string(got))
	}
}

// FuzzDecoder: whatever a peer sends, it is the same however it is cut, memory follows what arrived, and what comes out is ZMTP.
func FuzzDecoder(f *testing.F) {
	f.Add(raw(raw(nil, binaryFin, true, ready), binaryFin, true, "\x01abc"), uint64(1), true, false)
	f.Add(raw(raw(nil, 2, false, "\x01ab"), fin, false, "cd"), uint64(2), false, false)
	f.Add(raw(raw(nil, binaryFin, true, "\x00id"), pingFin, true, "x"), uint64(3), true, true)
	f.Add(raw(nil, closeFin, true, "\x03\xe8"), uint64(4), true, false)
	f.Add([]byte{binaryFin, 127, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 'x'}, uint64(5), false, false)
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, client, bare bool) {
		_, d := newCodec(client, bare)
		got, err := decodeAll(d, in, rand.New(rand.NewPCG(seed, 1)))
		_, again := newCodec(client, bare)
		whole, wholeErr := decodeAll(again, in, rand.New(rand.NewPCG(seed, 2)))
		assert.Equal(t, whole, got)
		assert.Equal(t, wholeErr, err)
		assert.LessOrEqual(t, cap(d.held)+cap(d.parts), 2*len(in)+1024)
		for len(got) > 0 {
			_, size, n, err := zmtp.ParseHeader(got)
			require.NoError(t, err)
			if n == 0 || size > uint64(len(got)-n) {
				break
			}
			got = got[n+int(size):]
		}
	})
}

// FuzzEncoder: whatever the user writes, cuts make no difference, and what comes out is frames that a peer can read.
func FuzzEncoder(f *testing.F) {
	f.Add(zmtp.AppendFrame(zmtp.AppendPing(nil, 1e9, nil), 1, make([]byte, 300)), uint64(1), false)
	f.Add(zmtp.AppendPong(nil, []byte("x")), uint64(2), true)
	f.Add(zmtp.AppendCommand(nil, zmtp.CommandPing, make([]byte, 200)), uint64(3), false)
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, bare bool) {
		cuts := rand.New(rand.NewPCG(seed, 1))
		whole, cut := encoder{bare: bare}, encoder{bare: bare}
		var a, b []byte
		var errA, errB error
		for n := 0; n < len(in) && errA == nil; {
			var took int
			a, took, errA = whole.next(a, in[n:])
			n += took
		}
		for n := 0; n < len(in) && errB == nil; {
			var took int
			b, took, errB = cut.next(b, in[n:n+1+cuts.IntN(len(in)-n)])
			n += took
		}
		assert.Equal(t, errA, errB)
		assert.Equal(t, a, b)
		for r := bytes.NewReader(b); errB == nil && r.Len() > 0; {
			h, err := ws.ReadHeader(r)
			require.NoError(t, err)
			require.NoError(t, ws.CheckHeader(h, ws.StateClientSide))
			if h.Length > int64(r.Len()) {
				break
			}
			_, err = r.Seek(h.Length, io.SeekCurrent)
			require.NoError(t, err)
		}
	})
}

func TestSmallFramesCostNoAllocation(t *testing.T) {
	for _, client := range []bool{false, true} {
		e, d := newCodec(client, false)
		var frames []byte
		for range 100 {
			frames = zmtp.AppendFrame(frames, 0, []byte("small"))
		}
		wire, back := make([]byte, 0, 4096), make([]byte, 4096)
		allocs := testing.AllocsPerRun(10, func() {
			wire = wire[:0]
			for n := 0; n < len(frames); {
				var took int
				wire, took, _ = e.next(wire, frames[n:])
				n += took
			}
			n, _, err := d.step(back, wire)
			assert.NoError(t, err)
			assert.Equal(t, len(frames), n)
		})
		assert.Less(t, allocs, 10.0, "for a hundred frames; the assertions allocate, too")
	}
}
