package socket

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ACKs are left in a stream only, while its sender has room, and less and less often where that turns out to be what it waits for.
func TestLull(t *testing.T) {
	t.Parallel()
	r := &receiver{c: &core{}}
	r.c.cfg.ackDelay = time.Hour
	in := &inbound{r: r, p: &pipe{c: r.c}, open: true}
	in.state.Grant(4*streaming, 1<<30)
	take := func(n uint64) { // and acknowledge
		t.Helper()
		tag, err := in.state.Deliver(n)
		require.NoError(t, err)
		for ; n > 0; n-- {
			r.settleLocked(&origin{source: &source{in: in, tag: tag}})
			tag++
		}
	}
	defer r.acks.stopLocked()

	take(streaming - 1)
	assert.False(t, in.leave(), "few")
	take(1)
	assert.True(t, in.leave())
	_, err := in.state.Deliver(streaming)
	require.NoError(t, err)
	assert.False(t, in.leave(), "half of the credit is used up")
	in.tellLocked()
	in.state.Grant(10*streaming, 1<<30)

	assert.True(t, in.comes())
	assert.False(t, in.comes())
	assert.Zero(t, in.leaving.wary, "nothing was left")
	for _, want := range []int{fewTells, 2 * fewTells, 4 * fewTells} {
		for i := range uint64(streaming) {
			in.state.Settle(in.state.Got()-streaming+1+i, 1)
		}
		require.False(t, in.comes())
		for range want {
			require.False(t, in.leave(), "it waits")
		}
		require.True(t, in.leave())
		in.tellLocked()
		_, err := in.state.Deliver(streaming)
		require.NoError(t, err)
		require.True(t, in.comes())
	}
	for range 20 {
		for i := range uint64(streaming) {
			in.state.Settle(in.state.Got()-streaming+1+i, 1)
		}
		require.False(t, in.comes())
		in.tellLocked()
		_, err := in.state.Deliver(streaming)
		require.NoError(t, err)
		require.True(t, in.comes())
	}
	assert.Equal(t, manyTells, in.leaving.tell, "at most")

	for i := range uint64(streaming) {
		in.state.Settle(in.state.Got()-streaming+1+i, 1)
	}
	for range enoughDues - 1 {
		take(5 * streaming)
	}
	assert.NotZero(t, in.leaving.wary, "bursts above half of the credit")
	take(5 * streaming)
	assert.Zero(t, in.leaving.wary, "a stream, which is told because that is due")
}
