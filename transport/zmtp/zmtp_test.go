package zmtp

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A header read back is the header written, at every size where the form or a length octet changes.
func TestHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 254, 255, 256, 65535, 65536, math.MaxInt32, math.MaxInt} {
		for _, flags := range []byte{0, FlagMore, FlagCommand} {
			header := AppendHeader([]byte("before"), flags, size)[len("before"):]
			for i := range header {
				_, _, n, err := ParseHeader(header[:i])
				require.NoError(t, err)
				require.Zero(t, n, "%d of %d octets", i, len(header))
			}
			gotFlags, gotSize, n, err := ParseHeader(append(header, "body"...))
			require.NoError(t, err)
			assert.Equal(t, flags, gotFlags)
			assert.Equal(t, uint64(size), gotSize)
			assert.Equal(t, len(header), n)
		}
	}
}

// Of all 256 first octets six are good: message, MORE and command, short and long.
func TestHeaderFlags(t *testing.T) {
	t.Parallel()
	good := map[byte]bool{0x00: true, 0x01: true, 0x02: true, 0x03: true, 0x04: true, 0x06: true}
	for octet := range 256 {
		_, _, _, err := ParseHeader([]byte{byte(octet)})
		if good[byte(octet)] {
			require.NoError(t, err, "%02x", octet)
		} else {
			require.ErrorIs(t, err, ErrFrameFlags, "%02x", octet)
		}
	}
}

// Names that would corrupt the stream are bugs of ours.
func TestBadNamesPanic(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", strings.Repeat("x", 256)} {
		assert.Panics(t, func() { AppendCommand(nil, name) })
		assert.Panics(t, func() { AppendMetadata(nil, Metadata{{Name: name}}) })
	}
	assert.NotPanics(t, func() { AppendCommand(nil, strings.Repeat("x", 255)) })
}

// As many properties as we may send are as many as we accept.
func TestMetadataCount(t *testing.T) {
	t.Parallel()
	many := func(n int) (m Metadata) {
		for i := range n {
			m = append(m, Property{Name: fmt.Sprintf("X-%d", i), Value: []byte{}})
		}
		return m
	}
	m, err := ParseMetadata(AppendMetadata(nil, many(maxProperties)))
	require.NoError(t, err)
	assert.Equal(t, many(maxProperties), m)
	_, err = ParseMetadata(AppendMetadata(nil, many(maxProperties+1)))
	require.ErrorIs(t, err, ErrMetadata)

	ours := newHandshake(t, Config{SocketType: Dealer, Properties: many(maxProperties - 2)})
	theirs := newHandshake(t, Config{SocketType: Dealer})
	_, ready, err := ours.Step(theirs.Start())
	require.NoError(t, err)
	_, _, err = theirs.Step(append(ours.Start(), ready...))
	require.NoError(t, err)
	assert.Len(t, theirs.Peer().Metadata, maxProperties)
	_, err = NewHandshake(Config{SocketType: Dealer, Properties: many(maxProperties - 1)})
	require.ErrorContains(t, err, "want at most 30")
}

// What a handshake keeps is its own: the buffers it was given may be used again.
func TestHandshakeCopies(t *testing.T) {
	t.Parallel()
	identity, value := []byte("ours"), []byte("1")
	h := newHandshake(t, Config{SocketType: Dealer, Identity: identity, Properties: Metadata{{"X-A", value}}})
	identity[0], value[0] = '!', '!'
	in := append(greetingOf(1, 0), "\x04\x2c\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x03abc"...)
	_, out, err := h.Step(in)
	require.NoError(t, err)
	clear(in)
	assert.Contains(t, string(out), "ours\x03X-A\x00\x00\x00\x011")
	assert.Equal(t, "abc", string(h.Peer().Identity))
	kept, _ := h.Peer().Metadata.Get("Identity")
	assert.Equal(t, "abc", string(kept))
}

// A peer can make us hold what it has sent, not what it claims.
func TestHandshakeMemory(t *testing.T) {
	t.Parallel()
	const limit = 1 << 30
	h := newHandshake(t, Config{SocketType: Pull, MaxCommand: limit})
	in := append(greetingOf(1, 0), AppendHeader(nil, FlagCommand, limit)...)
	in = append(in, make([]byte, 1000)...)
	n, _, err := h.Step(in)
	require.NoError(t, err)
	assert.Equal(t, len(in), n)
	assert.Less(t, cap(h.buf), 4*len(in))
}

func TestReasonString(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for r := NotZMTP; r <= TooLarge; r++ {
		text := r.String()
		assert.NotEmpty(t, text)
		assert.False(t, seen[text], "%s is there twice", text)
		seen[text] = true
	}
	assert.Equal(t, "reason 0", Reason(0).String())
	assert.Equal(t, "reason 99", Reason(99).String())
}

// The hot path allocates nothing.
func BenchmarkParseHeader(b *testing.B) {
	for _, size := range []int{16, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			header := AppendHeader(nil, FlagMore, size)
			var sum uint64
			step := func() {
				_, size, _, _ := ParseHeader(header)
				sum += size
			}
			require.Zero(b, testing.AllocsPerRun(100, step))
			for b.Loop() {
				step()
			}
			require.NotZero(b, sum)
		})
	}
}

func BenchmarkAppendHeader(b *testing.B) {
	for _, size := range []int{16, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			dst := make([]byte, 0, MaxHeaderSize)
			step := func() { dst = AppendHeader(dst[:0], FlagMore, size) }
			require.Zero(b, testing.AllocsPerRun(100, step))
			for b.Loop() {
				step()
			}
			require.NotEmpty(b, dst)
		})
	}
}
