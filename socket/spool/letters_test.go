package spool_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// lettersBody is such that a segment has room for two messages, or two letters.
const lettersBody = 20 << 10

// books are what must be there, of each message by the number it had at first.
type books struct {
	there  map[uint64]bool // confirmed, and neither handled nor purged: pending or a letter
	buried map[uint64]int  // how often it was given up: that many letters at most
}

// clerk works with dead letters and keeps books.
type clerk struct {
	ctx   context.Context
	log   *spool.Log
	dead  *spool.Dead
	mu    sync.Mutex // guards books, and is held while power is lost
	books books
}

func newClerk(ctx context.Context, b books) *clerk {
	return &clerk{ctx: ctx, books: books{there: maps.Clone(b.there), buried: maps.Clone(b.buried)}}
}

func (c *clerk) note(what func(b *books)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	what(&c.books)
}

// open closes what was open before.
func (c *clerk) open(fs spool.FS) (err error) {
	if c.log != nil {
		_ = c.log.Close()
	}
	if c.log, err = spool.OpenFS(fs, small); err == nil {
		c.dead, err = c.log.Dead()
	}
	return err
}

func (c *clerk) send() error {
	n, err := c.log.Append(c.ctx, body(c.log.Next(), lettersBody))
	if err == nil {
		c.note(func(b *books) { b.there[n] = true })
	}
	return err
}

// bury gives up those that are pending and wanted.
func (c *clerk) bury(wanted func(origin uint64) bool) error {
	r := c.log.Queue().Reader()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		origin := cmp.Or(rec.Origin, rec.Number)
		if !wanted(origin) {
			continue
		}
		c.note(func(b *books) { b.buried[origin]++ })
		if err := c.dead.Bury(c.ctx, c.log.Queue(), rec, "no good"); err != nil {
			return err
		}
	}
}

// letter calls with the letter of a message.
func (c *clerk) letter(origin uint64, with func(spool.Letter) error) error {
	for letter, err := range c.dead.Letters() {
		if err != nil {
			return err
		} else if letter.Origin == origin {
			return with(letter)
		}
	}
	return errors.New("no such letter")
}

func (c *clerk) replay(l spool.Letter) error {
	_, err := c.dead.Replay(c.ctx, l)
	return err
}

func (c *clerk) purge(l spool.Letter) error {
	c.note(func(b *books) { delete(b.there, l.Origin) })
	return c.dead.Purge(l.Number, l.Number)
}

// work does with dead letters all there is to do: each log turns, and each lets segments go. It goes on after errors, as users do: it tries again, later, and opens again what has failed.
func (c *clerk) work(fs spool.FS) error {
	for _, step := range []func() error{
		func() error { return c.open(fs) },
		c.send, c.send, c.send, c.send, c.send, c.send,
		func() error { return c.bury(func(origin uint64) bool { return origin != 4 }) },
		func() error { return c.letter(1, c.replay) },
		func() error { return c.letter(2, c.replay) },
		func() error { return c.letter(3, c.purge) },
		c.send,
		func() error { return c.bury(func(origin uint64) bool { return origin == 1 }) },
		func() error { return c.log.Release(c.ctx) },
		func() error { return c.log.Close() },
	} {
		if err := c.insist(fs, step); err != nil {
			return err
		}
	}
	return nil
}

// insist takes a step, up to three times.
func (c *clerk) insist(fs spool.FS, step func() error) (err error) {
	for range 3 {
		if err = step(); err == nil || errors.Is(err, spool.ErrClosed) {
			return nil
		}
		time.Sleep(2 * time.Second) // logs look for room once a second
		if !errors.Is(err, spool.ErrFailed) {
			continue
		}
		if err := c.open(fs); err != nil {
			return err
		}
	}
	return err
}

// check looks for what must be there, in a spool that is open, and returns what is pending.
func (c *clerk) check(t *testing.T) map[uint64]bool {
	t.Helper()
	require.Empty(t, c.log.Recovery().Damage)
	pending, letters := make(map[uint64]bool), make(map[uint64]int)
	r := c.log.Queue().Reader()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		origin := cmp.Or(rec.Origin, rec.Number)
		require.Equal(t, string(body(origin, lettersBody)), string(rec.Frames[0]))
		pending[origin] = true
	}
	for letter, err := range c.dead.Letters() {
		require.NoError(t, err)
		require.Equal(t, string(body(letter.Origin, lettersBody)), string(letter.Frames[0]))
		letters[letter.Origin]++
	}
	for n := range c.books.there {
		require.True(t, pending[n] || letters[n] > 0, "message %d is in neither place", n)
	}
	for n, copies := range letters {
		require.LessOrEqual(t, copies, c.books.buried[n], "letters of message %d", n)
	}
	return pending
}

// outage is what a loss of power left, and what must be there.
type outage struct {
	disk  *spooltest.Mem
	books books
}

// again opens what was left, looks, and gives up again what was given up and is pending still; power is lost once more
// before one of the calls to the disk, unless at is 0. It returns what is there then.
func (o outage) again(t *testing.T, at int64, rng *rand.Rand) (left outage) {
	t.Helper()
	c := newClerk(bounded(t), o.books)
	var lost *outage
	require.NoError(t, c.open(&spooltest.Faulty{FS: o.disk, Before: func(call int64, _, _ string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if call == at {
			lost = &outage{o.disk.Crash(rng), newClerk(c.ctx, c.books).books}
		}
		return nil
	}}))
	c.check(t)
	require.NoError(t, c.bury(func(origin uint64) bool { return o.books.buried[origin] > 0 }))
	require.NoError(t, c.log.Close())
	if lost != nil {
		return *lost
	}
	return outage{o.disk, c.books}
}

// TestLettersSurviveCrashes loses power before each call of a workload of dead letters: each message is pending or a
// letter, never in neither place. It is lost again, twice, while they are opened and given up again. A message has as many letters
// as Bury was called for it, at most, and it is called again only if power was lost before the acknowledgement was on disk.
func TestLettersSurviveCrashes(t *testing.T) {
	t.Parallel()
	disk, outages := spooltest.NewMem(), make(chan outage)
	rng, later := rand.New(rand.NewPCG(14, 15)), rand.New(rand.NewPCG(16, 17))
	c := newClerk(t.Context(), books{there: make(map[uint64]bool), buried: make(map[uint64]int)})
	fs := &spooltest.Faulty{FS: disk, Before: func(call int64, _, _ string) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if call%(1+every/5) != 0 {
			return nil
		}
		for _, left := range losses(disk, rng) {
			select {
			case outages <- outage{left, newClerk(c.ctx, c.books).books}:
			case <-t.Context().Done():
			}
		}
		return nil
	}}
	done := make(chan error, 1)
	go func() {
		done <- c.work(fs)
		close(outages)
	}()
	again := 0
	for o := range outages {
		for _, at := range []int64{later.Int64N(20) + 1, later.Int64N(60) + 1} {
			o = o.again(t, at, later)
		}
		o = o.again(t, 0, nil)
		last := newClerk(bounded(t), o.books)
		require.NoError(t, last.open(o.disk))
		for n := range last.check(t) {
			require.Zero(t, o.books.buried[n], "message %d was buried, in a spool that was closed", n)
		}
		again = max(again, o.books.buried[5], o.books.buried[6]) // which are not replayed
		require.NoError(t, last.log.Close())
	}
	require.NoError(t, <-done)
	last := newClerk(c.ctx, c.books)
	require.NoError(t, last.open(disk))
	assert.Equal(t, map[uint64]bool{2: true, 4: true, 9: true}, last.check(t))
	assert.Equal(t, uint64(3), last.dead.Len(), "of 1, 5 and 6")
	require.NoError(t, last.log.Close())
	assert.Greater(t, fs.Calls(), int64(100))
	assert.Greater(t, again, 1, "power was lost while messages were given up")
}

// losses are what a loss of power may leave: nothing but what was synced, or some of the rest; the end of the process alone leaves all.
func losses(disk *spooltest.Mem, rng *rand.Rand) []*spooltest.Mem {
	all := []*spooltest.Mem{disk.Synced(), disk.Crash(nil)}
	for range rounds(2, 20) {
		all = append(all, disk.Crash(rng))
	}
	return all
}

// A message as large as the spool takes goes back into it, too.
func TestReplay_TheLargest(t *testing.T) {
	t.Parallel()
	for _, frames := range [][][]byte{{make([]byte, 1000)}, {make([]byte, 500), make([]byte, 496)}} {
		fs, ctx := spooltest.NewMem(), bounded(t)
		o := small
		o.MaxMessage = 1000
		l := open(t, fs, o)
		_, err := l.Append(ctx, frames...)
		require.NoError(t, err)
		dead, err := l.Dead()
		require.NoError(t, err)
		r := l.Queue().Reader()
		rec, err := r.TryNext()
		require.NoError(t, err)
		require.NoError(t, dead.Bury(ctx, l.Queue(), rec, "no"))
		require.NoError(t, r.Close())
		for letter, err := range dead.Letters() {
			require.NoError(t, err)
			_, err = dead.Replay(ctx, letter)
			require.NoError(t, err)
		}
		assert.Equal(t, uint64(1), l.Queue().Pending())
		require.NoError(t, l.Close())
	}
}

// TestLettersEnd: a letter buried while others are looked through is for the next look, or whoever replays letters beside a receiver that refuses them would never come to an end.
func TestLettersEnd(t *testing.T) {
	t.Parallel()
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	bury(t, l, 3)
	dead, err := l.Dead()
	require.NoError(t, err)
	for range 2 {
		seen := 0
		for letter, err := range dead.Letters() {
			require.NoError(t, err)
			seen++
			require.LessOrEqual(t, seen, 3)
			_, err = dead.Replay(bounded(t), letter)
			require.NoError(t, err)
			r := l.Queue().Reader()
			rec, err := r.TryNext()
			require.NoError(t, err)
			require.NoError(t, dead.Bury(bounded(t), l.Queue(), rec, "again"))
			require.NoError(t, r.Close())
		}
		assert.Equal(t, 3, seen)
		assert.Equal(t, uint64(3), dead.Len())
	}
}

// TestReplay_IsOnDiskFirst: a message is on disk before its letter goes, whatever the policy.
func TestReplay_IsOnDiskFirst(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		disk, ctx, o := spooltest.NewMem(), bounded(t), small
		o.Policy, o.Interval = policy, time.Hour
		c := newClerk(ctx, books{make(map[uint64]bool), make(map[uint64]int)})
		c.log = open(t, disk, o)
		var err error
		c.dead, err = c.log.Dead()
		require.NoError(t, err)
		fill(t, c.log, 2, 10)
		only := func(n uint64) func(uint64) bool { return func(origin uint64) bool { return origin == n } }
		require.NoError(t, c.bury(only(1)))
		require.NoError(t, c.letter(1, c.replay))
		require.NoError(t, c.bury(only(2))) // with this letter it is on disk that the other one has gone
		require.NoError(t, c.open(disk.Synced()))
		require.Error(t, c.letter(1, c.purge), policy)
		require.NoError(t, c.bury(only(1)))
		require.NoError(t, c.letter(1, c.purge), policy)
		require.NoError(t, c.log.Close())
	}
}
