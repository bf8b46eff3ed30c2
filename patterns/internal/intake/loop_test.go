package intake_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/internal/intake"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// inbox is a socket that has n messages, and no more ever.
type inbox struct {
	mu      sync.Mutex
	n       int
	fault   error
	closing sync.Once
	closed  chan struct{}
}

func newInbox(n int) *inbox { return &inbox{n: n, closed: make(chan struct{})} }

func (b *inbox) Recv(ctx context.Context) (socket.Msg, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault != nil {
		return socket.Msg{}, b.fault
	}
	if b.n > 0 {
		b.n--
		return socket.Msg{}, nil
	}
	b.mu.Unlock()
	defer b.mu.Lock()
	select {
	case <-b.closed:
		return socket.Msg{}, socket.ErrClosed
	case <-ctx.Done():
		return socket.Msg{}, ctx.Err()
	}
}

func (b *inbox) Events(context.Context) iter.Seq[socket.Event] {
	return func(func(socket.Event) bool) {}
}

func (b *inbox) Shutdown(context.Context) error { return b.Close() }
func (b *inbox) Close() error {
	b.closing.Do(func() { close(b.closed) })
	return nil
}

func TestShutdownWaitsForTheLastMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(newInbox(10), nil)
		go func() {
			assert.NoError(t, l.Run(context.Background(), 2, intake.Alike(func(ctx context.Context, _ socket.Msg) {
				time.Sleep(time.Second) // of a bubble: takes no time
				assert.NoError(t, ctx.Err())
			})))
		}()
		synctest.Wait()
		begin := time.Now()
		assert.NoError(t, l.Shutdown(t.Context()))
		assert.Equal(t, 5*time.Second, time.Since(begin), "ten messages, two at a time")
		assert.Zero(t, l.Counts())
	})
}

func TestShutdownGivesUpAtItsDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(newInbox(10), nil)
		go func() {
			assert.NoError(t, l.Run(context.Background(), 2, intake.Alike(func(ctx context.Context, _ socket.Msg) {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			})))
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		err := l.Shutdown(ctx)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "2 messages in hand, 4 not handled")
		synctest.Wait()
		assert.Equal(t, patterns.Counts{Unhandled: 4}, l.Counts())
	})
}

func TestShutdownBeforeRun(t *testing.T) {
	t.Parallel()
	l := intake.New(newInbox(3), nil)
	assert.EqualError(t, l.Shutdown(t.Context()), "shutdown: 3 messages not handled")
	assert.NoError(t, l.Run(t.Context(), 1, intake.Alike(nil)))
	assert.Equal(t, patterns.Counts{Unhandled: 3}, l.Counts())
	assert.NoError(t, l.Close())
}

func TestRunReturnsWhyTheSocketIsOfNoUse(t *testing.T) {
	t.Parallel()
	b := newInbox(0)
	b.fault = errors.New("of no use")
	assert.Equal(t, b.fault, intake.New(b, nil).Run(t.Context(), 3, intake.Alike(nil)))
}

func TestSeveralRuns(t *testing.T) {
	t.Parallel()
	l := intake.New(newInbox(0), nil)
	var runs sync.WaitGroup
	for range 3 {
		runs.Go(func() { assert.NoError(t, l.Run(context.Background(), 2, intake.Alike(nil))) })
	}
	assert.NoError(t, l.Close())
	runs.Wait()
}

// late is a socket that has a message for everybody who gives up waiting for one.
type late struct{ *inbox }

func (b late) Recv(ctx context.Context) (socket.Msg, error) {
	_, _ = b.inbox.Recv(ctx)
	select {
	case <-b.closed:
		return socket.Msg{}, socket.ErrClosed
	default:
		return socket.Msg{}, nil
	}
}

// What Recv returns although the gate was shut meanwhile is handled when it opens again, or given up with the rest.
func TestPauseHoldsBackWhatComesLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := intake.New(late{newInbox(0)}, nil)
		handled := 0
		var running sync.WaitGroup
		running.Go(func() {
			assert.NoError(t, l.Run(context.Background(), 1, intake.Alike(func(context.Context, socket.Msg) { handled++ })))
		})
		synctest.Wait()
		for n := range 3 {
			l.Pause()
			synctest.Wait()
			assert.Equal(t, n, handled)
			l.Resume()
			synctest.Wait()
			assert.Equal(t, n+1, handled)
		}
		l.Pause()
		synctest.Wait()
		assert.NoError(t, l.Close())
		running.Wait()
		assert.Equal(t, 3, handled)
		assert.EqualValues(t, 1, l.Counts().Unhandled)
	})
}

func TestAttempt(t *testing.T) {
	t.Parallel()
	assert.NoError(t, intake.Attempt(func() error { return nil }))
	assert.ErrorIs(t, intake.Attempt(func() error { panic(nil) }), patterns.ErrPanic)
	assert.EqualError(t, intake.Attempt(func() error { panic("at sea") }), "handler panicked: at sea")
}
