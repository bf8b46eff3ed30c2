package link

import (
	"bytes"
	"encoding/binary"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// scripted is a connection that delivers given bytes in given portions, then the end.
type scripted struct {
	net.Conn
	data  []byte
	steps []byte // sizes of reads, used round and round
	next  int
}

func (c *scripted) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, net.ErrClosed
	}
	n := len(c.data)
	if len(c.steps) > 0 {
		n = 1 + int(c.steps[c.next%len(c.steps)])*97
		c.next++
	}
	n = copy(p, c.data[:min(n, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

func (c *scripted) SetReadDeadline(time.Time) error { return nil }

// maxFrames is the limit that the tests set.
const maxFrames = 64 << 10

// naive decodes a stream frame by frame with no cleverness, as far as it is sound and within max.
func naive(data []byte, max int) (msgs [][][]byte, commands int) {
	var frames [][]byte
	size := 0
	for {
		flags, n, h, err := zmtp.ParseHeader(data)
		if err != nil || h == 0 {
			return msgs, commands
		}
		command := flags&zmtp.FlagCommand != 0
		if command && n > maxCommand || !command && (n > uint64(max-size) || len(frames) >= maxFrames) || n > uint64(len(data)-h) {
			return msgs, commands
		}
		body := data[h : h+int(n)]
		data = data[h+int(n):]
		if command {
			if _, _, err := zmtp.ParseCommand(body); err != nil {
				return msgs, commands
			}
			commands++
			continue
		}
		frames, size = append(frames, body), size+len(body)
		if flags&zmtp.FlagMore == 0 {
			msgs = append(msgs, frames)
			frames, size = nil, 0
		}
	}
}

// drain returns all messages that In finds.
func drain(t *testing.T, conn *Conn, early []byte, max int) (msgs [][][]byte, commands int) {
	in := NewIn(conn, early, max)
	in.MaxFrames = maxFrames
	in.Command = func(_, _ []byte) error { commands++; return nil }
	var slab Slab
	for {
		b, err := in.Fill(true)
		if err != nil {
			return msgs, commands
		}
		bytes := b.Bytes
		for b.Msgs > 0 {
			frames, size := b.Next(&slab, 1)
			bytes -= size
			msgs = append(msgs, frames[1:])
		}
		require.Zero(t, bytes, "a batch knows the size of its messages")
	}
}

// stream encodes messages of the given frame sizes, with a PING before each.
func stream(sizes ...[]int) []byte {
	var data []byte
	for i, frames := range sizes {
		data = zmtp.AppendPing(data, 0, nil)
		for j, n := range frames {
			flags := byte(zmtp.FlagMore)
			if j == len(frames)-1 {
				flags = 0
			}
			data = zmtp.AppendFrame(data, flags, bytes.Repeat([]byte{byte(i + j)}, n))
		}
	}
	return data
}

// checkAsNaive compares what In makes of a stream that arrives in pieces with what naive does.
func checkAsNaive(t *testing.T, data, steps []byte, early, max int) {
	t.Helper()
	checkDrained(t, &Conn{Conn: &scripted{data: data[early:], steps: steps}}, bytes.Clone(data[:early]), data, max)
}

// checkDrained compares what In makes of a connection with what naive makes of the frames that are on it.
func checkDrained(t *testing.T, conn *Conn, early, data []byte, max int) {
	t.Helper()
	want, wantCommands := naive(data, max)
	got, commands := drain(t, conn, early, max)
	require.LessOrEqual(t, commands, wantCommands)
	require.Len(t, got, len(want))
	for i := range got {
		require.Len(t, got[i], len(want[i]), "message %d", i)
		for j := range got[i] {
			require.True(t, bytes.Equal(want[i][j], got[i][j]), "message %d, frame %d", i, j)
		}
	}
	if len(tail(data, max)) == 0 {
		require.Equal(t, wantCommands, commands)
	}
}

func FuzzIn(f *testing.F) {
	small := stream([]int{0}, []int{1, 2, 3}, []int{255}, []int{256}, []int{0, 0, 0})
	f.Add(small, []byte{}, uint8(0), 1<<20)
	f.Add(small, []byte{0}, uint8(5), 1<<20)
	f.Add(small, []byte{0, 1}, uint8(200), 100)
	f.Add([]byte{2, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, []byte{0}, uint8(3), 1<<30)
	f.Fuzz(func(t *testing.T, data, steps []byte, early uint8, max int) {
		if max >= 0 && max <= 1<<30 {
			checkAsNaive(t, data, steps, min(int(early), len(data)), max)
		}
	})
}

// Messages that outgrow a chunk, in whatever portions they arrive.
func TestIn_LargeMessages(t *testing.T) {
	t.Parallel()
	streams := map[string][]byte{
		"one after another": stream([]int{5}, []int{10, inlineBody + 1, 3}, []int{inlineBody}, []int{3 * inlineBody, 3 * inlineBody}, []int{400 << 10}, []int{7}),
		"around the limits": stream([]int{inlineBody - 1}, []int{inlineBody, 1}, []int{inlineBody + 1}, []int{1, inlineBody}, []int{firstChunk}, []int{firstChunk - 9}, []int{maxChunk}),
		"at full length":    stream([]int{1 << 20}, []int{1}, []int{1 << 20, 1 << 19}),
		"many frames":       append(bytes.Repeat([]byte{1, 0}, 20000), 0, 0),
		"too many frames":   bytes.Repeat([]byte{1, 0}, maxFrames+10),
		"small ones":        bytes.Repeat(stream([]int{20}, []int{3, 4}), 3000),
	}
	for name, data := range streams {
		for _, steps := range [][]byte{nil, {3, 0, 250}, {40}, {255, 255, 1}} {
			for _, early := range []int{0, 9, 300} {
				for _, max := range []int{1 << 21, 3 * inlineBody} {
					t.Run(name, func(t *testing.T) { checkAsNaive(t, data, steps, early, max) })
				}
			}
		}
	}
}

// A stream cut at every octet gives the same messages.
func TestIn_CutAnywhere(t *testing.T) {
	t.Parallel()
	data := stream([]int{0}, []int{1, 2, 3}, []int{255}, []int{256, 300}, []int{0, 0, 0}, []int{700})
	for cut := range len(data) {
		checkAsNaive(t, data, []byte{0}, cut, 1<<20)
	}
}

// A header costs the peer nine bytes, so it may not cost us more than firstBody.
func TestIn_ClaimedLengthAllocatesNothing(t *testing.T) {
	for name, claim := range map[string]uint64{"beyond the limit": 1 << 62, "within the limit": 60 << 20} {
		t.Run(name, func(t *testing.T) {
			data := binary.BigEndian.AppendUint64([]byte{zmtp.FlagLong}, claim)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, _ := drain(t, &Conn{Conn: &scripted{data: data}}, nil, 64<<20)
			runtime.ReadMemStats(&after)
			require.Empty(t, got)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(firstBody+64<<10))
		})
	}
}

// tail returns what naive leaves of a stream: nothing, when it is sound and ends with a message or command.
func tail(data []byte, max int) []byte {
	size := 0
	start := data
	for {
		flags, n, h, err := zmtp.ParseHeader(data)
		if err != nil || h == 0 {
			return start
		}
		command := flags&zmtp.FlagCommand != 0
		if command && n > maxCommand || !command && n > uint64(max-size) || n > uint64(len(data)-h) {
			return start
		}
		if command {
			if _, _, err := zmtp.ParseCommand(data[h : h+int(n)]); err != nil {
				return start
			}
		}
		data = data[h+int(n):]
		if !command {
			size += int(n)
			if flags&zmtp.FlagMore == 0 {
				size, start = 0, data
			}
		} else if size == 0 {
			start = data
		}
	}
}

// endless is a connection on which PINGs never stop.
type endless struct{ scripted }

func (c *endless) TryWrite([]byte) (int, error) { return 0, transport.ErrWouldBlock }

func (c *endless) TryRead(p []byte) (int, error) {
	return copy(p, "\x04\x07\x04PING\x00\x00"), nil
}

// Who only tries is not kept by a peer that never stops and never says anything.
func TestIn_TryingEnds(t *testing.T) {
	t.Parallel()
	pings := 0
	in := NewIn(NewConn(&endless{}), nil, 1<<20)
	in.Command = func(_, _ []byte) error { pings++; return nil }
	b, err := in.Fill(false)
	require.NoError(t, err)
	require.Zero(t, b.Msgs)
	require.Equal(t, 1, pings, "commands are given a chance to change what the caller does next")
}

// flowing is a connection on which short messages never stop.
type flowing struct {
	scripted
	pattern []byte
}

func (c *flowing) Read(p []byte) (int, error) {
	for n := 0; n < len(p); {
		n += copy(p[n:], c.pattern)
	}
	return len(p) - len(p)%len(c.pattern), nil
}

// At full speed an allocation serves a thousand messages: a chunk of them, or their slices of frames.
func TestIn_AllocatesRarely(t *testing.T) {
	in := NewIn(&Conn{Conn: &flowing{pattern: stream([]int{64})}}, nil, 1<<20)
	in.Command = func(_, _ []byte) error { return nil }
	var slab Slab
	var b Batch
	allocs := testing.AllocsPerRun(200_000, func() {
		for b.Msgs == 0 {
			b, _ = in.Fill(true)
		}
		if frames, size := b.Next(&slab, 0); size != 64 || len(frames) != 1 {
			t.Fatalf("%d frames, %d bytes", len(frames), size)
		}
	})
	require.Zero(t, allocs, "AllocsPerRun rounds down")
}
