package link

import (
	"math"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// Messages that were received belong to the application, so that their memory is the garbage collector's to free. It runs when as much was
// allocated as lives, by default: in a process whose own heap is small that is every 4 MB, hundreds of times a second at full speed, and takes half of that
// speed. A library must not set the collector's goals, which are the application's. But it may have a heap that is not small: while messages
// arrive at a high rate, a reserve that nobody touches, which therefore is address space rather than memory, has the collector run once
// for each collectEvery bytes. Processes with a larger heap of their own, or with a low memory limit, get none.
const (
	collectEvery = 16 << 20
	// busyRate is how many bytes for messages a second make a process busy.
	busyRate = 32 << 20
	// soon is how long lookEvery bytes take at busyRate. A burst of fewer in a shorter time says nothing of the rate.
	soon = time.Second * lookEvery / busyRate
	// leastLimit is the memory limit (GOMEMLIMIT) from which on the reserve is a small part of it.
	leastLimit = 16 * collectEvery
	// lookEvery is after how many bytes somebody looks whether the process is busy.
	lookEvery = 16 << 20
)

// heap is what the collector sees of this process.
var heap reserve

// reserve holds memory back from use. While it watches, it looks after each collection at what was spent meanwhile.
type reserve struct {
	spent    atomic.Int64 // bytes of memory for messages
	watching atomic.Bool

	mu   sync.Mutex // guards the fields below
	seen int64      // spent at the last look
	at   time.Time  // of the last look, zero for none
	held []byte
}

// spend is called for each piece of memory for messages, used again or not: who gives theirs back makes something of them, which is to be collected instead.
func (r *reserve) spend(n int) {
	now := r.spent.Add(int64(n))
	if now/lookEvery != (now-int64(n))/lookEvery && !r.watching.Load() && !r.watching.Swap(true) {
		r.watch()
	}
}

// watch looks when the collector has run.
func (r *reserve) watch() { runtime.AddCleanup(new(sentinel), (*reserve).look, r) }

// sentinel is what the next collection frees. It is large enough to have a place of its own on the heap.
type sentinel struct{ _ [8]uintptr }

// look makes the reserve fit what was spent since the last look, and goes on watching until little is.
func (r *reserve) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, spent := time.Now(), r.spent.Load()
	first, since, more := r.at.IsZero(), now.Sub(r.at), spent-r.seen
	if !first && since < soon && more < lookEvery {
		r.watch()
		return
	}
	r.seen, r.at = spent, now
	if first {
		r.watch()
		return
	}
	busy := float64(more) >= busyRate*since.Seconds()
	switch size := reserveFor(readGoals(), len(r.held), busy); {
	case size == 0:
		r.held = nil
	case r.held == nil:
		r.held = make([]byte, size)
	}
	if !busy {
		r.at = time.Time{}
		r.watching.Store(false)
		return
	}
	r.watch()
}

// goals are what the collector goes by.
type goals struct {
	live    uint64 // bytes in use at the last collection, the reserve among them
	percent uint64 // GOGC, math.MaxUint64 for off
	limit   uint64 // GOMEMLIMIT, math.MaxInt64 for none
}

func readGoals() goals {
	s := [...]metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s[:])
	return goals{s[0].Value.Uint64(), s[1].Value.Uint64(), s[2].Value.Uint64()}
}

// reserveFor returns how large the reserve is to be, where held bytes are there. What lives beside it differs from look to look, by what came while the collector
// ran, which is much on a busy machine. One that is there therefore stays until twice as much lives as it takes to do without: to give it up and make it again
// would have the collector run every 4 MB meanwhile, and clear what the reserve then lies on.
func reserveFor(g goals, held int, busy bool) int {
	if !busy || g.percent == 0 || g.percent == math.MaxUint64 || g.limit < leastLimit {
		return 0
	}
	heap := collectEvery * 100 / g.percent // of this size is collected once for each collectEvery bytes
	enough := heap
	if held > 0 {
		enough = 2*heap + uint64(held)
	}
	if g.live >= enough {
		return 0
	}
	return int(heap)
}
