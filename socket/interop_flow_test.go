package socket_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// A party is one end of a flow of numbers. It can end, in the roughest way it has, and begin anew at the same endpoint.
type party interface {
	begin(endpoint string) string // binds or connects, and sends if that is its part
	end()
	next() int // the next number that arrived
}

// flowRole says what a party does.
type flowRole struct {
	t     *testing.T
	kind  string
	binds bool
	sends bool
	life  int
}

// lifetime is how many numbers a life of a sender has: more than it can send.
const lifetime = 10_000_000

func (r *flowRole) join(s end, endpoint string) string {
	r.t.Helper()
	if r.kind == "SUB" {
		s.subscribe("")
	}
	if r.binds {
		return s.bind(endpoint)
	}
	s.connect(endpoint)
	return endpoint
}

// ourParty ends by Close.
type ourParty struct {
	flowRole
	s       *own
	stop    context.CancelFunc
	sending sync.WaitGroup
}

func (p *ourParty) begin(endpoint string) string {
	p.t.Helper()
	p.s = openOwn(p.t, p.kind, quick, socket.WithLinger(0))
	endpoint = p.join(p.s, endpoint)
	ctx, stop := context.WithCancel(p.t.Context())
	p.stop = stop
	if p.sends {
		from := p.life*lifetime + 1
		p.sending.Go(func() { p.send(ctx, from) })
	}
	p.life++
	return endpoint
}

// send sends at a pace that the receiver can follow: nothing else holds back a PUB, or whoever sends to an inbox without a limit.
func (p *ourParty) send(ctx context.Context, number int) {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	to := p.s.meshSocket.(sender)
	for ctx.Err() == nil {
		for range 100 {
			if to.Send(ctx, strconv.AppendInt(nil, int64(number), 10)) != nil {
				return // closed
			}
			number++
		}
		select {
		case <-pace.C:
		case <-ctx.Done():
		}
	}
}

func (p *ourParty) end() {
	p.stop()
	p.sending.Wait()
	_ = p.s.Close() // it may complain of what was not sent
}

func (p *ourParty) next() int { return number(p.t, p.s.recv()) }

// theirParty is killed.
type theirParty struct {
	flowRole
	process *peerProcess
	s       *foreign
	arrived [][][]byte
}

func (p *theirParty) begin(endpoint string) string {
	p.t.Helper()
	p.process = startLibzmq(p.t)
	// libzmq aborts or falls silent when it has to connect again with a full inbox (its issue 3937).
	p.s = p.process.open(p.t, p.kind, options{"RECONNECT_IVL": 10, "RCVHWM": 0})
	endpoint = p.join(p.s, endpoint)
	if p.sends {
		from := p.life*lifetime + 1
		p.process.tell(p.t, peerRequest{Op: "flood", Socket: p.s.number, From: from, Until: from + lifetime - 1})
	}
	p.life++
	return endpoint
}

func (p *theirParty) end() {
	p.process.kill()
	p.arrived = nil
}

func (p *theirParty) next() int {
	p.t.Helper()
	if len(p.arrived) == 0 {
		p.arrived = p.s.take(100)
	}
	m := p.arrived[0]
	p.arrived = p.arrived[1:]
	return number(p.t, m)
}

// number returns the number that a message of a flow carries, behind the identity that a ROUTER puts before it.
func number(t *testing.T, message [][]byte) int {
	t.Helper()
	n, err := strconv.Atoi(string(message[len(message)-1]))
	require.NoError(t, err)
	return n
}

// RFC 28, 29, 30: either side goes and returns while messages flow. What was on its way is lost with the connection, but
// nothing comes twice or out of order, no call fails, and the flow goes on.
func TestInteropRestartMidTraffic(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]string{{"PUSH", "PULL"}, {"DEALER", "ROUTER"}, {"PUB", "SUB"}} {
		for i := range 8 {
			weSend, senderBinds, senderRestarts := i&1 != 0, i&2 != 0, i&4 != 0
			name := fmt.Sprintf("%s-%s we send %t, sender binds %t, sender restarts %t", pair[0], pair[1], weSend, senderBinds, senderRestarts)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				from := newParty(flowRole{t: t, kind: pair[0], binds: senderBinds, sends: true}, weSend)
				to := newParty(flowRole{t: t, kind: pair[1], binds: !senderBinds}, !weSend)
				transport := []string{"tcp", "ipc"}[(i^i>>1^i>>2)&1] // each choice is made with either
				restarts := to
				if senderRestarts {
					restarts = from
				}
				keepFlowing(t, from, to, senderBinds, restarts, freshEndpoint(t, transport))
			})
		}
	}
}

// lives is how often a party begins.
func lives(t *testing.T) int {
	t.Helper()
	given := os.Getenv("MESHMQ_TEST_LIVES")
	if given == "" {
		return 4
	}
	n, err := strconv.Atoi(given)
	require.NoError(t, err, "MESHMQ_TEST_LIVES")
	return n
}

func newParty(r flowRole, ours bool) party {
	if ours {
		return &ourParty{flowRole: r}
	}
	return &theirParty{flowRole: r}
}

func keepFlowing(t *testing.T, from, to party, senderBinds bool, restarts party, endpoint string) {
	if senderBinds {
		endpoint = from.begin(endpoint)
		to.begin(endpoint)
	} else {
		endpoint = to.begin(endpoint)
		from.begin(endpoint)
	}
	last := map[int]int{} // by the life of the sender: its old and its new connection take turns at the receiver
	for life := range lives(t) {
		sent := 0 // the life of the sender
		if life > 0 {
			restarts.end()
			restarts.begin(endpoint)
		}
		if restarts == from {
			sent = life
		}
		for arrived := 0; arrived < 500; {
			n := to.next()
			require.Greater(t, n, last[n/lifetime], "in life %d", life)
			last[n/lifetime] = n
			if n/lifetime == sent {
				arrived++
			}
		}
	}
	from.end()
}
