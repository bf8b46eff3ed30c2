package socket_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func inboxOf(s interface{ Stats() socket.Stats }) (msgs, bytes int) {
	for _, p := range s.Stats().Peers {
		msgs, bytes = msgs+p.InboxMessages, bytes+p.InboxBytes
	}
	return msgs, bytes
}

// Batches have what Recv would have returned, in order, of all sizes and numbers of frames.
func TestRecvBatch(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, pull, push)
		const n = 3000
		message := func(i int) [][]byte {
			body := fmt.Appendf(nil, "%d", i)
			switch i % 100 {
			case 50:
				return [][]byte{body, nil, []byte("more")}
			case 60:
				return [][]byte{body, []byte(strings.Repeat("x", 300))}
			case 70:
				return [][]byte{[]byte(strings.Repeat("x", 70_000)), body}
			}
			return [][]byte{body}
		}
		go func() {
			for i := range n {
				if err := push.Send(limit(t), message(i)...); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		var b socket.Batch
		for i := 0; i < n; {
			require.NoError(t, pull.RecvBatch(limit(t), &b))
			for m, ok := b.Next(); ok; m, ok = b.Next() {
				want := message(i)
				require.Len(t, m.Frames, len(want), "message %d", i)
				for f := range want {
					require.Equal(t, string(want[f]), string(m.Frames[f]))
				}
				require.NotNil(t, m.Peer())
				if i++; i%7 == 0 {
					b.Return()
				}
			}
		}
		_, ok := b.Next()
		assert.False(t, ok)
		b.Return()
		assert.EqualValues(t, n, pull.Stats().MessagesIn)
		assert.Equal(t, push.Stats().BytesOut, pull.Stats().BytesIn)
		msgs, bytes := inboxOf(pull)
		assert.Zero(t, msgs)
		assert.Zero(t, bytes)
	})
}

// What a batch has and Next has not returned counts as waiting, and Return makes it the next to be received.
func TestBatch_Return(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull(socket.WithRecvHWM(2))
	join(t, "inproc", pull, push)
	for i := range 5 {
		require.NoError(t, push.Send(limit(t), fmt.Append(nil, i)))
	}
	var b socket.Batch
	next := 0
	for next < 3 {
		require.NoError(t, pull.RecvBatch(limit(t), &b))
		m, ok := b.Next()
		require.True(t, ok)
		assert.Equal(t, fmt.Sprint(next), m.String())
		next++
		before, _ := inboxOf(pull)
		b.Return()
		after, _ := inboxOf(pull)
		assert.GreaterOrEqual(t, after, before)
		assert.EqualValues(t, next, pull.Stats().MessagesIn)
	}
	assert.Equal(t, "3", recv(t, pull).String())
	require.NoError(t, pull.RecvBatch(limit(t), &b))
	require.NoError(t, push.Close())
	require.NoError(t, pull.Close())
	b.Return()
	assert.Equal(t, "4", recv(t, pull).String(), "of a socket and a peer that are gone")
	assert.ErrorIs(t, pull.RecvBatch(limit(t), &b), socket.ErrClosed)
}

// What is left in a batch that is filled again is the next that it is filled with.
func TestRecvBatch_Again(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull()
	join(t, "tcp", pull, push)
	const n = 1000
	numbered(t, push, 0, n, 8)
	var b socket.Batch
	for i := range n {
		require.NoError(t, pull.RecvBatch(limit(t), &b))
		m, ok := b.Next()
		require.True(t, ok)
		require.Equal(t, i, ordinalOf(m))
	}
	_, more := b.Next()
	assert.False(t, more)
	b.Return()
	assert.EqualValues(t, n, pull.Stats().MessagesIn)
}

// What others receive, and what comes, while somebody has a batch leaves the count of waiting bytes right.
func TestRecvBatch_InboxBytes(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull()
	join(t, "inproc", pull, push)
	var b socket.Batch
	send(t, push, "one")
	require.NoError(t, pull.RecvBatch(limit(t), &b))
	_, ok := b.Next()
	require.True(t, ok)
	send(t, push, "and two")
	assert.Equal(t, "and two", recv(t, pull).String())
	send(t, push, "and then three")
	arrived := func() bool { n, _ := inboxOf(pull); return n == 1 }
	require.Eventually(t, arrived, sockettest.Timeout, time.Millisecond)
	b.Return()
	_, bytes := inboxOf(pull)
	assert.Equal(t, len("and then three"), bytes)
}

func TestRecvBatch_Errors(t *testing.T) {
	t.Parallel()
	var b socket.Batch
	pull := socket.NewPull()
	closing(t, pull)
	assert.ErrorContains(t, pull.RecvBatch(try(), &b), "context canceled")
	_, ok := b.Next()
	assert.False(t, ok)
	for name, opt := range map[string]socket.Option{"acknowledged": socket.WithAck(), "conflating": socket.WithConflate()} {
		s := socket.NewPull(opt)
		assert.ErrorIs(t, s.RecvBatch(try(), &b), socket.ErrOption, name)
		require.NoError(t, s.Close())
	}
	assert.ErrorIs(t, socket.NewPull(socket.WithRecvHWM(-1)).RecvBatch(try(), &b), socket.ErrOption)
	assert.Error(t, new(socket.Pull).RecvBatch(try(), &b), "a zero Pull")
}

// A batch that is given back makes room for what comes, one that is not stays as it is; nor does one of which a part went back to the socket.
func TestBatch_Release(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, pull, push)
		const n = 20_000
		go numbered(t, push, 0, n, 300)
		var b socket.Batch
		var kept []socket.Msg
		over, again := map[*byte]bool{}, 0 // where frames lay that were given back; having them here keeps others from getting the memory
		for i, batches := 0, 0; i < n; batches++ {
			require.NoError(t, pull.RecvBatch(limit(t), &b))
			b.Release() // nothing, while some are left
			var frames [][]byte
			for m, ok := b.Next(); ok; m, ok = b.Next() {
				require.Equal(t, i, ordinalOf(m))
				if over[&m.Frames[0][0]] {
					again++
				}
				frames = append(frames, m.Frames[0])
				if i++; i%5000 == 0 {
					b.Return()
				}
			}
			if batches%64 == 63 || i%5000 == 0 {
				kept = append(kept, socket.Msg{Frames: frames})
				continue
			}
			for _, f := range frames {
				over[&f[0]] = true
				clear(f)
			}
			b.Release()
			b.Release()
		}
		for _, m := range kept {
			first := ordinalOf(m)
			for i, f := range m.Frames {
				require.True(t, bytes.Equal(ordinal(first+i, 300), f))
			}
		}
		assert.Positive(t, again, "messages that lay where others had")
	})
}
