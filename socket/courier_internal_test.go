package socket

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// peerOf is a member without a connection: it takes as many messages as it has credit for.
type peerOf struct {
	m      *member
	credit int
	got    chan delivery

	mu   sync.Mutex // guards the fields below
	has  []delivery // not settled
	full bool
}

func newPeer(c *courier, credit int) *peerOf {
	p := &peerOf{credit: credit, got: make(chan delivery, 10000)}
	p.m = c.member(p)
	p.m.join()
	return p
}

// newChoosyPeer is newPeer for one that wants the topics that begin with a letter.
func newChoosyPeer(c *courier, credit int, letter byte) *peerOf {
	p := &peerOf{credit: credit, got: make(chan delivery, 10000)}
	p.m = c.member(p)
	p.m.wants = func(topic []byte) bool { return topic[0] == letter }
	p.m.join()
	return p
}

func (p *peerOf) refuses(extent) error { return nil }

func (p *peerOf) deliver(d *delivery) (ok, flush bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full = len(p.has) >= p.credit; p.full {
		return false, false
	}
	mine := *d
	mine.frames = cloneFrames(d.frames)
	p.has = append(p.has, mine)
	p.got <- mine
	return true, true
}

func (p *peerOf) flush() {}

func (p *peerOf) outstanding() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.has)
}

// take removes message n from what the peer has.
func (p *peerOf) take(n uint64) (d delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.has, func(d delivery) bool { return d.number == n })
	d = p.has[i]
	p.has = slices.Delete(p.has, i, i+1)
	return d
}

func (p *peerOf) settle(numbers ...uint64) {
	for _, n := range numbers {
		p.take(n)
		p.m.settle(n, n)
	}
	p.room()
}

func (p *peerOf) fail(n uint64, b blame, after time.Duration, reason string) {
	p.m.giveBack(func() (returned, bool) {
		return returned{number: n, attempt: p.take(n).attempt, blame: b, after: after, reason: reason}, true
	})
	p.room()
}

func (p *peerOf) room() {
	p.mu.Lock()
	full := p.full
	p.mu.Unlock()
	if full {
		p.m.room()
	}
}

// die leaves the courier as a peer does whose connection ends.
func (p *peerOf) die() {
	p.mu.Lock()
	var all []returned
	for i, d := range p.has {
		all = append(all, returned{number: d.number, attempt: d.attempt, blame: []blame{failed, bystander}[min(i, 1)]})
	}
	p.has = nil
	p.mu.Unlock()
	p.m.leave(func() []returned { return all })
}

func (p *peerOf) next(t *testing.T) delivery {
	t.Helper()
	select {
	case d := <-p.got:
		return d
	case <-time.After(time.Minute):
		require.Fail(t, "nothing was delivered")
		return delivery{}
	}
}

func (p *peerOf) numbers(t *testing.T, n int) (all []uint64) {
	t.Helper()
	for range n {
		all = append(all, p.next(t).number)
	}
	return all
}

// courierTest is a courier on a log in memory.
type courierTest struct {
	t    *testing.T
	disk *spooltest.Mem
	log  *spool.Log
	c    *courier
	stop func()
	news []courierNews // without positions
}

var evenRetry = retryPolicy{min: time.Second, max: 8 * time.Second, random: func() float64 { return 0.5 }}

func newCourierTest(t *testing.T, disk *spooltest.Mem, o spool.Options, policy retryPolicy) *courierTest {
	log, from := openQueue(t, disk, o)
	k := newCourierTestFrom(t, log, from, policy)
	k.disk = disk
	return k
}

func openQueue(t *testing.T, fs spool.FS, o spool.Options) (*spool.Log, SpoolConsumer) {
	o.SegmentSize = 64 << 10
	log, err := spool.OpenFS(fs, o)
	require.NoError(t, err)
	from, err := SpoolOf(log).Consumer("", spool.Beginning())
	require.NoError(t, err)
	return log, from
}

// newCourierTestFrom is newCourierTest for a log that is open.
func newCourierTestFrom(t *testing.T, log *spool.Log, from SpoolConsumer, policy retryPolicy, set ...func(*courier)) *courierTest {
	k := &courierTest{t: t, log: log}
	k.c = newCourier(from, policy, func(n courierNews) {
		if !n.settled {
			k.news = append(k.news, n)
		}
	})
	for _, f := range set {
		f(k.c)
	}
	ctx, cancel := context.WithCancel(context.Background())
	k.stop = func() {
		cancel()
		<-k.c.over
	}
	go k.c.run(ctx) // ends with stop, which waits
	t.Cleanup(func() {
		k.stop()
		_ = log.Close()
	})
	return k
}

func (k *courierTest) send(n int) {
	k.t.Helper()
	for range n {
		_, err := k.log.Enqueue(context.Background(), fmt.Appendf(nil, "message %d", k.log.Next()))
		require.NoError(k.t, err)
	}
	require.NoError(k.t, k.log.Flush(context.Background()))
}

// ended stops the courier and returns the position it left.
func (k *courierTest) ended() (floor, pending uint64) {
	k.stop()
	return k.c.from.Position()
}

func from(lo, hi uint64) (all []uint64) {
	for n := lo; n <= hi; n++ {
		all = append(all, n)
	}
	return all
}

func TestCourier_KeepsOrderAndCredit(t *testing.T) {
	t.Parallel()
	k := newCourierTest(t, spooltest.NewMem(), spool.Options{}, evenRetry)
	p := newPeer(k.c, 16)
	k.send(2000) // several segments
	var batch []uint64
	for n := uint64(1); n <= 2000; n++ {
		d := p.next(t)
		require.Equal(t, n, d.number)
		require.Equal(t, fmt.Sprintf("message %d", n), string(d.frames[0]))
		require.Equal(t, 1, d.attempt)
		if batch = append(batch, n); len(batch) == 16 {
			assert.Empty(t, p.got, "more than its credit")
			rand.Shuffle(16, func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
			p.settle(batch...)
			batch = nil
		}
	}
	floor, pending := k.ended()
	assert.Equal(t, [2]uint64{2000, 0}, [2]uint64{floor, pending})
	assert.Equal(t, courierCounts{delivered: 2000, settled: 2000}, k.c.counted())
}

func TestCourier_SharesByOutstanding(t *testing.T) {
	t.Parallel()
	k := newCourierTest(t, spooltest.NewMem(), spool.Options{}, evenRetry)
	slow, quick := newPeer(k.c, 10), newPeer(k.c, 10)
	k.send(500)
	seen := slow.numbers(t, 10)
	for len(seen) < 500 {
		n := quick.next(t).number
		seen = append(seen, n)
		quick.settle(n)
	}
	assert.Empty(t, slow.got, "more than its credit")
	slices.Sort(seen)
	assert.Equal(t, from(1, 500), seen)
	floor, pending := k.ended()
	assert.Equal(t, uint64(10), pending, "what the slow one has not settled")
	assert.Less(t, floor, uint64(20))
}

// TestCourier_GivesTheDeadOnesToOthers: in order, and before anything newer; whose turn it was when the peer died is charged.
func TestCourier_GivesTheDeadOnesToOthers(t *testing.T) {
	t.Parallel()
	policy := evenRetry
	policy.random = func() float64 { return 0 }
	k := newCourierTest(t, spooltest.NewMem(), spool.Options{}, policy)
	first := newPeer(k.c, 100)
	k.send(150)
	require.Equal(t, from(1, 100), first.numbers(t, 100))
	first.settle(from(11, 20)...)
	require.Equal(t, from(101, 110), first.numbers(t, 10))
	first.die()
	second := newPeer(k.c, 1000)
	want := slices.Concat(from(1, 10), from(21, 150))
	var got []uint64
	for range want {
		d := second.next(t)
		got = append(got, d.number)
		wantAttempt := 1
		if d.number <= 110 {
			wantAttempt = 2
		}
		assert.Equal(t, wantAttempt, d.attempt, "of message %d", d.number)
	}
	assert.Equal(t, want, got)
	second.settle(want...)
	floor, pending := k.ended()
	assert.Equal(t, [2]uint64{150, 0}, [2]uint64{floor, pending})
}

func TestCourier_RetriesThenBuries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		policy := evenRetry
		policy.limit = 4
		k := newCourierTest(t, spooltest.NewMem(), spool.Options{}, policy)
		p := newPeer(k.c, 10)
		k.send(3)
		require.Equal(t, from(1, 3), p.numbers(t, 3))
		p.settle(1, 3)
		for i, pause := range []time.Duration{500 * time.Millisecond, time.Second, 20 * time.Second} {
			begun, after := time.Now(), time.Duration(0)
			if i == 2 {
				after = pause
			}
			p.fail(2, failed, after, "no")
			d := p.next(t)
			assert.Equal(t, uint64(2), d.number)
			assert.Equal(t, i+2, d.attempt)
			assert.Equal(t, "message 2", string(d.frames[0]))
			assert.Equal(t, pause, time.Since(begun))
		}
		p.fail(2, failed, 0, "never")
		k.send(1)
		d := p.next(t)
		p.fail(d.number, rejected, 0, "not mine")
		synctest.Wait()
		floor, pending := k.ended()
		assert.Equal(t, [2]uint64{4, 0}, [2]uint64{floor, pending})
		dead, err := k.log.Dead()
		require.NoError(t, err)
		var letters []string
		for l, err := range dead.Letters() {
			require.NoError(t, err)
			letters = append(letters, fmt.Sprintf("%d %d %s: %s", l.Origin, l.Attempts, l.Frames[0], l.Reason))
		}
		assert.Equal(t, []string{"2 4 message 2: 4 deliveries failed, the last one: never", "4 1 message 4: not mine"}, letters)
		assert.Len(t, k.news, 2)
		assert.Equal(t, courierCounts{delivered: 7, redelivered: 3, settled: 2, failed: 5, buried: 2}, k.c.counted())
	})
}

// TestCourier_GoesOnAfterACrash: from what was not acknowledged, with the failures counted before.
func TestCourier_GoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	policy := evenRetry
	policy.min, policy.max = time.Hour, time.Hour
	k := newCourierTest(t, spooltest.NewMem(), spool.Options{}, policy)
	p := newPeer(k.c, 100)
	k.send(300)
	require.Equal(t, from(1, 100), p.numbers(t, 100))
	p.fail(7, failed, 0, "")
	p.settle(slices.Concat(from(1, 6), from(8, 40))...)
	p.numbers(t, 40)
	require.Eventually(t, func() bool { _, pending := k.c.from.Position(); return pending == 300-39 }, time.Minute, time.Millisecond) // the log has been told
	require.NoError(t, k.log.Flush(context.Background()))
	k2 := newCourierTest(t, k.disk.Crash(rand.New(rand.NewPCG(1, 2))), spool.Options{}, policy)
	p2 := newPeer(k2.c, 1000)
	d := p2.next(t)
	assert.Equal(t, [3]uint64{7, 2, 1}, [3]uint64{d.number, uint64(d.attempt), uint64(d.failed)})
	assert.Equal(t, from(41, 300), p2.numbers(t, 260))
	assert.Equal(t, uint32(1), d.incarnation, "of the log that the message was written to")
}

func TestCourier_TellsWhatIsLost(t *testing.T) {
	t.Parallel()
	k := newCourierTest(t, spooltest.NewMem(), spool.Options{Full: spool.DropOldest, Quota: 256 << 10}, evenRetry)
	k.send(20000)
	p := newPeer(k.c, 100000)
	d := p.next(t)
	require.Greater(t, d.number, uint64(1))
	assert.Equal(t, from(d.number+1, 20000), p.numbers(t, 20000-int(d.number)))
	p.settle(from(d.number, 20000)...)
	floor, pending := k.ended()
	assert.Equal(t, [2]uint64{20000, 0}, [2]uint64{floor, pending}, "what is lost is acknowledged")
	lost := uint64(0)
	for _, n := range k.news {
		require.NotNil(t, n.gap)
		assert.False(t, n.gap.Damaged)
		lost += n.gap.To - n.gap.From + 1
	}
	assert.Equal(t, d.number-1, lost)
}

func TestCourier_PassesOverWhatNobodyWants(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	log, err := spool.OpenFS(disk, spool.Options{Kind: spool.Topic})
	require.NoError(t, err)
	defer log.Close()
	from, err := SpoolOf(log).Consumer("one", spool.Beginning())
	require.NoError(t, err)
	c := newCourier(from, evenRetry, nil)
	c.choosy = true
	ctx, cancel := context.WithCancel(context.Background())
	go c.run(ctx)
	p := newChoosyPeer(c, 1000, 'a')
	for i := range 3000 {
		_, err := log.Enqueue(ctx, fmt.Appendf(nil, "%c %d", "abb"[i%3], i), []byte("body"))
		require.NoError(t, err)
	}
	for i := range 1000 {
		d := p.next(t)
		require.Equal(t, uint64(3*i+1), d.number)
		require.Len(t, d.frames, 2)
		p.settle(d.number)
	}
	cancel()
	<-c.over
	floor, _ := from.Position()
	assert.GreaterOrEqual(t, floor, uint64(2998))
}

// Who is subscribed to nothing any more is not blamed for what it gives back, and is heard when it says that it is not to come again before some time.
func TestCourier_KeepsToTheDelayOfABystander(t *testing.T) {
	t.Parallel()
	c := &courier{}
	c.takeBack([]returned{{number: 1, attempt: 1, blame: bystander, after: time.Hour}, {number: 2, attempt: 1, blame: bystander}})
	require.Len(t, c.waiting, 1)
	assert.EqualValues(t, 1, c.waiting[0].number)
	assert.WithinDuration(t, time.Now().Add(time.Hour), c.waiting[0].due, time.Minute)
	require.Len(t, c.ready, 1)
	assert.EqualValues(t, 2, c.ready[0].number)
	assert.Zero(t, c.counts.failed)
}
