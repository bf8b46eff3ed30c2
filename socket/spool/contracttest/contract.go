package contracttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// Backend is one implementation.
type Backend struct {
	// Place returns a place for one spool that is not there yet, as the function that opens it, again and again.
	Place func(t *testing.T) func(spool.Kind) (socket.Spool, error)
	// Letters returns the dead letters of a spool.
	Letters func(t *testing.T, s socket.Spool) []spool.Letter
	// Replay puts a dead letter back, and purges it.
	Replay func(t *testing.T, s socket.Spool, l spool.Letter) error
	// TooLarge is the size of a message that is.
	TooLarge int
}

// kit is one test's spool.
type kit struct {
	*testing.T
	b    Backend
	ctx  context.Context
	kind spool.Kind
	open func(spool.Kind) (socket.Spool, error)
	s    socket.Spool
}

// Run runs all tests of the contract.
func Run(t *testing.T, b Backend) {
	for name, test := range map[string]func(*kit){
		"numbers": numbers, "readers": readers, "together": together, "acknowledgements": acknowledgements, "failures": failures,
		"letters": letters, "consumers": consumers, "names": names, "refusals": refusals, "one at a time": oneAtATime,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			k := &kit{T: t, b: b, ctx: ctx, kind: spool.Queue, open: b.Place(t)}
			k.reopen()
			defer func() { _ = k.s.Close() }()
			test(k)
		})
	}
}

// reopen closes the spool and opens it again.
func (k *kit) reopen() {
	k.Helper()
	if k.s != nil {
		require.NoError(k, k.s.Close())
	}
	var err error
	k.s, err = k.open(k.kind)
	require.NoError(k, err)
}

func text(n uint64) string { return fmt.Sprintf("message %d", n) }

// fill appends n messages that say their numbers.
func (k *kit) fill(n int) {
	k.Helper()
	next, last := k.s.State().Next, uint64(0)
	for i := range uint64(n) {
		var err error
		last, err = k.s.Enqueue(k.ctx, []byte(text(next+i)))
		require.NoError(k, err)
		require.Equal(k, next+i, last)
	}
	require.NoError(k, k.s.Wait(k.ctx, last))
}

func (k *kit) consumer(name string, from spool.Start) socket.SpoolConsumer {
	k.Helper()
	c, err := k.s.Consumer(name, from)
	require.NoError(k, err)
	return c
}

func (k *kit) queue() socket.SpoolConsumer { return k.consumer("", spool.Beginning()) }

// read returns the numbers of what a reader has up to the end; each message says its own.
func (k *kit) read(r socket.SpoolReader) (all []uint64) {
	k.Helper()
	defer func() { assert.NoError(k, r.Close()) }()
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(k, err)
		require.Len(k, rec.Frames, 1)
		require.Equal(k, text(rec.Number), string(rec.Frames[0]))
		all = append(all, rec.Number)
	}
}

func (k *kit) position(c socket.SpoolConsumer, floor, pending uint64) {
	k.Helper()
	f, p := c.Position()
	assert.Equal(k, [2]uint64{floor, pending}, [2]uint64{f, p}, "floor and pending")
}

func upTo(lo, hi uint64) (all []uint64) {
	for n := lo; n <= hi; n++ {
		all = append(all, n)
	}
	return all
}

// numbers: each message has the number of the one before plus 1, and frames come back as they were.
func numbers(k *kit) {
	id, incarnation := k.s.Stream()
	assert.NotZero(k, id)
	messages := [][][]byte{{[]byte("one")}, {{}}, {[]byte("a"), {}, []byte("c\x00\r\n")}, {make([]byte, 40000)}}
	for i, frames := range messages {
		n, err := k.s.Append(k.ctx, frames...)
		require.NoError(k, err)
		require.Equal(k, uint64(i+1), n)
		require.NoError(k, k.s.Wait(k.ctx, n))
	}
	assert.Equal(k, uint64(5), k.s.State().Next)
	r := k.queue().Reader(0)
	began := time.Now().Add(-time.Hour)
	for i, frames := range messages {
		rec, err := r.TryNext()
		require.NoError(k, err)
		assert.Equal(k, uint64(i+1), rec.Number)
		assert.Equal(k, incarnation, rec.Incarnation)
		assert.False(k, rec.Time.Before(began), "time goes back")
		began = rec.Time
		require.Len(k, rec.Frames, len(frames))
		for j := range frames {
			assert.Equal(k, string(frames[j]), string(rec.Frames[j]))
		}
	}
	require.NoError(k, r.Close())
	k.reopen()
	again, _ := k.s.Stream()
	assert.Equal(k, id, again)
	n, err := k.s.Append(k.ctx, []byte("five"))
	require.NoError(k, err)
	assert.Equal(k, uint64(5), n)
}

// readers go on as messages come, begin anywhere, and do not mind each other.
func readers(k *kit) {
	c := k.queue()
	r := c.Reader(0)
	defer r.Close()
	_, err := r.TryNext()
	require.ErrorIs(k, err, io.EOF)
	more := r.More()
	require.NotNil(k, more)
	k.fill(1)
	select {
	case <-more:
	case <-k.ctx.Done():
		require.Fail(k, "More does not tell")
	}
	rec, err := r.TryNext()
	require.NoError(k, err)
	assert.Equal(k, text(1), string(rec.Frames[0]))
	k.fill(700) // more than one read
	assert.Equal(k, upTo(1, 701), k.read(c.Reader(0)))
	assert.Equal(k, upTo(650, 701), k.read(c.Reader(650)))
	assert.Empty(k, k.read(c.Reader(1000)))
	rec, err = r.TryNext()
	require.NoError(k, err)
	assert.Equal(k, uint64(2), rec.Number)
}

// together: many append at once, and what Append has returned the number of is there to be read.
func together(k *kit) {
	const callers, each = 8, 40
	var all sync.WaitGroup
	var mu sync.Mutex
	given := make(map[uint64]string)
	c := k.queue()
	for i := range callers {
		all.Go(func() {
			for j := range each {
				body := fmt.Sprint(i, " ", j)
				n, err := k.s.Append(k.ctx, []byte(body))
				if assert.NoError(k, err) {
					r := c.Reader(n)
					rec, err := r.TryNext()
					assert.NoError(k, err)
					assert.Equal(k, n, rec.Number)
					assert.NoError(k, r.Close())
					mu.Lock()
					given[n] = body
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	require.Len(k, given, callers*each)
	r := c.Reader(0)
	defer r.Close()
	for n := uint64(1); n <= callers*each; n++ {
		rec, err := r.TryNext()
		require.NoError(k, err)
		require.Equal(k, n, rec.Number)
		require.Equal(k, given[n], string(rec.Frames[0]))
	}
}

// acknowledgements in any order are passed over, and stay from one opening to the next.
func acknowledgements(k *kit) {
	k.fill(20)
	c := k.queue()
	k.position(c, 0, 20)
	for _, a := range [][2]uint64{{5, 7}, {10, 10}, {6, 6}, {1, 2}, {2, 2}} {
		require.NoError(k, c.Ack(a[0], a[1]))
	}
	want := slices.Concat(upTo(3, 4), upTo(8, 9), upTo(11, 20))
	k.position(c, 2, 14)
	assert.Equal(k, want, k.read(c.Reader(0)))
	assert.Equal(k, want[3:], k.read(c.Reader(9)))
	r := c.Reader(0)
	rec, err := r.TryNext()
	require.NoError(k, err)
	assert.Equal(k, uint64(3), rec.Number)
	require.NoError(k, c.Ack(4, 9))
	rec, err = r.TryNext()
	require.NoError(k, err)
	assert.Equal(k, uint64(11), rec.Number, "acknowledged while it reads")
	require.NoError(k, r.Close())
	require.NoError(k, k.s.Flush(k.ctx))
	k.reopen()
	c = k.queue()
	k.position(c, 2, 11)
	require.NoError(k, c.Ack(3, 3))
	k.reopen() // Close makes it durable as well
	c = k.queue()
	k.position(c, 10, 10)
	assert.Equal(k, upTo(11, 20), k.read(c.Reader(0)))
	require.NoError(k, c.Ack(11, 20))
	k.position(c, 20, 0)
	k.fill(1)
	assert.Equal(k, upTo(21, 21), k.read(c.Reader(0)))
}

// failures are counted until the message is acknowledged.
func failures(k *kit) {
	k.fill(3)
	c := k.queue()
	for want := range 2 {
		n, err := c.Fail(2)
		require.NoError(k, err)
		assert.Equal(k, want+1, n)
	}
	attempts := func(n uint64) int {
		r := c.Reader(n)
		defer r.Close()
		rec, err := r.TryNext()
		require.NoError(k, err)
		require.Equal(k, n, rec.Number)
		return rec.Attempts
	}
	assert.Equal(k, [3]int{0, 2, 0}, [3]int{attempts(1), attempts(2), attempts(3)})
	k.reopen()
	c = k.queue()
	assert.Equal(k, 2, attempts(2))
	require.NoError(k, c.Ack(2, 2))
	n, err := c.Fail(2)
	require.NoError(k, err)
	assert.Zero(k, n, "acknowledged")
}

// letters: what is buried is acknowledged, and kept with all there is to say about it.
func letters(k *kit) {
	_, incarnation := k.s.Stream()
	_, err := k.s.Append(k.ctx, []byte("head"), []byte("body"))
	require.NoError(k, err)
	k.fill(1)
	c := k.queue()
	_, err = c.Fail(1)
	require.NoError(k, err)
	r := c.Reader(0)
	rec, err := r.TryNext()
	require.NoError(k, err)
	rec = rec.Clone()
	require.NoError(k, r.Close())
	require.NoError(k, c.Bury(k.ctx, rec, "it is bad"))
	k.position(c, 1, 1)
	k.reopen()
	k.position(k.queue(), 1, 1)
	all := k.b.Letters(k.T, k.s)
	require.Len(k, all, 1)
	l := all[0]
	assert.Equal(k, "1 1 it is bad head body", fmt.Sprintf("%d %d %s %s %s", l.Origin, l.Attempts, l.Reason, l.Frames[0], l.Frames[1]))
	assert.Equal(k, incarnation, l.Incarnation)
	assert.True(k, rec.Time.Equal(l.Time))
	assert.Empty(k, l.Consumer)

	for again := range uint64(2) { // what is replayed keeps its place, also when it dies again
		replayOnce(k, k.b.Letters(k.T, k.s)[0])
		assert.Empty(k, k.b.Letters(k.T, k.s))
		k.reopen()
		r := k.queue().Reader(3 + again)
		back, err := r.TryNext()
		require.NoError(k, err)
		assert.Equal(k, fmt.Sprint(3+again, 1, incarnation, "head", "body"), fmt.Sprint(back.Number, back.Origin, back.Incarnation, string(back.Frames[0]), string(back.Frames[1])))
		back = back.Clone()
		require.NoError(k, r.Close())
		require.NoError(k, k.queue().Bury(k.ctx, back, "still"))
	}
	require.EqualValues(k, 1, k.b.Letters(k.T, k.s)[0].Origin)
}

// replayOnce: however many replay one letter, one of them does.
func replayOnce(k *kit, l spool.Letter) {
	k.Helper()
	next := k.s.State().Next
	var done atomic.Int32
	replay := func() {
		if err := k.b.Replay(k.T, k.s, l); err == nil {
			done.Add(1)
		} else {
			assert.ErrorIs(k, err, spool.ErrNumber)
		}
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(replay)
	}
	all.Wait()
	replay()
	assert.EqualValues(k, 1, done.Load())
	assert.Equal(k, next+1, k.s.State().Next)
}

// refusals: what cannot be is an error that says so, and changes nothing.
func refusals(k *kit) {
	k.fill(2)
	c := k.queue()
	for _, a := range [][2]uint64{{0, 1}, {2, 1}, {1, 3}, {3, 3}, {1, 1<<64 - 1}} {
		assert.ErrorIs(k, c.Ack(a[0], a[1]), spool.ErrNumber, a)
	}
	_, err := c.Fail(3)
	assert.ErrorIs(k, err, spool.ErrNumber)
	assert.ErrorIs(k, k.s.Wait(k.ctx, 3), spool.ErrNumber)
	assert.ErrorIs(k, k.s.Wait(k.ctx, 0), spool.ErrNumber, "which is none")
	_, err = k.s.Append(k.ctx, make([]byte, k.b.TooLarge))
	assert.ErrorIs(k, err, spool.ErrTooLarge)
	k.position(c, 0, 2)
	assert.Equal(k, uint64(3), k.s.State().Next)
	require.NoError(k, k.s.Close())
	require.NoError(k, k.s.Close(), "again")
	assert.ErrorIs(k, k.s.Wait(k.ctx, 0), spool.ErrNumber)
	for what, err := range map[string]error{
		"flush": k.s.Flush(k.ctx), "acknowledge": c.Ack(1, 1), "append": second(k.s.Append(k.ctx, []byte("x"))),
		"enqueue": second(k.s.Enqueue(k.ctx, []byte("x"))), "fail": second(c.Fail(1)), "consumer": second(k.s.Consumer("other", spool.Beginning())),
	} {
		assert.ErrorIs(k, err, spool.ErrClosed, what)
	}
	_, err = k.open(spool.Topic)
	assert.ErrorIs(k, err, spool.ErrKind)
}

func second[T any](_ T, err error) error { return err }

// oneAtATime: a spool that is open is not opened again, and says who has it.
func oneAtATime(k *kit) {
	k.fill(1)
	_, err := k.open(spool.Queue)
	require.ErrorIs(k, err, spool.ErrInUse)
	holder, ok := errors.AsType[*spool.InUseError](err)
	require.True(k, ok)
	assert.NotZero(k, holder.PID)
	k.fill(1)
	k.reopen()
	k.fill(1)
	assert.Equal(k, upTo(1, 3), k.read(k.queue().Reader(0)))
}
