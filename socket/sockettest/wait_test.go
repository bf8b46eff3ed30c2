package sockettest

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A moment takes its time, is and ends a context that is made of it too.
func TestSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start, ctx := time.Now(), Soon(t)
		child, cancel := context.WithCancel(ctx)
		defer cancel()
		assert.NoError(t, ctx.Err())
		<-child.Done()
		assert.Equal(t, 50*time.Millisecond, time.Since(start))
		for _, c := range []context.Context{ctx, child} {
			assert.ErrorIs(t, c.Err(), context.DeadlineExceeded)
		}
	})
}

// An unused endpoint refuses connections until the test listens there, and again after it does.
func TestUnused(t *testing.T) {
	t.Parallel()
	addr := strings.TrimPrefix(Unused(t), "tcp://")
	for range 3 {
		_, err := net.Dial("tcp", addr)
		require.Error(t, err)
		ln, err := net.Listen("tcp", addr)
		require.NoError(t, err)
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		assert.NoError(t, conn.Close())
		require.NoError(t, ln.Close())
	}
}
