package link

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// backlog is a connection on which so much of the data has come that it says how much.
type backlog struct {
	scripted
	come  int
	reads []int
}

func (c *backlog) TryRead(p []byte) (int, error) {
	n, err := c.Read(p)
	c.come -= n
	c.reads = append(c.reads, n)
	return n, err
}

func (c *backlog) TryWrite([]byte) (int, error) { return 0, transport.ErrWouldBlock }

func (c *backlog) Waiting() int { return min(c.come, len(c.data)) }

// behind returns the read end of a connection on which all of data has come.
func behind(data []byte, steps ...byte) (*In, *backlog) {
	c := &backlog{scripted: scripted{data: data, steps: steps}, come: len(data)}
	in := NewIn(NewConn(c), nil, 1<<30)
	in.Command = func(_, _ []byte) error { return nil }
	return in, c
}

// numbered is count frames of size bytes, each of which says which it is.
func numbered(count, size int) (data []byte) {
	for i := range count {
		data = zmtp.AppendFrame(data, 0, bytes.Repeat([]byte{byte(i)}, size))
	}
	return data
}

// Where several large bodies of one size are there, one read takes as many as make a chunk, whole ones.
func TestIn_ReadsLargeBodiesInRuns(t *testing.T) {
	t.Parallel()
	for size, each := range map[int]int{40 << 10: 6, 64 << 10: 4, 128 << 10: 2} {
		in, c := behind(numbered(40, size))
		var slab Slab
		most := 0
		for i := 0; i < 40; {
			b, err := in.Fill(false)
			require.NoError(t, err)
			for most = max(most, b.Msgs); b.Msgs > 0; i++ {
				frames, _ := b.Next(&slab, 0)
				require.Equal(t, bytes.Repeat([]byte{byte(i)}, size), frames[0])
			}
		}
		assert.Equal(t, each, most, "%d KiB", size>>10)
		assert.Less(t, len(c.reads), 40/each+10, "%d KiB", size>>10)
	}
}

// Where but one is there, it is read where it stays, behind its header.
func TestIn_ReadsALoneBodyWhereItStays(t *testing.T) {
	t.Parallel()
	in, c := behind(numbered(10, 64<<10))
	for range 10 {
		c.come = 64<<10 + 9
		b, err := in.Fill(false)
		require.NoError(t, err)
		require.Equal(t, 1, b.Msgs)
		require.Nil(t, b.data)
	}
	require.Equal(t, []int{9, 64 << 10, 9, 64 << 10}, c.reads[len(c.reads)-4:])
}

// What comes in place of more of the same is found as it is, however it comes.
func TestIn_RunsThatTurnOutOtherwise(t *testing.T) {
	t.Parallel()
	large := numbered(5, 50<<10)
	for name, data := range map[string][]byte{
		"smaller":         append(numbered(5, 100<<10), numbered(20, 33<<10)...),
		"larger":          append(large, numbered(2, 300<<10)...),
		"small":           append(large, numbered(2000, 20)...),
		"with commands":   stream([]int{40 << 10}, []int{40 << 10}, []int{40 << 10}, []int{40 << 10}, []int{40 << 10}, []int{7}),
		"several frames":  append(bytes.Repeat(large, 2), stream([]int{50 << 10, 50 << 10}, []int{50 << 10, 3, 50 << 10}, []int{50 << 10})...),
		"of two frames":   bytes.Repeat(append(zmtp.AppendFrame(nil, zmtp.FlagMore, []byte("topic")), zmtp.AppendFrame(nil, 0, make([]byte, 50<<10))...), 20),
		"of two large":    bytes.Repeat(append(zmtp.AppendFrame(nil, zmtp.FlagMore, make([]byte, 50<<10)), numbered(1, 50<<10)...), 20),
		"a broken header": append(large, 0x80),
	} {
		for _, steps := range [][]byte{nil, {255, 255, 1}} {
			for _, release := range []bool{false, true} {
				t.Run(fmt.Sprint(name, steps, release), func(t *testing.T) {
					in, _ := behind(bytes.Clone(data), steps...)
					in.reuse.Store(release)
					want, _ := naive(data, 1<<30)
					var slab Slab
					for i := 0; i < len(want); {
						b, err := in.Fill(true)
						require.NoError(t, err)
						for ; b.Msgs > 0; i++ {
							frames, _ := b.Next(&slab, 0)
							require.Len(t, frames, len(want[i]))
							for j := range frames {
								require.True(t, bytes.Equal(want[i][j], frames[j]), "message %d, frame %d", i, j)
								if release {
									clear(frames[j])
								}
							}
							if release {
								b.Lease.Release(frames)
							}
						}
					}
				})
			}
		}
	}
}

// The chunk of a run serves for the next one once its messages were given back.
func TestIn_RunsShareAChunk(t *testing.T) {
	t.Parallel()
	in, _ := behind(numbered(64, 64<<10))
	in.reuse.Store(true)
	var slab Slab
	chunks := map[*byte]bool{}
	for i := 0; i < 64; {
		b, err := in.Fill(false)
		require.NoError(t, err)
		lease := b.Lease
		for ; b.Msgs > 0; i++ {
			frames, _ := b.Next(&slab, 0)
			if b.data != nil {
				chunks[&in.buf[0]] = true
			}
			lease.Release(frames)
		}
	}
	require.LessOrEqual(t, len(chunks), 2)
}

// What the system says of a connection is what can be read of it.
func TestWaiting(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer a.Close()
	b, err := ln.Accept()
	require.NoError(t, err)
	defer b.Close()
	conn := NewConn(b)
	if conn.ready == nil {
		t.Skip("this system does not tell")
	}
	require.Zero(t, conn.ready.Waiting())
	_, err = a.Write(make([]byte, 100))
	require.NoError(t, err)
	p := make([]byte, 40)
	n, err := conn.Read(p)
	require.NoError(t, err)
	require.Equal(t, 40, n)
	require.Equal(t, 60, conn.ready.Waiting())
	require.Zero(t, testing.AllocsPerRun(100, func() { conn.ready.Waiting() }))
}
