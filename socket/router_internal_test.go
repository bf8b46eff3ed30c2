package socket

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// A peer that acknowledges and is let in just now, when its connection before has ended, is waited for until it is there, or is not let in after all. Nothing is remembered of it then.
func TestRouter_WaitsForWhoIsLetIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		router := NewRouter(WithAck())
		defer router.Close()
		who := zmtp.Peer{Identity: []byte("d")}
		p := newPipe(&router.core, "inproc://x", nil)
		require.NoError(t, router.identify(p, who))
		require.ErrorIs(t, router.Send(lapsed, []byte("d"), nil), ErrNoPeer, "it does not acknowledge")

		who.Metadata = zmtp.Metadata{{Name: zmtp.PropertyAck, Value: []byte("1 receive")}}
		for _, end := range []func(*pipe){router.release, router.detach, router.forget} {
			require.NoError(t, router.identify(p, who))
			require.ErrorIs(t, router.Send(lapsed, []byte("d"), nil), ErrFull)
			require.ErrorIs(t, router.Send(lapsed, []byte("e"), nil), ErrNoPeer)
			sent := make(chan error, 1)
			go func() { sent <- router.Send(t.Context(), []byte("d"), nil) }()
			synctest.Wait()
			require.Empty(t, sent)
			end(p)
			require.ErrorIs(t, <-sent, ErrNoPeer)
			require.Empty(t, router.coming)
		}
	})
}

// Writable never takes a peer that is let in for one that is not there, not in the moment in which it comes either.
func TestRouter_WritableWhileSomebodyComes(t *testing.T) {
	t.Parallel()
	router := NewRouter(WithAck())
	defer router.Close()
	p, stop := newPipe(&router.core, "inproc://x", nil), make(chan struct{})
	router.coming[p] = "d"
	var moving sync.WaitGroup
	defer moving.Wait()
	defer close(stop)
	moving.Go(func() {
		for coming := true; ; coming = !coming {
			select {
			case <-stop:
				return
			default:
			}
			router.tableMu.Lock()
			if coming {
				delete(router.coming, p)
				router.table.Add("d", p)
			} else {
				router.coming[p] = "d"
				router.table.Remove("d", p)
			}
			router.tableMu.Unlock()
		}
	})
	for range 10_000 {
		_, err := router.Writable([]byte("d"))
		require.NoError(t, err)
	}
}
