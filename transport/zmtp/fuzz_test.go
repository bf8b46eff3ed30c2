package zmtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The verdict on a greeting is the same whether it comes whole or octet by octet, and names something printable.
func FuzzGreeting(f *testing.F) {
	f.Add(greetingOf(1, 0))
	f.Add(greetingOf(0, 1))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte("\x16\x03\x01"))
	f.Add([]byte("\x01\x00"))
	f.Add(append(bytes.Repeat([]byte{0xff}, 9), 0x00))
	f.Fuzz(func(t *testing.T, b []byte) {
		b = b[:min(len(b), GreetingSize)]
		major, whole := versionOf(b)
		var first *HandshakeError
		var shown byte
		for i := 0; i <= len(b) && first == nil && shown == 0; i++ {
			shown, first = versionOf(b[:i])
		}
		require.Equal(t, whole, first)
		require.Equal(t, major, shown)
		if major == 3 {
			whole = checkMechanism(b, "NULL")
		}
		if whole != nil {
			assert.NotContains(t, whole.Reason.String(), "reason")
			assertPrintable(t, whole.Detail)
		} else if major == 3 && len(b) == GreetingSize {
			assert.Equal(t, byte(0xff), b[0])
			assert.Equal(t, byte(0x7f), b[9])
			assert.Equal(t, "NULL", string(bytes.TrimRight(b[12:32], "\x00")))
		}
	})
}

// Any octets in any pieces give what they give whole, and never more is held than the limit and what has arrived.
func FuzzHandshake(f *testing.F) {
	good := append(greetingOf(1, 0), readyPush...)
	f.Add(good, []byte{64}, false)
	f.Add(good, []byte{10, 1, 1}, true)
	f.Add(append(good, "\x00\x05hello"...), []byte{10, 1, 53, 1, 1}, false)
	f.Add(append(greetingOf(0, 0), readyPull...), []byte{}, true)
	f.Add(append(greetingOf(1, 0), "\x04\x0a\x05ERROR\x03400"...), []byte{70}, false)
	f.Add(append(greetingOf(1, 0), "\x06\x00\x00\x00\x00\x00\x00\x00\x06\x05READY"...), []byte{65, 3}, false)
	f.Add([]byte("POST / HTTP/1.1"), []byte{2}, true)
	f.Add([]byte("\x01\x00\x02\x00x"), []byte{1}, true)
	f.Add([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x03\x7eid\x01\x00"), []byte{1}, true)
	f.Add([]byte("\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x01\x08\x00\x02id\x00\x00"), []byte{10}, true)
	f.Fuzz(func(t *testing.T, in, cuts []byte, downgrade bool) {
		config := Config{SocketType: Pull, MaxCommand: 100, Downgrade: downgrade}
		whole, cut := newHandshake(t, config), newHandshake(t, config)
		n, out, err := whole.Step(in)
		var (
			cutN   int
			cutOut []byte
			cutErr error
		)
		for cutErr == nil && cutN < len(in) && !cut.Done() {
			size := 1
			if len(cuts) > 0 {
				size, cuts = max(1, int(cuts[0])), cuts[1:]
			}
			piece := in[cutN:min(cutN+size, len(in))]
			used, more, err := cut.Step(piece)
			require.True(t, used == len(piece) || err != nil || cut.Done(), "took %d of %d", used, len(piece))
			require.LessOrEqual(t, len(cut.buf), max(oldLongStart+maxIdentity, MaxHeaderSize+config.MaxCommand))
			cutN, cutOut, cutErr = cutN+used, append(cutOut, more...), err
		}
		require.Equal(t, err, cutErr)
		require.Equal(t, string(out), string(cutOut))
		require.Equal(t, whole.Done(), cut.Done())
		require.Equal(t, whole.Peer(), cut.Peer())
		if err != nil {
			var refused *HandshakeError
			require.True(t, errors.As(err, &refused))
			assertPrintable(t, refused.Detail)
			require.False(t, whole.Done())
			return
		}
		require.Equal(t, n, cutN)
		require.True(t, n == len(in) || whole.Done())
		require.True(t, downgrade || whole.Peer().Major != 1 && whole.Peer().Major != 2)
	})
}

// A header is what the grammar of RFC 37 says, written here once more and slowly.
func FuzzParseHeader(f *testing.F) {
	for _, seed := range []string{"", "\x00\x05", "\x02\x00\x00\x00\x00\x00\x00\x01\x00", "\x05", "\xff", "\x06\x80"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		flags, size, n, err := ParseHeader(b)
		if len(b) > 0 && (b[0]&0xf8 != 0 || b[0]&5 == 5) {
			require.ErrorIs(t, err, ErrFrameFlags)
			return
		}
		if len(b) > 1 && b[0]&FlagLong != 0 && b[1] >= 0x80 {
			require.ErrorIs(t, err, ErrFrameSize)
			return
		}
		require.NoError(t, err)
		want := 2
		if len(b) > 0 && b[0]&FlagLong != 0 {
			want = MaxHeaderSize
		}
		if len(b) < want {
			require.Zero(t, n)
			return
		}
		require.Equal(t, want, n)
		require.Equal(t, b[0]&^FlagLong, flags)
		wide := append(make([]byte, 8), b[1:n]...)
		require.Equal(t, binary.BigEndian.Uint64(wide[len(wide)-8:]), size)
		if again := AppendHeader(nil, flags, int(size)); size > maxShort || n == 2 {
			require.Equal(t, b[:n], again)
		}
	})
}

// A command that parses is its name and data, and nothing else.
func FuzzParseCommand(f *testing.F) {
	for _, seed := range []string{"", "\x00", "\x04PING\x00\x64ctx", "\x05ERROR\x03400", "\x05ERROR\xff", "\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		name, data, err := ParseCommand(body)
		if err != nil {
			require.ErrorIs(t, err, ErrCommand)
			return
		}
		require.NotEmpty(t, name)
		frame := AppendCommand(nil, string(name), data)
		_, size, n, err := ParseHeader(frame)
		require.NoError(t, err)
		require.Equal(t, uint64(len(body)), size)
		require.Equal(t, string(body), string(frame[n:]))

		if reason, err := ParseError(data); err == nil {
			assertPrintable(t, reason)
		} else {
			require.ErrorIs(t, err, ErrCommand)
		}
	})
}

// Metadata that parses is written back octet for octet.
func FuzzParseMetadata(f *testing.F) {
	for _, seed := range []string{
		"", readyPush[8:], "\x01X\x00\x00\x00\x00\x01x\x00\x00\x00\x00", "\x01X\xff\xff\xff\xff", "\x00", "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMetadata(b)
		if err != nil {
			require.ErrorIs(t, err, ErrMetadata)
			assertPrintable(t, err.Error())
			return
		}
		require.LessOrEqual(t, len(m), maxProperties)
		require.Equal(t, string(b), string(AppendMetadata(nil, m)))
		for _, p := range m {
			value, found := m.Get(p.Name)
			require.True(t, found)
			require.Equal(t, p.Value, value)
		}
	})
}

// A PING that parses is written back, but for a time to live above our cap.
func FuzzPing(f *testing.F) {
	f.Add([]byte{}, int64(0))
	f.Add([]byte{0}, int64(time.Millisecond))
	f.Add([]byte{2, 0x8f}, int64(70*time.Second))
	f.Add([]byte("\x00\x010123456789abcdef"), int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, nanos int64) {
		ttl, context, err := ParsePing(data)
		if len(data) < 2 || len(data) > 2+maxContext {
			require.ErrorIs(t, err, ErrCommand)
		} else {
			require.NoError(t, err)
			if ttl <= maxTTL*ttlUnit {
				require.Equal(t, string(data), string(AppendPing(nil, ttl, context)[7:]))
			}
			require.Equal(t, string(context), string(AppendPong(nil, context)[7:]))
		}
		sent, _, err := ParsePing(AppendPing(nil, time.Duration(nanos), data)[7:])
		require.NoError(t, err)
		want := min(max(time.Duration(nanos), 0), maxTTL*ttlUnit)
		require.GreaterOrEqual(t, sent, want)
		require.Less(t, sent-want, ttlUnit)
	})
}

func assertPrintable(t *testing.T, text string) {
	t.Helper()
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			t.Fatalf("%q has octet %02x", text, text[i])
		}
	}
}
