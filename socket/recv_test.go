package socket_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// Recv may read the connection itself, or the pump; which one changes when peers come and go and when callers give up. No message is lost or
// overtaken by that.
func TestRecv_ReaderChanges(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const messages = 6000
		pull, first := socket.NewPull(), socket.NewPush()
		endpoint := join(t, transport, pull, first)
		require.NoError(t, pull.WaitPeers(limit(t), 1))
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { // peers that come and go while a caller reads
			for range 30 {
				other := socket.NewPush()
				assert.NoError(t, other.Connect(endpoint))
				assert.NoError(t, other.Send(limit(t), text("other")))
				assert.NoError(t, other.Shutdown(limit(t)))
			}
		})
		wg.Go(func() { // bursts, with pauses in which callers wait
			for i := range messages {
				if i%50 == 0 {
					<-shortly(t, time.Duration(i%7)*time.Millisecond/2).Done()
				}
				assert.NoError(t, first.Send(limit(t), ordinal(i, 9)))
			}
		})
		others := 0
		for next := 0; next < messages || others < 30; {
			m, err := pull.Recv(shortly(t, time.Duration(next%5)*100*time.Microsecond))
			if errors.Is(err, context.DeadlineExceeded) {
				continue
			}
			require.NoError(t, err)
			if m.String() == "other" {
				others++
				continue
			}
			require.Equal(t, next, ordinalOf(m))
			next++
		}
	})
}

func shortly(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A caller that waits for a sole peer must hear of a second one's messages at once, and of the end of its context.
func TestRecv_SecondPeerWhileReading(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		for range 20 {
			func() {
				pull, silent, other := socket.NewPull(), socket.NewPush(), socket.NewPush()
				defer closeAll(t, other, silent, pull)
				endpoint := bind(t, pull, fresh(t, transport))
				require.NoError(t, silent.Connect(endpoint))
				require.NoError(t, pull.WaitPeers(limit(t), 1))
				got := make(chan error)
				go func() {
					_, err := pull.Recv(context.Background())
					got <- err
				}()
				require.NoError(t, other.Connect(endpoint))
				send(t, other, "x")
				require.NoError(t, <-got)

				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					_, err := pull.Recv(ctx)
					got <- err
				}()
				cancel()
				require.ErrorIs(t, <-got, context.Canceled)
			}()
		}
	})
}

func closeAll(t *testing.T, sockets ...interface{ Close() error }) {
	for _, s := range sockets {
		assert.NoError(t, s.Close())
	}
}

// What a peer sent before it went is received, also when we learn from writing that it is gone.
func TestRecv_OutlivesWriting(t *testing.T) {
	for _, transport := range []string{"tcp", "ipc"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			s := socket.NewDealer(socket.WithRecvHWM(1))
			closing(t, s)
			raw := sockettest.DialRaw(t, bind(t, s, fresh(t, transport)))
			raw.Handshake("DEALER", 1)
			raw.SendMessage("read")
			require.Eventually(t, func() bool {
				peers := s.Stats().Peers
				return len(peers) == 1 && peers[0].InboxMessages == 1
			}, sockettest.Timeout, time.Millisecond)
			raw.SendMessage("arrived, and not read: the inbox is full")
			raw.Close()
			require.Eventually(t, func() bool {
				return assert.NoError(t, s.Send(limit(t), text("nobody reads this"))) && s.Stats().Peers[0].QueueMessages > 0
			}, sockettest.Timeout, time.Millisecond, "writing fails")
			requireMsg(t, recv(t, s), "read")
			requireMsg(t, recv(t, s), "arrived, and not read: the inbox is full")
		})
	}
}

// A context that has ended makes Recv a try: it returns what is there.
func TestRecv_Try(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		push, pull := socket.NewPush(), socket.NewPull()
		join(t, transport, pull, push)
		_, err := pull.Recv(try())
		require.ErrorIs(t, err, context.Canceled)
		_, err = pull.Recv(soon(t))
		require.ErrorIs(t, err, socket.ErrTimeout)
		send(t, push, "there")
		require.Eventually(t, func() bool {
			m, err := pull.Recv(try())
			return err == nil && m.String() == "there"
		}, sockettest.Timeout, time.Millisecond)
	})
}

// Whoever looks for messages without sleeping gets them, and still sees the end of its context and of the socket.
func TestRecv_BusyPoll(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		rep, req := socket.NewRep(socket.WithBusyPoll(time.Millisecond)), socket.NewReq(socket.WithBusyPoll(time.Millisecond))
		closing(t, rep, req)
		join(t, transport, rep, req)
		for range 20 {
			send(t, req, "ping")
			requireMsg(t, recv(t, rep), "ping")
			send(t, rep, "pong")
			requireMsg(t, recv(t, req), "pong")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := rep.Recv(ctx)
		require.ErrorIs(t, err, socket.ErrTimeout)
		done := make(chan error, 1)
		go func() {
			_, err := rep.Recv(context.Background())
			done <- err
		}()
		require.NoError(t, rep.Close())
		require.ErrorIs(t, <-done, socket.ErrClosed)
	})
}

// Sockets may live in bubbles of testing/synctest, one after the other: what one waited with is not handed to the next.
func TestRecv_InBubbles(t *testing.T) {
	t.Parallel()
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			pull := socket.NewPull()
			closing(t, pull)
			bind(t, pull, "inproc://"+t.Name())
			start := time.Now()
			_, err := pull.Recv(soon(t))
			require.ErrorIs(t, err, socket.ErrTimeout)
			require.Equal(t, 50*time.Millisecond, time.Since(start))
		})
	}
}

// A message that is kept keeps what was read into memory with it, at most 256 KiB, and not what came before or after that.
func TestRecv_KeptMessagesHoldLittle(t *testing.T) {
	for name, more := range map[string]func(t *testing.T, pull *socket.Pull, b *socket.Batch, each func(socket.Msg)){
		"Recv": func(t *testing.T, pull *socket.Pull, _ *socket.Batch, each func(socket.Msg)) { each(recv(t, pull)) },
		"RecvBatch": func(t *testing.T, pull *socket.Pull, b *socket.Batch, each func(socket.Msg)) {
			require.NoError(t, pull.RecvBatch(limit(t), b))
			for m, ok := b.Next(); ok; m, ok = b.Next() {
				each(m)
			}
		},
	} {
		eachTransport(t, func(t *testing.T, transport string) {
			const messages, size = 1000, 16 << 10
			pull, push := socket.NewPull(), socket.NewPush()
			join(t, transport, pull, push)
			go numbered(t, push, 0, messages, size)
			var kept []socket.Msg
			var all []weak.Pointer[byte]
			var b socket.Batch
			for len(all) < messages {
				more(t, pull, &b, func(m socket.Msg) {
					if len(all)%100 == 0 {
						kept = append(kept, socket.Msg{Frames: m.Frames[:1:1]})
					}
					all = append(all, weak.Make(&m.Frames[0][0]))
				})
			}
			runtime.GC()
			held := 0
			for _, m := range all {
				if m.Value() != nil {
					held += size
				}
			}
			assert.GreaterOrEqual(t, held, len(kept)*size, name)
			assert.LessOrEqual(t, held, (len(kept)+2)*(256<<10), name) // what the socket still has
			runtime.KeepAlive(kept)
		})
	}
}
