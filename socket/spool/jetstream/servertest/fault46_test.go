package servertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// rounds is how often each step is gone through, for so many kills.
func rounds(t *testing.T, each int) int {
	t.Helper()
	if kills, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		return max(1, kills/each)
	}
	return 1
}

// lane is a way of messages: a PUSH with a spool of its own on the servers, and a PULL.
type lane struct {
	name  string
	step  step
	wire  *failpoint // between the spool and its servers
	hands *failpoint // of the receiver
	s     *jetstream.Spool
	push  *socket.Push
	pull  *socket.Pull
	nc    *nats.Conn
	flow  *partition // shut while nothing is to be sent
	stop  chan struct{}

	senders, receiver sync.WaitGroup

	mu        sync.Mutex
	confirmed map[string]bool
	handled   map[string]int
	err       error         // of Send
	news      chan struct{} // has room for one
}

// replicated are options of spools that three servers keep.
var replicated = jetstream.Options{Replicas: 3, Patience: 3 * time.Second}

// newLanes opens a lane for each step.
func newLanes(t *testing.T, urls string) []*lane {
	t.Helper()
	lanes, errs := make([]*lane, len(steps)), make([]error, len(steps))
	var all sync.WaitGroup
	for i, at := range steps {
		l := &lane{
			name: fmt.Sprint("lane-", i), step: at, wire: newFailpoint(), hands: newFailpoint(), flow: newPartition(), stop: make(chan struct{}),
			confirmed: map[string]bool{}, handled: map[string]int{}, news: make(chan struct{}, 1),
		}
		nc, err := nats.Connect(urls, through(l.wire), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.Timeout(20*time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
		require.NoError(t, err)
		t.Cleanup(nc.Close)
		l.nc = nc
		t.Cleanup(l.wire.open)
		t.Cleanup(l.hands.open)
		t.Cleanup(l.flow.open)
		l.flow.shut()
		lanes[i] = l
		ctx := bounded(t)
		all.Go(func() { // each takes elections
			l.s, errs[i] = jetstream.Open(ctx, nc, l.name, replicated)
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	for _, l := range lanes {
		l.start(t)
	}
	return lanes
}

// start has messages flow.
func (l *lane) start(t *testing.T) {
	t.Helper()
	_, err := l.s.Consumer("audit", spool.Beginning()) // acknowledges nothing, so that the servers keep all
	require.NoError(t, err)
	l.push, l.pull = socket.NewPush(socket.WithAck(), socket.WithSpoolOn(l.s)), socket.NewPull(socket.WithAck())
	at, err := l.pull.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.push.Connect(at))
	t.Cleanup(func() { _ = l.push.Close() })
	t.Cleanup(func() { _ = l.pull.Close() })
	l.receiver.Go(func() { // ends when the PULL is closed
		for msg, err := range l.pull.Messages(t.Context()) {
			if err != nil {
				return
			}
			l.hands.stop(handling, msg.Bytes())
			l.note(func() { l.handled[string(msg.Bytes())]++ })
		}
	})
	for i := range 4 {
		l.senders.Go(func() { l.send(t.Context(), i) }) // ends with stop
	}
}

func (l *lane) note(change func()) {
	l.mu.Lock()
	change()
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *lane) send(ctx context.Context, who int) {
	for j := 0; ; j++ {
		l.flow.pass()
		select {
		case <-l.stop:
			return
		default:
		}
		body := fmt.Sprintf("sender %d, message %d", who, j)
		err := l.push.Send(ctx, []byte(body))
		l.note(func() { l.confirmed[body], l.err = err == nil, errors.Join(l.err, err) })
		if err != nil {
			return
		}
	}
}

// more waits until that many more messages have been confirmed, and that many handled.
func (l *lane) more(t *testing.T, n int) {
	t.Helper()
	l.mu.Lock()
	confirmed, handled := len(l.confirmed)+n, len(l.handled)+n
	l.mu.Unlock()
	for done := false; !done; {
		select {
		case <-l.news:
		case <-bounded(t).Done():
			require.Fail(t, "nothing goes on", "%s: %s", l.name, l.step.name)
		}
		l.mu.Lock()
		done = len(l.confirmed) >= confirmed && len(l.handled) >= handled
		err := l.err
		l.mu.Unlock()
		require.NoError(t, err)
	}
}

// arm has the lane stop at its step.
func (l *lane) arm() <-chan struct{} {
	if l.step.at == handling {
		return l.hands.arm(handling, "")
	}
	return l.wire.arm(l.step.at, l.step.words(l.name))
}

// check ends the lane: all that was confirmed was handled, each message once, and is in the stream, once, as who opens it next finds.
func (l *lane) check(t *testing.T, js natsjs.JetStream) {
	t.Helper()
	l.senders.Wait()
	require.NoError(t, l.push.WaitAcked(bounded(t)))
	require.NoError(t, l.push.Close())
	require.NoError(t, l.pull.Close())
	l.receiver.Wait()
	s := open(t, l.nc, l.name, replicated)
	audit, err := s.Consumer("audit", spool.Beginning())
	require.NoError(t, err)
	r, end, stored := audit.Reader(0), s.State().Next, map[string]int{}
	defer r.Close()
	for n := uint64(1); n < end; n++ {
		rec := next(t, r)
		require.Equal(t, n, rec.Number)
		stored[string(rec.Frames[0])]++
	}
	stream, err := js.Stream(context.Background(), l.name)
	require.NoError(t, err)
	assert.Equal(t, end-1, stream.CachedInfo().State.Msgs)
	for body := range l.confirmed {
		require.Equal(t, 1, stored[body], "%s: in the stream", body)
	}
	for body, times := range stored {
		require.Equal(t, 1, times, "%s: in the stream", body)
		require.Equal(t, 1, l.handled[body], "%s: handled", body)
	}
	require.Len(t, l.handled, len(stored))
	t.Logf("%d messages confirmed, %d stored and handled", len(l.confirmed), len(stored))
}

// lead has one server lead all streams, and waits until all three have all there is.
func lead(t *testing.T, nc *nats.Conn, js natsjs.JetStream, lanes []*lane, p *process) {
	t.Helper()
	for _, l := range lanes {
		for _, name := range []string{l.name, l.name + "_state"} {
			asked := time.Time{}
			require.Eventually(t, func() bool {
				stream, err := js.Stream(context.Background(), name) // each with a limit of its own: one may be lost with a leader
				if err != nil {
					return false
				}
				at := stream.CachedInfo().Cluster
				behind := func(r *natsjs.PeerInfo) bool { return !r.Current || r.Offline }
				if at.Leader == "" || len(at.Replicas) < 2 || slices.ContainsFunc(at.Replicas, behind) {
					return false
				}
				if at.Leader != p.Name && time.Since(asked) > 5*time.Second {
					asked = time.Now()
					_, _ = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+name, fmt.Appendf(nil, `{"placement":{"preferred":%q}}`, p.Name), time.Second)
				}
				return at.Leader == p.Name
			}, time.Minute, 50*time.Millisecond, "%s does not lead %s", p.Name, name)
		}
	}
}

// TestFault46_ServerKilled: row 46 of the fault plan. Of three servers one gets SIGKILL while messages are at each step of their way, each on a spool of its own: first one that
// follows, then the one that leads. All go on with the other two; what was confirmed is handled, and everything is in the stream once.
func TestFault46_ServerKilled(t *testing.T) {
	t.Parallel()
	servers := startProcesses(t)
	urls := servers[0].url() + "," + servers[1].url() + "," + servers[2].url()
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	js, err := natsjs.New(nc)
	require.NoError(t, err)
	lanes := newLanes(t, urls)
	for round := range rounds(t, 2*len(steps)) {
		leader, follower := servers[round%3], servers[(round+1)%3]
		for _, victim := range []*process{follower, leader} {
			lead(t, nc, js, lanes, leader)
			killAtSteps(t, lanes, victim)
			victim.start(t)
		}
	}
	for _, l := range lanes {
		close(l.stop)
		l.flow.open()
	}
	for _, l := range lanes {
		t.Run(l.step.name, func(t *testing.T) {
			t.Parallel()
			l.check(t, js)
		})
	}
}

// killAtSteps kills a server when each lane is at its step, and has them go on.
func killAtSteps(t *testing.T, lanes []*lane, victim *process) {
	t.Helper()
	var reached []<-chan struct{}
	for _, l := range lanes {
		reached = append(reached, l.arm())
		l.flow.open()
	}
	for i, there := range reached {
		select {
		case <-there:
		case <-bounded(t).Done():
			require.Fail(t, "not reached", lanes[i].step.name)
		}
	}
	victim.kill()
	for _, l := range lanes {
		l.hands.open()
		l.wire.open()
	}
	for _, l := range lanes {
		l.more(t, 20)
		l.flow.shut()
	}
}
