package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

func TestMain(m *testing.M) { discoverytest.Main(m) }

// zone answers in place of servers.
type zone struct {
	mu    sync.Mutex // guards the fields below
	lines []string
	fails map[string]error // by server
	asked []string         // server and name of each question
}

func (z *zone) set(lines ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.lines = lines
}

func (z *zone) fail(server string, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.fails == nil {
		z.fails = map[string]error{}
	}
	z.fails[server] = err
}

// questions returns what was asked since it was called last.
func (z *zone) questions() (asked []string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	asked, z.asked = z.asked, nil
	return asked
}

func (z *zone) exchange(_ context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	q := question.Question[0]
	z.asked = append(z.asked, server+" "+q.Name+" "+dns.TypeToString[q.Qtype])
	if err := z.fails[server]; err != nil {
		return nil, err
	}
	return z.answerLocked(question), nil
}

// answerLocked has all records of the type, aliases, and the SOA where there is nothing.
func (z *zone) answerLocked(question *dns.Msg) *dns.Msg {
	answer := new(dns.Msg).SetReply(question)
	for _, line := range z.lines {
		rr, err := dns.NewRR(line)
		if err != nil {
			panic(err)
		}
		switch rr.Header().Rrtype {
		case dns.TypeSOA:
			answer.Ns = append(answer.Ns, rr)
		case question.Question[0].Qtype, dns.TypeCNAME:
			answer.Answer = append(answer.Answer, rr)
		}
	}
	if len(answer.Answer) == 0 {
		answer.Rcode = dns.RcodeNameError
	}
	return answer
}

// open returns a registry of example.com that asks z.
func open(t *testing.T, z *zone, opts ...Option) *Registry {
	t.Helper()
	r, err := New("example.com", append([]Option{WithServers("192.0.2.1")}, opts...)...)
	require.NoError(t, err)
	r.exchange = z.exchange
	return r
}

const oneRR, twoRR = "_orders._tcp.example.com. 20 IN SRV 1 5 5555 one.example.com.", "_orders._tcp.example.com. 20 IN SRV 2 0 5555 two.example.com."

func TestWatch_AnInstanceIsAnSRVRecord(t *testing.T) {
	t.Parallel()
	z := &zone{}
	z.set(oneRR, twoRR, "_orders._tcp.example.com. 20 IN SRV 0 0 0 .", "_orders._tcp.example.com. 20 IN SRV 0 0 1 .", "_orders._tcp.example.com. 20 IN SRV 0 0 1 0.0.0.0.", oneRR)
	w := discoverytest.Watch(t, open(t, z, WithScheme("tls+tcp")), "orders")
	first, second := w.Any(), w.Any()
	if first.Instance.Name != "one.example.com" {
		first, second = second, first
	}
	assert.Equal(t, discovery.Event{Kind: discovery.Up, Instance: discovery.Instance{
		ID: idOf("orders", "one.example.com", 5555), Service: "orders", Name: "one.example.com",
		Endpoints: []string{"tls+tcp://one.example.com:5555"}, Meta: map[string]string{"priority": "1", "weight": "5"},
	}}, first)
	assert.Equal(t, []string{"tls+tcp://two.example.com:5555"}, second.Instance.Endpoints)
}

func TestWatch_AnInstanceIsAnAddressWithPort(t *testing.T) {
	t.Parallel()
	z := &zone{}
	z.set("orders.example.com. 20 IN CNAME shop.example.com.", "shop.example.com. 20 IN A 192.0.2.7", "shop.example.com. 20 IN AAAA 2001:db8::7",
		"stranger.example.com. 20 IN A 192.0.2.8")
	w := discoverytest.Watch(t, open(t, z, WithPort(5555)), "orders")
	assert.ElementsMatch(t, []string{"tcp://192.0.2.7:5555", "tcp://[2001:db8::7]:5555"}, []string{w.Any().Instance.Endpoints[0], w.Any().Instance.Endpoints[0]})
	assert.Equal(t, []string{"192.0.2.1:53 orders.example.com. A", "192.0.2.1:53 orders.example.com. AAAA"}, z.questions())
}

// record notes the events of a Watch in a bubble, one a line.
func record(ctx context.Context, r *Registry) (events func() []string) {
	var mu sync.Mutex // guards all
	var all []string
	go func() {
		for e, err := range r.Watch(ctx, "orders") {
			if err != nil {
				panic(err)
			}
			line := e.Kind.String() + " " + e.Instance.Name
			if e.Expired {
				line += " expired"
			}
			mu.Lock()
			all = append(all, line)
			mu.Unlock()
		}
	}()
	return func() (since []string) {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		since, all = all, nil
		return since
	}
}

func TestWatch_AsksWhenTheTimeToLiveIsOver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines  []string
		period time.Duration
	}{
		"of the record that lives shortest": {[]string{oneRR, strings.Replace(twoRR, " 20 ", " 30 ", 1)}, 20 * time.Second},
		"not sooner than the period":        {[]string{strings.Replace(oneRR, " 20 ", " 0 ", 1)}, 5 * time.Second},
		"not later than the period":         {[]string{strings.Replace(oneRR, " 20 ", " 86400 ", 1)}, time.Minute},
		"of what is not there":              {[]string{"example.com. 40 IN SOA ns.example.com. root.example.com. 1 7200 900 1209600 15"}, 15 * time.Second},
		"of nothing known":                  {nil, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				z := &zone{}
				z.set(c.lines...)
				events := record(ctx, open(t, z))
				events()
				require.Len(t, z.questions(), 1)
				time.Sleep(c.period - time.Millisecond)
				synctest.Wait()
				assert.Empty(t, z.questions(), "before")
				time.Sleep(c.period/10 + 2*time.Millisecond) // and the spread
				synctest.Wait()
				assert.Len(t, z.questions(), 1)
			})
		})
	}
}

func TestWatch_TellsWhatComesAndGoes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		z := &zone{}
		z.set(oneRR)
		events := record(ctx, open(t, z))
		assert.Equal(t, []string{"up one.example.com"}, events())
		z.set(twoRR)
		time.Sleep(22 * time.Second)
		assert.Equal(t, []string{"down one.example.com", "up two.example.com"}, events())
		z.set(strings.Replace(twoRR, "SRV 2", "SRV 3", 1))
		time.Sleep(22 * time.Second)
		assert.Equal(t, []string{"change two.example.com"}, events())
		z.set()
		time.Sleep(22 * time.Second)
		assert.Equal(t, []string{"down two.example.com"}, events())
	})
}

// Servers that do not answer say nothing about a service; not until patience ends.
func TestWatch_AnOutageOfServersIsNotOneOfPeers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		z, outage := &zone{}, errors.New("no route")
		z.set(oneRR)
		told := make(chan error, 100)
		events := record(ctx, open(t, z, WithPatience(10*time.Minute), WithOnError(func(err error) { told <- err })))
		assert.Equal(t, []string{"up one.example.com"}, events())
		z.fail("192.0.2.1:53", outage)
		time.Sleep(9 * time.Minute)
		assert.Empty(t, events())
		err := <-told
		assert.ErrorIs(t, err, outage)
		assert.EqualError(t, err, "watch _orders._tcp.example.com.: server 192.0.2.1:53: no route")
		time.Sleep(3 * time.Minute)
		assert.Equal(t, []string{"down one.example.com expired"}, events())
		z.fail("192.0.2.1:53", nil)
		time.Sleep(2 * time.Minute)
		assert.Equal(t, []string{"up one.example.com"}, events())
	})
}

func TestWatch_TheNextServerIsAsked(t *testing.T) {
	t.Parallel()
	z := &zone{}
	z.set(oneRR)
	z.fail("192.0.2.1:53", errors.New("no answer"))
	w := discoverytest.Watch(t, open(t, z, WithServers("192.0.2.1", "[2001:db8::1]:5353")), "orders")
	assert.Equal(t, "one.example.com", w.Any().Instance.Name)
	assert.Equal(t, []string{"192.0.2.1:53 _orders._tcp.example.com. SRV", "[2001:db8::1]:5353 _orders._tcp.example.com. SRV"}, z.questions())
}

func TestWatch_Refuses(t *testing.T) {
	t.Parallel()
	r := open(t, &zone{})
	assert.ErrorContains(t, discoverytest.Watch(t, r, "").Err(), "no list of services: name one")
	assert.ErrorContains(t, discoverytest.Watch(t, r, "Not A Name").Err(), "lower-case")
	assert.ErrorContains(t, discoverytest.Watch(t, r, strings.Repeat("a", 63)).Err(), "too long for a name in DNS")
}

func TestAnnounce_SaysWhichRecordsItTakes(t *testing.T) {
	t.Parallel()
	in := discoverytest.New("orders")
	in.Endpoints = []string{"tcp://one.example.com:5555", "tcp://192.0.2.7:5556", "ipc:///run/orders"}
	_, err := open(t, &zone{}).Announce(t.Context(), in)
	assert.ErrorIs(t, err, ErrReadOnly)
	assert.ErrorContains(t, err, `"_orders._tcp.example.com. 30 IN SRV 0 0 5555 one.example.com." "_orders._tcp.example.com. 30 IN SRV 0 0 5556 HOST.example.com."`)
	in.Endpoints = []string{"tcp://192.0.2.7:5555", "tcp://[2001:db8::7]:5555"}
	_, err = open(t, &zone{}, WithPort(5555)).Announce(t.Context(), in)
	assert.ErrorContains(t, err, `"orders.example.com. 30 IN A 192.0.2.7" "orders.example.com. 30 IN AAAA 2001:db8::7"`)
	in.Endpoints = []string{"tcp://*:5555", "tcp://one.example.com:5555"}
	_, err = open(t, &zone{}, WithPort(5555)).Announce(t.Context(), in)
	assert.ErrorContains(t, err, `"orders.example.com. 30 IN A ADDRESS" "orders.example.com. 30 IN A ADDRESS"`)
	_, err = open(t, &zone{}, WithPort(5556)).Announce(t.Context(), in)
	assert.ErrorContains(t, err, "want 5556 (WithPort), not that of tcp://*:5555")
	in.Endpoints = []string{"ipc:///run/orders"}
	_, err = open(t, &zone{}).Announce(t.Context(), in)
	assert.ErrorContains(t, err, "none of its endpoints has a host and a port: ipc:///run/orders")
	in.Endpoints = nil
	_, err = open(t, &zone{}).Announce(t.Context(), in)
	assert.ErrorContains(t, err, "0 endpoints")
}

func TestNew_Refuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		domain string
		opt    Option
		want   string
	}{
		{"", WithPort(1), `domain "": want one such as shop.example.com`},
		{".", WithPort(1), `domain "."`},
		{"a b", WithPort(1), `domain "a b"`},
		{"tcp://x", WithPort(1), `domain "tcp://x"`},
		{strings.Repeat("a", 64), WithPort(1), "want one such as"},
		{"example.com", WithPort(0), "port 0: want 1 to 65535"},
		{"example.com", WithScheme("ipc"), `scheme "ipc": want one with a host and a port`},
		{"example.com", WithServers("ns.example.com"), `server "ns.example.com": want an IP address, or IP:PORT`},
		{"example.com", WithPeriod(0, time.Hour), "period of 0s to 1h0m0s"},
		{"example.com", WithPeriod(time.Hour, time.Minute), "period of 1h0m0s to 1m0s"},
		{"example.com", WithPatience(-1), "patience -1ns"},
	} {
		_, err := New(c.domain, c.opt)
		assert.ErrorContains(t, err, c.want)
	}
}

func TestInstances_AreBounded(t *testing.T) {
	t.Parallel()
	r := open(t, &zone{})
	var records []dns.RR
	for i := range 2 * maxInstances {
		records = append(records, &dns.SRV{Target: fmt.Sprintf("host-%d.example.com.", i), Port: 1, Priority: uint16(2*maxInstances - i)})
	}
	all, err := r.instances("orders", records)
	assert.ErrorContains(t, err, "more than 1024 records")
	assert.Len(t, all, maxInstances)
	last := fmt.Sprintf("host-%d.example.com", 2*maxInstances-1)
	assert.Contains(t, all, idOf("orders", last, 1), "the first priority is among them")
}

func TestRead_AliasesThatGoAroundEnd(t *testing.T) {
	t.Parallel()
	z := &zone{}
	z.set("a.example.com. 7 IN CNAME b.example.com.", "b.example.com. 9 IN CNAME a.example.com.")
	_, _, err := open(t, z, WithPort(1)).follow(t.Context(), "a.example.com.", dns.TypeA)
	assert.ErrorContains(t, err, "more than 8 aliases")
}

// Each of these would be the end of all peers if it were taken for an answer that there is none.
func TestAsk_WhatIsNoAnswer(t *testing.T) {
	t.Parallel()
	question := new(dns.Msg).SetQuestion("_orders._tcp.example.com.", dns.TypeSRV)
	referral := new(dns.Msg).SetReply(question)
	rr, err := dns.NewRR("example.com. 20 IN NS ns.example.com.")
	require.NoError(t, err)
	referral.Ns = []dns.RR{rr}
	r := open(t, &zone{})
	r.exchange = func(context.Context, string, *dns.Msg) (*dns.Msg, error) { return referral, nil }
	_, _, err = r.lookup(t.Context(), "orders", question.Question[0].Name)
	assert.EqualError(t, err, "server 192.0.2.1:53: does not know itself, and names others: want one that asks them (a resolver)")
}

// A server that knows an alias, and not what it is for, is asked for that.
func TestFollow_AnAliasIsAskedFor(t *testing.T) {
	t.Parallel()
	z := &zone{}
	r := open(t, z)
	r.exchange = func(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
		if question.Question[0].Name == "_orders._tcp.example.com." {
			z.set("_orders._tcp.example.com. 20 IN CNAME _orders._tcp.example.org.")
		} else {
			z.set("_orders._tcp.example.org. 20 IN SRV 0 0 5555 one.example.org.")
		}
		return z.exchange(ctx, server, question)
	}
	assert.Equal(t, "one.example.org", discoverytest.Watch(t, r, "orders").Any().Instance.Name)
}

func TestWatch_TellsOfRecordsThatAreLeftOut(t *testing.T) {
	t.Parallel()
	z := &zone{}
	long := strings.Repeat("a.", 70) + "example.com."
	z.set(oneRR, "_orders._tcp.example.com. 20 IN SRV 0 0 5555 "+long)
	told := make(chan error, 1)
	w := discoverytest.Watch(t, open(t, z, WithOnError(func(err error) { told <- err })), "orders")
	assert.Equal(t, "one.example.com", w.Any().Instance.Name)
	assert.ErrorContains(t, <-told, "a record is left out")
}

// FuzzAnswer: whatever a server sends, what is made of it is valid.
func FuzzAnswer(f *testing.F) {
	z := &zone{}
	z.set(oneRR, twoRR)
	question := new(dns.Msg).SetQuestion("_orders._tcp.example.com.", dns.TypeSRV)
	wire, err := z.answerLocked(question).Pack()
	require.NoError(f, err)
	f.Add(wire)
	r, err := New("example.com", WithServers(net.IPv4(192, 0, 2, 1).String()))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, wire []byte) {
		answer := new(dns.Msg)
		if answer.Unpack(wire) != nil {
			return
		}
		_ = answers(answer, question)
		for _, kind := range []uint16{dns.TypeSRV, dns.TypeA, dns.TypeAAAA} {
			records, ttl, _ := read(answer, "_orders._tcp.example.com.", kind)
			require.GreaterOrEqual(t, ttl, time.Duration(0))
			all, _ := r.instances("orders", records)
			for id, in := range all {
				require.Equal(t, id, in.ID)
				require.NoError(t, in.Validate())
			}
		}
	})
}
