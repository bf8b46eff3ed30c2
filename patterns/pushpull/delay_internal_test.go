package pushpull

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// Fault plan, row 42: the clock is set forth by a year, back by an hour, and right again while messages wait. Each goes when as much time has passed
// as it was to wait when it was taken, those of one date in their order.
func TestFault42_DelayedMessagesDoNotJump(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		push, pull := socket.NewPush(), socket.NewPull()
		defer push.Close()
		defer pull.Close()
		_, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		require.NoError(t, push.Connect("inproc://"+t.Name()))
		d := newDelay(push, func(_ context.Context, err error) { assert.NoError(t, err) })
		var ahead time.Duration
		d.wall = func() time.Time { return time.Now().Add(ahead) }
		start := time.Now()
		for i, jump := range []time.Duration{0, 365 * 24 * time.Hour, -time.Hour, 0} {
			if ahead = jump; i < 3 {
				assert.Equal(t, 2*i, d.len(), "nothing is due yet")
			}
			at := d.wall().Add(30 * time.Minute).Truncate(time.Millisecond)
			for _, name := range []string{"a", "b"} {
				require.NoError(t, d.add(t.Context(), at, []byte{byte('0' + i), name[0]}))
			}
			<-time.After(10 * time.Minute)
		}
		for i, want := range []string{"0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"} {
			m, err := pull.Recv(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, m.String())
			if due := time.Duration(30+10*(i/2)) * time.Minute; i >= 4 { // those before have come while we slept
				assert.InDelta(t, due, time.Since(start), float64(time.Millisecond))
			}
		}
		d.stop()
		require.NoError(t, d.close())
	})
}
