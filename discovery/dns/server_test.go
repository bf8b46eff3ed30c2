package dns

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

// serve runs a name server on the loopback interface, by UDP and TCP, until the test ends, and returns its address.
func serve(t *testing.T, handle func(w dns.ResponseWriter, question *dns.Msg)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	pc, err := net.ListenPacket("udp", l.Addr().String())
	require.NoError(t, err)
	for _, s := range []*dns.Server{{Listener: l}, {PacketConn: pc}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.Handler, s.NotifyStartedFunc = dns.HandlerFunc(handle), func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		<-started
		t.Cleanup(func() {
			assert.NoError(t, s.Shutdown())
			assert.NoError(t, <-ended)
		})
	}
	return pc.LocalAddr().String()
}

func TestServer_ALargeAnswerComesByTCP(t *testing.T) {
	t.Parallel()
	z := &zone{}
	var lines []string
	for i := range 200 {
		lines = append(lines, fmt.Sprintf("_orders._tcp.example.com. 20 IN SRV 0 0 5555 host-%d.example.com.", i))
	}
	z.set(lines...)
	address := serve(t, func(w dns.ResponseWriter, question *dns.Msg) {
		z.mu.Lock()
		answer := z.answerLocked(question)
		z.mu.Unlock()
		if w.LocalAddr().Network() == "udp" {
			answer.Truncate(int(question.IsEdns0().UDPSize()))
		}
		_ = w.WriteMsg(answer)
	})
	r, err := New("example.com", WithServers(address))
	require.NoError(t, err)
	w := discoverytest.Watch(t, r, "orders")
	seen := map[string]bool{}
	for len(seen) < len(lines) {
		seen[w.Any().Instance.Name] = true
	}
}

// An answer that is cut short by TCP, too, is none: what is missing is not gone. WithTCP asks in no other way.
func TestServer_AnAnswerThatIsCutShort(t *testing.T) {
	t.Parallel()
	z := &zone{lines: []string{oneRR}}
	address := serve(t, func(w dns.ResponseWriter, question *dns.Msg) {
		answer := z.answerLocked(question)
		answer.Truncated = w.LocalAddr().Network() == "tcp"
		_ = w.WriteMsg(answer)
	})
	byTCP, err := New("example.com", WithServers(address), WithTCP())
	require.NoError(t, err)
	_, _, err = byTCP.lookup(t.Context(), "orders", "_orders._tcp.example.com.")
	assert.ErrorContains(t, err, "tcp: the answer is cut short")
	byUDP, err := New("example.com", WithServers(address))
	require.NoError(t, err)
	all, _, err := byUDP.lookup(t.Context(), "orders", "_orders._tcp.example.com.")
	require.NoError(t, err)
	assert.Len(t, all, 1)
}

// Packets that are none, or answer another question, do not keep the answer from being heard.
func TestServer_OthersAreNotListenedTo(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w dns.ResponseWriter, question *dns.Msg) {
		forged := func(change func(*dns.Msg)) {
			answer := new(dns.Msg).SetReply(question)
			rr, _ := dns.NewRR("_orders._tcp.example.com. 20 IN SRV 0 0 6666 thief.example.com.")
			answer.Answer = []dns.RR{rr}
			change(answer)
			_ = w.WriteMsg(answer)
		}
		_, _ = w.Write([]byte("no packet of DNS"))
		forged(func(m *dns.Msg) { m.Id++ })
		forged(func(m *dns.Msg) { m.Question[0].Name = "_prices._tcp.example.com." })
		forged(func(m *dns.Msg) { m.Response = false })
		forged(func(m *dns.Msg) { m.Question = nil })
		z := &zone{lines: []string{oneRR}}
		_ = w.WriteMsg(z.answerLocked(question))
	})
	r, err := New("example.com", WithServers(address))
	require.NoError(t, err)
	assert.Equal(t, "one.example.com", discoverytest.Watch(t, r, "orders").Any().Instance.Name)
}

// A server that is silent is left when the context ends, without waiting for its time.
func TestServer_TheContextEndsAWait(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 16)
	address := serve(t, func(dns.ResponseWriter, *dns.Msg) { asked <- struct{}{} })
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-asked
		cancel(assert.AnError)
	}()
	_, err := exchange(ctx, address, new(dns.Msg).SetQuestion("_orders._tcp.example.com.", dns.TypeSRV))
	assert.ErrorIs(t, err, assert.AnError)
}

func TestServer_ARefusalIsAnError(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w dns.ResponseWriter, question *dns.Msg) {
		_ = w.WriteMsg(new(dns.Msg).SetRcode(question, dns.RcodeRefused))
	})
	told := make(chan error, 16)
	r, err := New("example.com", WithServers(address), WithOnError(func(err error) { told <- err }))
	require.NoError(t, err)
	discoverytest.Watch(t, r, "orders")
	assert.EqualError(t, <-told, "watch _orders._tcp.example.com.: server "+address+": REFUSED")
}

// connector notes what it is connected to.
type connector chan string

func (c connector) Connect(endpoint string) error    { c <- endpoint; return nil }
func (c connector) Disconnect(endpoint string) error { return nil }

func TestFollow_ConnectsToTheTargets(t *testing.T) {
	t.Parallel()
	z := &zone{}
	z.set(oneRR)
	c := make(connector, 1)
	f, err := discovery.Follow(t.Context(), open(t, z), "orders", c)
	require.NoError(t, err)
	defer f.Close()
	assert.Equal(t, "tcp://one.example.com:5555", <-c)
}
