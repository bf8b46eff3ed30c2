package reqrep

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/socket"
)

// model is a breaker as its documentation says, written down as simply as can be.
type model struct {
	b       Breaker
	state   BreakerState
	until   time.Time // open until then
	epoch   int       // changes of state, since results of before do not count after
	probes  int       // under way or good, while half open
	good    int
	inARow  int
	results int // of these some failed
	failed  int
	changes []BreakerState
}

func (m *model) to(s BreakerState) {
	m.state, m.probes, m.good, m.inARow, m.results, m.failed = s, 0, 0, 0, 0, 0
	m.epoch++
	m.changes = append(m.changes, s)
}

// begin reports whether a call may be made.
func (m *model) begin(now time.Time) bool {
	if m.state == Open && now.After(m.until) {
		m.to(HalfOpen)
	}
	if m.state == Open || m.state == HalfOpen && m.probes == m.b.Probes {
		return false
	}
	m.probes++
	return true
}

// end notes the result of a call that began in an epoch.
func (m *model) end(now time.Time, epoch int, verdict error) {
	if m.state == Open && now.After(m.until) {
		m.to(HalfOpen)
	}
	switch {
	case epoch != m.epoch:
	case verdict == errNeutral:
		m.probes--
	case m.state == HalfOpen && verdict == errFailure:
		m.trip(now)
	case m.state == HalfOpen:
		if m.good++; m.good == m.b.Probes {
			m.to(Closed)
		}
	case verdict == errFailure:
		m.inARow++
		m.results++
		m.failed++
		ratio := float64(m.failed) / float64(m.results)
		if m.inARow >= m.b.Failures || m.b.Ratio > 0 && m.results >= m.b.MinCalls && ratio >= m.b.Ratio {
			m.trip(now)
		}
	default:
		m.inARow = 0
		m.results++
	}
}

func (m *model) trip(now time.Time) {
	m.to(Open)
	m.until = now.Add(m.b.Pause)
}

// Row 38: random calls that overlap, succeed, fail and are cancelled, at random times, go as in the model: the same ones are let through,
// never more probes than there may be, and the states change in the same order.
func TestFault38_BreakerGoesLikeItsModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { follow(t, rand.New(rand.NewPCG(38, seed))) })
		})
	}
}

func follow(t *testing.T, r *rand.Rand) {
	b := Breaker{Failures: 1 + r.IntN(5), Probes: 1 + r.IntN(4), Pause: time.Second, Window: time.Hour, MinCalls: 1, Failed: failing}
	if r.IntN(2) == 0 { // a ratio, which opens it before so many fail in a row
		b.Failures, b.Ratio, b.MinCalls = 50, float64(1+r.IntN(8))/8, 1+r.IntN(20)
	}
	m := model{b: b}
	var changes []BreakerState
	k := newBook(&b)
	k.update(here(new(socket.Peer)))
	type call struct {
		p     *pending
		id    codec.ID
		epoch int
		probe bool
	}
	var calls []call
	probing := func() (n int) {
		for _, c := range calls {
			if c.probe && c.epoch == m.epoch {
				n++
			}
		}
		return n
	}
	badness := r.Float64()
	for range 3000 {
		switch r.IntN(5) {
		case 0:
			time.Sleep(time.Duration(r.IntN(500)) * time.Millisecond) // of a bubble: takes no time
		case 1, 2:
			c := call{p: &pending{done: make(chan result, 1)}, id: codec.NewID()}
			at, err := k.assign(c.id, c.p, nil, false)
			if allowed := m.begin(time.Now()); !allowed {
				require.Nil(t, at)
				require.ErrorIs(t, err, ErrOpen)
				break
			}
			require.NotNil(t, at, "the model lets it through, in state %v", m.state)
			c.epoch, c.probe = m.epoch, m.state == HalfOpen
			calls = append(calls, c)
			require.LessOrEqual(t, probing(), b.Probes)
		default:
			if len(calls) == 0 {
				break
			}
			i := r.IntN(len(calls))
			c := calls[i]
			calls = slices.Delete(calls, i, i+1)
			verdict := verdictGood
			if x := r.Float64(); x < badness {
				verdict = errFailure
			} else if x > 0.9 {
				verdict = errNeutral
			}
			k.forget(c.id, c.p, verdict)
			m.end(time.Now(), c.epoch, verdict)
		}
		for _, c := range k.changes {
			changes = append(changes, c.To)
		}
		k.changes = nil
		require.Equal(t, m.changes, changes)
	}
	assert.Len(t, k.calls, len(calls), "no call is lost, and none is left")
	assert.Equal(t, len(calls), k.tries)
}

// Row 38: of many callers at once exactly as many as there may be are probes, and none waits or is lost: the others are told at once.
func TestFault38_ExactlyKProbes(t *testing.T) {
	t.Parallel()
	for probes := 1; probes <= 5; probes++ {
		synctest.Test(t, func(t *testing.T) {
			b := Breaker{Failures: 1, Probes: probes, Pause: time.Second, Window: time.Hour, MinCalls: 1, Failed: failing}
			k := newBook(&b)
			k.update(here(new(socket.Peer)))
			begin := func() (call struct {
				id codec.ID
				p  *pending
			}, err error) {
				call.id, call.p = codec.NewID(), &pending{done: make(chan result, 1)}
				_, err = k.assign(call.id, call.p, nil, false)
				return call, err
			}
			first, err := begin()
			require.NoError(t, err)
			k.forget(first.id, first.p, errFailure)
			for range 3 { // it opens; probes fail or are cancelled; it opens again
				_, err = begin()
				require.ErrorIs(t, err, ErrOpen)
				time.Sleep(b.Pause + 1)
				var through []struct {
					id codec.ID
					p  *pending
				}
				for range 100 {
					if call, err := begin(); err == nil {
						through = append(through, call)
					} else {
						require.ErrorIs(t, err, ErrOpen)
					}
				}
				require.Len(t, through, probes)
				k.forget(through[0].id, through[0].p, errNeutral)
				call, err := begin()
				require.NoError(t, err, "in the place of the one that was cancelled")
				_, err = begin()
				require.ErrorIs(t, err, ErrOpen)
				for _, c := range through[1:] {
					k.forget(c.id, c.p, verdictGood)
				}
				k.forget(call.id, call.p, errFailure)
			}
			time.Sleep(b.Pause + 1)
			for i := range probes {
				call, err := begin()
				require.NoError(t, err, i)
				k.forget(call.id, call.p, verdictGood)
			}
			for range 10 {
				_, err := begin()
				require.NoError(t, err, "closed")
			}
		})
	}
}

// The ratio opens a breaker whose failures never come in a row, and only with enough calls.
func TestBreakerOfARatio(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := Breaker{Failures: 100, Ratio: 0.5, MinCalls: 10, Window: 10 * time.Second, Pause: time.Second, Probes: 1, Failed: failing}
		k := newBook(&b)
		k.update(here(new(socket.Peer)))
		call := func(verdict error) error {
			id, p := codec.NewID(), &pending{done: make(chan result, 1)}
			_, err := k.assign(id, p, nil, false)
			k.forget(id, p, verdict)
			return err
		}
		for range 4 {
			require.NoError(t, call(verdictGood))
			require.NoError(t, call(errFailure))
		}
		time.Sleep(20 * time.Second) // they are forgotten
		for range 4 {
			require.NoError(t, call(errFailure))
			require.NoError(t, call(verdictGood))
		}
		require.NoError(t, call(errFailure))
		require.NoError(t, call(errFailure), "the tenth")
		assert.ErrorIs(t, call(errFailure), ErrOpen)
	})
}

// An instance that is open is passed over, and its breaker stays when it connects anew, until nobody wants the endpoint any more.
func TestBreakersOfSeveralInstances(t *testing.T) {
	t.Parallel()
	b := Breaker{Failures: 1, Probes: 1, Pause: time.Hour, Window: time.Hour, MinCalls: 1, Failed: failing}
	k := newBook(&b)
	bad, good := new(socket.Peer), new(socket.Peer)
	state := func(p, q *socket.Peer) (s socket.Stats) {
		s.Peers = []socket.PeerStats{{Peer: p, Connected: p != nil, Endpoint: "tcp://bad"}, {Peer: q, Connected: q != nil, Endpoint: "tcp://good"}}
		return s
	}
	k.update(state(bad, good))
	call := func(verdict error, not ...*instance) *instance {
		id, p := codec.NewID(), &pending{done: make(chan result, 1)}
		at, err := k.assign(id, p, not, false)
		if err != nil {
			require.ErrorIs(t, err, ErrOpen)
			return nil
		}
		k.forget(id, p, verdict)
		return at
	}
	call(errFailure, k.instances[1])
	for range 10 {
		assert.Same(t, good, call(verdictGood).peer)
		assert.Same(t, good, call(verdictGood, k.instances[1]).peer, "although it was asked before")
	}
	k.update(state(nil, good))
	again := new(socket.Peer)
	k.update(state(again, good))
	for range 10 {
		assert.Same(t, good, call(verdictGood).peer)
	}
	call(errFailure)
	assert.Nil(t, call(verdictGood), "all are open")
	k.update(socket.Stats{})
	assert.Empty(t, k.breakers)
	k.update(state(again, nil))
	assert.NotNil(t, call(verdictGood), "a new beginning")
	assert.Len(t, k.changes, 2)
	assert.Equal(t, []any{"tcp://bad", Closed, Open}, []any{k.changes[0].Endpoint, k.changes[0].From, k.changes[0].To})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	b := &Breaker{Failed: failing}
	for _, err := range []error{nil, &Error{Code: "sold_out"}, &Error{Code: CodeBadRequest}, errors.New("who knows")} {
		assert.Equal(t, verdictGood, b.verdict(err), "%v", err)
	}
	for _, err := range []error{
		socket.ErrPeerGone, socket.ErrTimeout,
		&Error{Code: CodeInternal}, &Error{Code: CodeOverloaded}, &Error{Code: CodeUnavailable}, &Error{Code: CodeDeadline},
	} {
		assert.Equal(t, errFailure, b.verdict(err), "%v", err)
	}
	for _, err := range []error{context.Canceled, socket.ErrClosed} {
		assert.Equal(t, errNeutral, b.verdict(err), "%v", err)
	}
	var none *Breaker
	assert.Equal(t, errNeutral, none.verdict(socket.ErrPeerGone))
}

func TestBudget(t *testing.T) {
	t.Parallel()
	now := time.Now()
	b := budget{ratio: 0.1, burst: 10, tokens: 10}
	spent := func() (n int) {
		for b.spend(now) {
			n++
		}
		return n
	}
	assert.Equal(t, 10, spent(), "the burst")
	for range 55 {
		b.earn()
	}
	assert.Equal(t, 5, spent(), "a tenth of the calls")
	now = now.Add(5 * time.Second)
	assert.Contains(t, []int{5, 6}, spent(), "half of the time in which the burst comes back, and the remainder")
	now = now.Add(time.Hour)
	assert.Equal(t, 20, spent(), "never more than that")
	none := budget{}
	none.earn()
	assert.False(t, none.spend(now))
	assert.False(t, none.spend(now.Add(time.Hour)))
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	p := newPolicy()
	for n := 1; n < 100; n++ {
		most := min(50*time.Millisecond<<min(n-1, 10), 2*time.Second)
		for range 20 {
			pause := p.backoff(n)
			assert.Positive(t, pause)
			assert.LessOrEqual(t, pause, most)
		}
	}
	p.pause, p.most = 1<<62, 1<<62
	assert.Positive(t, p.backoff(5))
}

func TestMeter(t *testing.T) {
	t.Parallel()
	last := -1
	for us := time.Duration(0); us < 1<<22; us = us + 1 + us/50 {
		d := us * time.Microsecond
		b := bucketOf(d)
		assert.GreaterOrEqual(t, b, last)
		assert.LessOrEqual(t, b, last+1, "none is left out")
		assert.Less(t, d, limitOf(b))
		assert.LessOrEqual(t, float64(limitOf(b)), float64(d)*9/8+float64(time.Microsecond), "to within an eighth")
		last = b
	}
	assert.Equal(t, buckets-1, bucketOf(1<<62))
	assert.Zero(t, bucketOf(-1))
	var m meter
	assert.Zero(t, m.stats())
}
