package mdns

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	name := loopback(t)
	require.NoError(t, Probe(context.Background(), name))
	assert.ErrorContains(t, Probe(context.Background(), "nowhere0"), "probe interface nowhere0: ")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, Probe(ctx, name), context.Canceled)
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	_, err := New(WithInterfaces("nowhere0"))
	assert.EqualError(t, err, "mdns: interface nowhere0: there is no such interface")
	_, err = New(WithInterfaces())
	assert.ErrorContains(t, err, "no interface named")
	_, err = New(WithTTL(time.Second))
	assert.ErrorContains(t, err, "ttl 1s: want whole seconds from 5s to 2m0s")
	_, err = New(WithMaxPeers(0))
	assert.ErrorContains(t, err, "max peers 0: want at least 1")
}

// Another program, killed: its record ends when its life is over. TestKilledIsGoneAtTheEndOfItsRecord
// has the clock for when that is.
func TestKilledProgramExpires(t *testing.T) {
	t.Parallel()
	name := loopback(t)
	in := discoverytest.New(discoverytest.Service())
	w := discoverytest.Watch(t, open(t), in.Service)
	p := startPeer(t, peerJob{TTL: minTTL, Interfaces: []string{name}, Announce: in, Watch: in.Service})
	require.Equal(t, discovery.Event{Kind: discovery.Up, Instance: in}, w.Next(in.ID))
	p.kill()
	assert.Equal(t, discovery.Event{Kind: discovery.Down, Instance: in, Expired: true}, w.Next(in.ID))
}

func TestProgramsFindEachOther(t *testing.T) {
	t.Parallel()
	name := loopback(t)
	one, two := discoverytest.New(discoverytest.Service()), discoverytest.New("")
	two.Service = one.Service
	p1 := startPeer(t, peerJob{Interfaces: []string{name}, Announce: one, Watch: one.Service})
	require.Equal(t, one.ID, p1.event().Instance.ID, "itself")
	p2 := startPeer(t, peerJob{Interfaces: []string{name}, Announce: two, Watch: one.Service})
	assert.Equal(t, discovery.Event{Kind: discovery.Up, Instance: two}, p1.event())
	ids := []string{p2.event().Instance.ID, p2.event().Instance.ID}
	assert.ElementsMatch(t, []string{one.ID, two.ID}, ids)
	p2.leave()
	assert.Equal(t, discovery.Event{Kind: discovery.Down, Instance: two}, p1.event())
}

// What strangers send to the group must not stop anyone.
func TestHostilePackets(t *testing.T) {
	t.Parallel()
	name := loopback(t)
	r := open(t)
	service := discoverytest.Service()
	w := discoverytest.Watch(t, r, service)
	iface, err := net.InterfaceByName(name)
	require.NoError(t, err)
	stranger, err := openLink(iface)
	require.NoError(t, err)
	defer stranger.close()

	many := dns.Msg{Compress: true} // each question wants an answer with all there is
	for range 700 {
		many.Question = append(many.Question, dns.Question{Name: typeName, Qtype: dns.TypeANY, Qclass: dns.ClassINET})
	}
	flood, err := many.Pack()
	require.NoError(t, err)
	const label = "evil._meshmq._tcp.local."
	for _, packet := range [][]byte{
		{0},
		make([]byte, maxPacket),
		[]byte("\x00\x00\x84\x00\x00\x00\xff\xff\xff\xff\xff\xff\xc0\x0c\xc0\x0c"),
		flood,
		hostile(t, label, 1<<31, "v=1", "s="+service, "e0=tcp://127.0.0.1:99999"),
		hostile(t, label, 60, "v=1", "s="+service, "n=\\027[2J", "e0=tcp://127.0.0.1:1"),
		hostile(t, "a.b."+label, 60, "v=1", "s="+service, "e0=tcp://127.0.0.1:1"),
	} {
		g := stranger.legs[0]
		require.NoError(t, g.announce(packet))
		require.NoError(t, g.question(packet))
	}
	in := discoverytest.New(service)
	discoverytest.Announce(t, open(t), in)
	assert.Equal(t, discovery.Event{Kind: discovery.Up, Instance: in}, w.Any(), "the first thing it hears")
}

// The Zone does not answer without bounds: a stranger could turn that against others.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	given := 0
	a := &answers{site: lan, records: func(dns.Question, site) []dns.RR { given++; return nil }}
	start := time.Now()
	for range 10 * answerBurst {
		a.Records(dns.Question{Name: typeName, Qtype: dns.TypePTR})
	}
	limit := answerBurst + int(time.Since(start).Seconds()*answerRate) + 1
	assert.LessOrEqual(t, given, limit)
	assert.GreaterOrEqual(t, given, answerBurst)
}

// Any one-shot querier gets an answer, RFC 6762, 6.7.
func TestOneShotQuery(t *testing.T) {
	t.Parallel()
	name := loopback(t)
	in := discoverytest.New(discoverytest.Service())
	discoverytest.Announce(t, open(t), in)
	iface, err := net.InterfaceByName(name)
	require.NoError(t, err)
	l, err := openLink(iface)
	require.NoError(t, err)
	defer l.close()
	q, err := question(in.Service)
	require.NoError(t, err)
	g := l.legs[0]
	buf := make([]byte, maxPacket)
	n := 0
	for tries := 0; n == 0; tries++ { // a datagram may be lost, and queriers ask again
		require.Less(t, tries, 20)
		require.NoError(t, g.question(q))
		require.NoError(t, g.ask.SetReadDeadline(time.Now().Add(time.Second)))
		if n, _, _, err = g.answers(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			require.NoError(t, err)
		}
	}
	seen, _, err := parse(buf[:n], l.site)
	require.NoError(t, err)
	require.Len(t, seen, 1)
	assert.Equal(t, in, seen[0].in)
}
