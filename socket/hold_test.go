package socket_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Of two in RecvHold, the one who has a message keeps reading to itself until it is back, HandOn is called, or the read pump loses patience.
func TestRouter_RecvHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		router, dealer := socket.NewRouter(), socket.NewDealer()
		endpoint, err := router.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		require.NoError(t, dealer.Connect(endpoint))
		got, back := make(chan string, 9), make(chan struct{})
		var receivers sync.WaitGroup
		for range 2 { // ended by Close
			receivers.Go(func() {
				for m, err := router.RecvHold(context.Background()); err == nil; m, err = router.RecvHold(context.Background()) {
					got <- string(m.Frames[1])
					<-back
				}
			})
		}
		arrives := func(bodies ...string) {
			t.Helper()
			synctest.Wait()
			require.Len(t, got, len(bodies))
			for _, body := range bodies {
				assert.Equal(t, body, <-got)
			}
		}
		send := func(body string) { require.NoError(t, dealer.Send(t.Context(), text(body))) }

		for range 3 { // the read pump leaves reading to them once it has found that they wish to
			send("0")
			arrives("0")
			back <- struct{}{}
			after(100 * time.Millisecond)
		}
		send("1")
		arrives("1")
		send("2")
		arrives() // nobody reads
		back <- struct{}{}
		arrives("2")
		send("3")
		arrives()
		began := time.Now()
		router.HandOn()
		arrives("3")
		assert.Zero(t, time.Since(began))
		back <- struct{}{}
		back <- struct{}{}
		send("4")
		arrives("4")
		send("5")
		after(100 * time.Millisecond)
		arrives("5")
		send("6")
		send("7")
		back <- struct{}{}
		arrives("6") // both were read
		back <- struct{}{}
		arrives("7")
		close(back)
		require.NoError(t, dealer.Close())
		require.NoError(t, router.Close())
		receivers.Wait()
	})
}
