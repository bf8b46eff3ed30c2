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

// instantPeer has handled each message before it is handed the next: its credit never ends.
type instantPeer struct {
	*peerOf
	handled func(number uint64)
}

func (p *instantPeer) flush() {
	d := <-p.got
	p.handled(d.number)
	p.settle(d.number)
}

// TestCourier_ProcessEndsWhileTheDiskSyncs_Instantly is that with a peer whose credit never ends what is handed out between two looks at what was settled.
func TestCourier_ProcessEndsWhileTheDiskSyncs_Instantly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const backlog = 20_000
		mem, hanging, proceed := spooltest.NewMem(), atomic.Bool{}, make(chan struct{})
		log, queue := openQueue(t, &spooltest.Faulty{FS: mem, Before: func(_ int64, op, _ string) error {
			if op == "sync" && hanging.Load() {
				<-proceed
			}
			return nil
		}}, spool.Options{})
		k := newCourierTestFrom(t, log, queue, evenRetry)
		k.send(backlog)
		handled := atomic.Uint64{}
		p := &instantPeer{peerOf: &peerOf{credit: 500, got: make(chan delivery, 1)}, handled: func(number uint64) {
			if handled.Store(number); number == backlog/4 {
				hanging.Store(true)
				time.Sleep(100 * time.Millisecond) // until what was settled before is being synced
			}
		}}
		p.m = k.c.member(p)
		p.m.join()
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		left, again := openQueue(t, mem.Crash(nil), spool.Options{})
		floor, _ := again.Position()
		require.NoError(t, left.Close())
		assert.Less(t, handled.Load(), uint64(backlog))
		assert.LessOrEqual(t, handled.Load()-floor, uint64(4096+1))
		close(proceed)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.EqualValues(t, backlog, handled.Load())
	})
}
