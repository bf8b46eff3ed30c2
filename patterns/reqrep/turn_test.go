package reqrep

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/socket"
)

// pairing is a service and a client in a bubble, of which the next caller receives its reply itself.
type pairing struct {
	service *Service
	client  *Client
	open    chan struct{} // "gate" takes one before it answers
}

// alone runs test in a bubble.
func alone(t *testing.T, test func(t *testing.T, p *pairing)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &pairing{open: make(chan struct{})}
		silent := patterns.WithOnError(func(context.Context, error) {})
		p.service, p.client = NewService(silent), NewClient(patterns.WithOnError(func(context.Context, error) { panic("told of an error") }))
		require.NoError(t, Handle(p.service, "echo", func(_ context.Context, in string) (string, error) { return in, nil }))
		require.NoError(t, Handle(p.service, "gate", func(_ context.Context, in string) (string, error) { <-p.open; return in, nil }))
		endpoint, err := p.service.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- p.service.Run(context.Background()) }() // ended below
		require.NoError(t, p.client.Connect(endpoint))
		require.NoError(t, p.client.WaitPeers(t.Context(), 1))
		p.free(t)
		test(t, p)
		close(p.open)
		require.NoError(t, p.client.Close())
		require.NoError(t, p.service.Close())
		require.NoError(t, <-ended)
	})
}

// free has calls made one after the other until a caller may receive.
func (p *pairing) free(t *testing.T) {
	t.Helper()
	for range aloneFor {
		require.NoError(t, p.call(t.Context(), "echo"))
		synctest.Wait()
	}
	require.True(t, p.isFree())
}

func (p *pairing) isFree() bool {
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	return !p.client.turn.taken.Load()
}

func (p *pairing) call(ctx context.Context, method string) error {
	out, err := Call[string, string](ctx, p.client, method, method)
	if err == nil && out != method {
		return errors.New("the reply is that to another call")
	}
	return err
}

// begin makes a call, and returns what will come of it once all has come to rest.
func (p *pairing) begin(ctx context.Context, method string) <-chan error {
	called := make(chan error, 1)
	go func() { called <- p.call(ctx, method) }() // ended by its caller
	synctest.Wait()
	return called
}

func TestTurn_FreeBetweenCallsThatFollowEachOther(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		for range 10 {
			require.NoError(t, p.call(t.Context(), "echo"))
			require.True(t, p.isFree())
		}
		<-time.After(3 * unread)
		assert.False(t, p.isFree(), "the client receives if no caller does")
		p.free(t)
	})
}

// Whoever receives hands replies to others too, and the client goes on when it has its own.
func TestTurn_OthersWaitBeside(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		first, second, third := p.begin(t.Context(), "gate"), p.begin(t.Context(), "gate"), p.begin(t.Context(), "gate")
		require.NoError(t, p.call(t.Context(), "echo"))
		for range 3 {
			p.open <- struct{}{}
		}
		for _, called := range []<-chan error{first, second, third} {
			require.NoError(t, <-called)
		}
		p.free(t)
	})
}

func TestTurn_CallerLeaves(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		called, other := p.begin(ctx, "gate"), p.begin(t.Context(), "gate")
		require.ErrorIs(t, <-called, socket.ErrTimeout)
		assert.Equal(t, time.Second, time.Since(began))
		p.open <- struct{}{}
		p.open <- struct{}{}
		require.NoError(t, <-other)
		synctest.Wait()
		p.free(t)

		ctx, cancel = context.WithCancel(t.Context())
		for range 3 { // its end is heeded all the time
			require.NoError(t, p.call(ctx, "echo"))
		}
		called = p.begin(ctx, "gate")
		cancel()
		require.ErrorIs(t, <-called, context.Canceled)
		p.open <- struct{}{}
		p.free(t)
	})
}

// A caller that receives itself looks after its attempt all the same.
func TestTurn_AttemptIsLate(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		began := time.Now()
		_, err := Call[string, string](t.Context(), p.client, "gate", "", Idempotent(), WithAttemptTimeout(time.Second))
		require.ErrorIs(t, err, socket.ErrTimeout)
		assert.Equal(t, time.Second, time.Since(began))
		p.open <- struct{}{}
		p.free(t)

		quick := NewService()
		for _, method := range []string{"echo", "gate"} {
			require.NoError(t, Handle(quick, method, func(_ context.Context, in string) (string, error) { return in, nil }))
		}
		endpoint, err := quick.Bind("inproc://quick")
		require.NoError(t, err)
		ended := make(chan error, 1)
		go func() { ended <- quick.Run(context.Background()) }() // ended below
		require.NoError(t, p.client.Connect(endpoint))
		require.NoError(t, p.client.WaitPeers(t.Context(), 2))
		hedged := 0
		for range 4 { // each is asked first in its turn
			p.free(t)
			began = time.Now()
			_, err = Call[string, string](t.Context(), p.client, "gate", "", Idempotent(), WithAttemptTimeout(time.Minute), WithHedge(time.Second, 1))
			require.NoError(t, err)
			if time.Since(began) == time.Second {
				hedged++
			}
		}
		assert.Positive(t, hedged)
		require.NoError(t, quick.Close())
		require.NoError(t, <-ended)
	})
}

// An error that comes in the moment in which its attempt is given up does not end the next one.
func TestErrorOfAnAttemptThatIsLate(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		late := make(chan struct{})
		require.NoError(t, Handle(p.service, "late", func(ctx context.Context, in string) (string, error) {
			if patterns.FromContext(ctx).Header(headerAttempt) != "" {
				return in, nil
			}
			<-late
			return "", Errorf("lost", "too late")
		}))
		client := NewClient(WithBreaker(Breaker{Failed: func(err error) bool {
			if errors.Is(err, socket.ErrTimeout) { // asked about the attempt while that is in the book
				close(late)
				synctest.Wait()
			}
			return false
		}}))
		defer client.Close()
		require.NoError(t, client.Connect("inproc://"+t.Name()))
		require.NoError(t, client.WaitPeers(t.Context(), 1))
		got, err := Call[string, string](t.Context(), client, "late", "good", Idempotent(), WithAttemptTimeout(time.Second), WithRetries(1))
		assert.NoError(t, err)
		assert.Equal(t, "good", got)
		assert.EqualValues(t, 1, client.Counts().Failed, "what was late had come before it was given up")
	})
}

func TestTurn_ServiceDies(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		called, other := p.begin(t.Context(), "gate"), p.begin(t.Context(), "gate")
		require.NoError(t, p.service.Close())
		require.ErrorIs(t, <-called, socket.ErrPeerGone)
		require.ErrorIs(t, <-other, socket.ErrPeerGone)
		require.ErrorIs(t, p.call(t.Context(), "echo"), socket.ErrNoPeer)
	})
}

func TestTurn_ClientEnds(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		called, began := p.begin(t.Context(), "gate"), time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, p.client.Shutdown(ctx), context.DeadlineExceeded)
		require.ErrorIs(t, <-called, socket.ErrClosed)
		assert.Equal(t, time.Second, time.Since(began))
	})
	t.Run("when its call has been answered", func(t *testing.T) {
		alone(t, func(t *testing.T, p *pairing) {
			called, began := p.begin(t.Context(), "gate"), time.Now()
			time.AfterFunc(time.Second, func() { p.open <- struct{}{} })
			require.NoError(t, p.client.Shutdown(t.Context()))
			require.NoError(t, <-called)
			assert.Equal(t, time.Second, time.Since(began))
		})
	})
}

// A hook that panics does so in a caller, who may go on living. Somebody has to receive then, too.
func TestTurn_HookPanics(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		panicked := make(chan any, 1)
		go func() { // it is told of what is not its reply
			defer func() { panicked <- recover() }()
			_ = p.call(t.Context(), "gate")
		}()
		synctest.Wait()
		peers := p.service.Stats().Peers
		require.Len(t, peers, 1)
		require.NoError(t, p.service.Router.Send(t.Context(), []byte(peers[0].Peer.RoutingID()), []byte("no envelope")))
		assert.Equal(t, "told of an error", <-panicked)
		p.open <- struct{}{}
		p.free(t)
	})
}

// If it does so before the calls at an instance that is gone are failed, they are failed still.
func TestTurn_HookPanicsBeforeABurial(t *testing.T) {
	alone(t, func(t *testing.T, p *pairing) {
		take := func(taken bool) {
			p.client.mu.Lock()
			p.client.turn.taken.Store(taken)
			p.client.mu.Unlock()
		}
		take(true) // so that all is there when somebody receives
		called := p.begin(t.Context(), "gate")
		id := []byte(p.service.Stats().Peers[0].Peer.RoutingID())
		require.NoError(t, p.service.Router.Send(t.Context(), id, []byte("no envelope")))
		synctest.Wait()
		require.NoError(t, p.service.Close())
		synctest.Wait()
		take(false)
		assert.PanicsWithValue(t, "told of an error", func() { p.client.lead(t.Context(), new(question), time.Time{}) })
		assert.ErrorIs(t, <-called, socket.ErrPeerGone)
	})
}

// The hook of breakers is told of what comes after a change at which it panicked.
func TestHookOfBreakersPanics(t *testing.T) {
	t.Parallel()
	var told []string
	c := NewClient(WithOnBreaker(func(change BreakerChange) {
		told = append(told, change.Endpoint)
		if len(told) == 1 {
			panic("told of a change")
		}
	}))
	change := func(endpoint string) {
		c.mu.Lock()
		c.book.changes = append(c.book.changes, BreakerChange{Endpoint: endpoint})
		c.unlock()
	}
	assert.PanicsWithValue(t, "told of a change", func() { change("one") })
	change("two")
	assert.Equal(t, []string{"one", "two"}, told)
	require.NoError(t, c.Close())
}
