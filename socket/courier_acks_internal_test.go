package socket

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestCourier_ProcessEndsWhileTheDiskSyncs, with a backlog and a peer that handles it as fast as it comes: however long the sync takes, no more come again than the credit
// and 4096, since no more are handed out. When it ends they are.
func TestCourier_ProcessEndsWhileTheDiskSyncs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const backlog, credit = 20_000, 500
		mem, hanging, proceed := spooltest.NewMem(), atomic.Bool{}, make(chan struct{})
		log, queue := openQueue(t, &spooltest.Faulty{FS: mem, Before: func(_ int64, op, _ string) error {
			if op == "sync" && hanging.Load() {
				<-proceed
			}
			return nil
		}}, spool.Options{})
		k := newCourierTestFrom(t, log, queue, evenRetry)
		k.send(backlog)
		p, handled := newPeer(k.c, credit), uint64(0)
		handle := func(most uint64) {
			for synctest.Wait(); len(p.got) > 0 && handled < most; synctest.Wait() {
				d := <-p.got
				handled = d.number
				p.settle(d.number)
			}
		}
		handle(backlog / 4)
		hanging.Store(true)
		time.Sleep(100 * time.Millisecond) // until acknowledgements are synced
		handle(backlog)
		left, again := openQueue(t, mem.Crash(nil), spool.Options{})
		floor, _ := again.Position()
		require.NoError(t, left.Close())
		assert.GreaterOrEqual(t, floor, uint64(backlog/4))
		assert.Less(t, handled, uint64(backlog))
		assert.LessOrEqual(t, handled-floor, uint64(credit+4096))
		close(proceed)
		handle(backlog)
		assert.EqualValues(t, backlog, handled)
	})
}
