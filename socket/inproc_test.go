package socket_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What was received within the process stays as it is and may be changed, though the memory it is in was the sender's.
func TestInproc_MessagesAreTheReceivers(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"small": 100, "in chunks": 2000, "around large ones": 20 << 10, "large": 40 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			push, pull := socket.NewPush(), socket.NewPull()
			join(t, "inproc", pull, push)
			ctx := limit(t)
			count := 4 << 20 / size
			sent := make(chan error, 1)
			go func() { sent <- sendOrdinals(ctx, push, count, size) }()
			var kept []socket.Msg
			for i := range count {
				m := recv(t, pull)
				require.Equal(t, i, ordinalOf(m))
				require.Len(t, m.Bytes(), size+i%3)
				copy(m.Bytes()[8:], bytes.Repeat([]byte{byte(i)}, size))
				kept = append(kept, m)
			}
			require.NoError(t, <-sent)
			for i, m := range kept {
				require.Equal(t, i, ordinalOf(m))
				require.Equal(t, bytes.Repeat([]byte{byte(i)}, size-8), m.Bytes()[8:size])
			}
			assert.Empty(t, pull.Stats().Dropped)
		})
	}
}

func sendOrdinals(ctx context.Context, push *socket.Push, count, size int) error {
	for i := range count {
		if err := push.Send(ctx, ordinal(i, size+i%3)); err != nil {
			return err
		}
	}
	return nil
}

// What a receiver within the process gives back is used for what comes next, and what it keeps stays as it is.
func TestInproc_ReleasedMemoryServesAgain(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"chunks": 1000, "half chunks": 16 << 10, "bodies": 100_000, "bodies of a power of two": 256 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			push, pull := socket.NewPush(), socket.NewPull()
			join(t, "inproc", pull, push)
			body := func(n int) []byte { return bytes.Repeat([]byte{byte(n), byte(n >> 8)}, size/2) }
			at, again := map[*byte]bool{}, 0
			kept := map[int]socket.Msg{}
			for n := 0; n < 1000 || again == 0 && n < 20_000; n++ { // a pool forgets when the garbage collector runs, and at random under -race
				if n%100 == 0 { // as many as fill chunks
					for k := range 100 {
						require.NoError(t, push.Send(limit(t), body(n+k)))
					}
				}
				m := recv(t, pull)
				require.True(t, bytes.Equal(body(n), m.Bytes()), "message %d", n)
				if at[&m.Bytes()[0]] {
					again++
				}
				at[&m.Bytes()[0]] = true
				if n%300 == 7 {
					kept[n] = m
					continue
				}
				clear(m.Bytes())
				twice := m
				m.Release()
				twice.Release()
			}
			assert.NotZero(t, again)
			for n, m := range kept {
				require.True(t, bytes.Equal(body(n), m.Bytes()), "message %d", n)
			}
		})
	}
}
