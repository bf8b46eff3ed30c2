package pushpull

import (
	"context"
	"fmt"
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
			ahead = jump
			assert.Equal(t, []int{0, 2, 4, 4}[i], d.len())
			for _, m := range []struct {
				name string
				wait time.Duration
			}{{"a", 30 * time.Minute}, {"b", 30 * time.Minute}, {"soon", 5 * time.Minute}} {
				at := d.wall().Add(m.wait).Truncate(time.Millisecond)
				require.NoError(t, d.add(t.Context(), at, fmt.Append(nil, i, m.name)))
			}
			<-time.After(11 * time.Minute)
		}
		for i, want := range []string{"0soon", "1soon", "2soon", "0a", "0b", "3soon", "1a", "1b", "2a", "2b", "3a", "3b"} {
			m, err := pull.Recv(t.Context())
			require.NoError(t, err)
			assert.Equal(t, want, m.String())
			if i >= 8 { // those before have come in the loop above
				assert.InDelta(t, time.Duration(52+11*(i/10))*time.Minute, time.Since(start), float64(time.Millisecond))
			}
		}
		d.stop()
		require.NoError(t, d.close())
	})
}
