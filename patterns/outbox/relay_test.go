package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// rows is a table in memory, by the clock of the bubble that the test is in.
type rows struct {
	mu    sync.Mutex // guards the fields below
	list  []row
	epoch int64
	until time.Time
}

type row struct {
	Message
	state int
	due   time.Time
}

func newRows(keys ...string) *rows {
	s := new(rows)
	for i, key := range keys {
		s.list = append(s.list, row{Message: Message{Number: int64(i + 1), Key: key}})
	}
	return s
}

func (s *rows) acquire(_ context.Context, _ string, length time.Duration) (int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return 0, false, nil
	}
	s.epoch++
	s.until = time.Now().Add(length)
	return s.epoch, true, nil
}

func (s *rows) renew(_ context.Context, epoch int64, length time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.epoch {
		return errFenced
	}
	s.until = time.Now().Add(length)
	return nil
}

func (s *rows) fetch(_ context.Context, n int) (found []Message, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := map[string]bool{}
	for _, r := range s.list {
		switch {
		case r.state != 0 || held[r.Key] || len(found) == n:
		case r.due.After(time.Now()):
			held[r.Key] = true
		default:
			found = append(found, r.Message)
		}
	}
	return found, nil
}

func (s *rows) settle(_ context.Context, epoch int64, sent []int64, failed []failure, _ bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.epoch {
		return errFenced
	}
	for _, n := range sent {
		s.list[n-1].state = 1
	}
	for _, f := range failed {
		r := &s.list[f.number-1]
		if r.Attempts, r.due = f.attempts, time.Now().Add(f.pause); f.park {
			r.state = 2
		}
	}
	return nil
}

func (s *rows) clean(context.Context, time.Duration, int) (int, error) { return 0, nil }

func (s *rows) count(state int) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.list {
		if r.state == state {
			n++
		}
	}
	return n
}

// peer is a sink: what Send took is published at Flush.
type peer struct {
	mu      sync.Mutex // guards the fields below
	pending []int64
	got     []int64
	fail    func(m *Message) error
}

func (p *peer) Send(_ context.Context, m *Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		if err := p.fail(m); err != nil {
			return err
		}
	}
	p.pending = append(p.pending, m.Number)
	return nil
}

func (p *peer) Flush(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, p.pending...)
	p.pending = nil
	return nil
}

func (p *peer) published() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.got)
}

var errDead = errors.New("this process is dead")

// life is a process that dies at a point: nothing that it does after that has an effect.
type life struct {
	*rows
	*peer
	dead context.CancelFunc
	left int         // for the goroutine of Run alone
	gone atomic.Bool // for that which renews, too
}

func (l *life) at() error {
	if l.left--; l.left == 0 {
		l.gone.Store(true)
		l.dead()
	}
	if l.gone.Load() {
		return errDead
	}
	return nil
}

func (l *life) around(f func() error) error {
	if err := l.at(); err != nil {
		return err
	}
	return errors.Join(f(), l.at())
}

func (l *life) fetch(ctx context.Context, n int) (found []Message, err error) {
	if err := l.at(); err != nil {
		return nil, err
	}
	return l.rows.fetch(ctx, n)
}

func (l *life) renew(ctx context.Context, epoch int64, length time.Duration) error {
	if l.gone.Load() {
		return errDead
	}
	return l.rows.renew(ctx, epoch, length)
}

func (l *life) settle(ctx context.Context, epoch int64, sent []int64, failed []failure, keep bool) error {
	return l.around(func() error { return l.rows.settle(ctx, epoch, sent, failed, keep) })
}

func (l *life) Send(ctx context.Context, m *Message) error {
	return l.around(func() error { return l.peer.Send(ctx, m) })
}

func (l *life) Flush(ctx context.Context) error {
	return l.around(func() error { return l.peer.Flush(ctx) })
}

var quiet = WithHook(func(context.Context, Event) {})

// live runs a relay until all is published or its process dies, which it says.
func live(t *testing.T, s *rows, p *peer, point int) (died bool) {
	ctx, dead := context.WithCancel(t.Context())
	defer dead()
	l := &life{rows: s, peer: p, left: point, dead: dead}
	r := newRelay(l, "outbox", nil, l, []RelayOption{quiet, WithBatch(3)})
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }() // awaited below
	synctest.Wait()
	for ctx.Err() == nil && s.count(0) > 0 {
		time.Sleep(time.Second)
		synctest.Wait()
	}
	_ = r.Shutdown(ctx)
	assert.NoError(t, <-done)
	return l.gone.Load()
}

// Row 39 of the fault plan: a relay's process dies before and after each call of database and sink. What it has sent and not marked comes again, once for each death; everything
// else comes once, and first in the order of its key.
func TestFault39_CrashAtEveryCall(t *testing.T) {
	t.Parallel()
	points := 0
	for died := true; died; points++ {
		synctest.Test(t, func(t *testing.T) {
			s, p := newRows("a", "b", "a", "", "b", "a", "a"), new(peer)
			if died = live(t, s, p, points+1); died {
				p.pending = nil // it was in memory
				assert.False(t, live(t, s, p, 0))
			}
			assert.Equal(t, 7, s.count(1))
			seen, again := map[int64]bool{}, 0
			var first []int64
			for _, n := range p.got {
				if seen[n] {
					again++
					continue
				}
				seen[n] = true
				first = append(first, n)
			}
			assert.Equal(t, []int64{1, 2, 3, 4, 5, 6, 7}, first, "point %d", points+1)
			assert.LessOrEqual(t, again, 3, "a batch")
		})
	}
	assert.Greater(t, points, 25)
}

// An outage counts against nobody; a message that fails holds up its key alone.
func TestRelay_OutagesAndFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, p := newRows("a", "a", "b"), new(peer)
		var away, failing atomic.Bool
		away.Store(true)
		failing.Store(true)
		p.fail = func(m *Message) error {
			switch {
			case away.Load():
				return fmt.Errorf("send: %w", socket.ErrNoPeer)
			case failing.Load() && m.Number == 1:
				return errors.New("not this one")
			}
			return nil
		}
		var kinds []EventKind
		r := newRelay(s, "outbox", nil, p, []RelayOption{WithAttempts(100), WithHook(func(_ context.Context, e Event) { kinds = append(kinds, e.Kind) })})
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }() // awaited below
		time.Sleep(time.Hour)
		synctest.Wait()
		found, err := s.fetch(t.Context(), 1)
		require.NoError(t, err)
		assert.Zero(t, found[0].Attempts)
		assert.Equal(t, uint64(1), r.Stats().Outages)
		away.Store(false)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Equal(t, []int64{3}, p.published())
		failing.Store(false)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []int64{3, 1, 2}, p.published())
		require.NoError(t, r.Shutdown(t.Context()))
		require.NoError(t, <-done)
		assert.Equal(t, []EventKind{Leads, Outage, Failed, Recovered, Failed, Follows}, slices.Compact(kinds))
		require.NoError(t, r.Run(t.Context()), "it does nothing any more")
	})
}

// line leads to a database, and may be cut.
type line struct {
	*rows
	cut atomic.Bool
}

func (l *line) renew(ctx context.Context, epoch int64, length time.Duration) error {
	if l.cut.Load() {
		return errors.New("no answer")
	}
	return l.rows.renew(ctx, epoch, length)
}

// The second relay takes over when the first lets go, at once or at the end of its lease; a leader that is not any more marks nothing.
func TestRelay_Takeover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, p := newRows("a"), new(peer)
		stuck := make(chan struct{})
		line := &line{rows: s}
		first := newRelay(line, "outbox", nil, SinkFunc(func(ctx context.Context, m *Message) error {
			<-stuck // deaf to ctx
			return nil
		}), []RelayOption{quiet})
		second := newRelay(s, "outbox", nil, p, []RelayOption{quiet})
		done := make(chan error, 2)
		go func() { done <- first.Run(t.Context()) }() // both awaited below
		synctest.Wait()
		go func() { done <- second.Run(t.Context()) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.True(t, first.Stats().Leads, "it renews its lease")
		assert.Empty(t, p.published())
		line.cut.Store(true)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, []int64{1}, p.published())
		line.cut.Store(false)
		close(stuck)
		synctest.Wait()
		assert.Zero(t, first.Stats().Published, "it is fenced")
		require.NoError(t, second.Shutdown(t.Context()))
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.True(t, first.Stats().Leads)
		require.NoError(t, first.Shutdown(t.Context()))
		require.NoError(t, errors.Join(<-done, <-done))
	})
}

func TestRelay_RefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	err := NewRelay(New(9, WithTable("Not a name")), nil, nil, WithBatch(0)).Run(t.Context())
	require.ErrorIs(t, err, socket.ErrOption)
	for _, part := range []string{"dialect 9", "Not a name", "WithBatch", "no sink"} {
		assert.ErrorContains(t, err, part)
	}
	plain := socket.NewPush()
	defer plain.Close()
	require.ErrorIs(t, NewRelay(New(SQLite), nil, ToPush(plain)).Run(t.Context()), socket.ErrState, "nothing is known of what it sends")
	_, err = New(SQLite).Add(t.Context(), nil, "t", func() {})
	require.Error(t, err, "it does not encode")
	assert.Equal(t, refused, judge(patterns.Permanent(errors.New("no"))))
}
