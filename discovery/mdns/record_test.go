package mdns

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/discoverytest"
)

// lan and local are interfaces as they may be.
var (
	lan = site{name: "eth0", index: 2, prefixes: []netip.Prefix{
		netip.MustParsePrefix("10.0.0.7/24"), netip.MustParsePrefix("fe80::7/64"), netip.MustParsePrefix("fd00::7/64")}}
	local = site{name: "lo", index: 1, loopback: true, prefixes: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128")}}
)

// reachable returns an instance that can be announced on lan and local.
func reachable(service string) discovery.Instance {
	in := discoverytest.New(service)
	in.Endpoints = []string{"tcp://10.0.0.7:5555"}
	return in
}

func announced(t *testing.T, in discovery.Instance, s site, ttl time.Duration) []byte {
	t.Helper()
	b, err := announcement(in, 7, s, ttl)
	require.NoError(t, err)
	require.NotNil(t, b)
	return b
}

func TestAnnouncementRoundTrip(t *testing.T) {
	t.Parallel()
	in := reachable("orders")
	in.Name = `back\slash "quoted" \065 Zürich;`
	in.Meta = map[string]string{"k": `\`, "empty": ""}
	in.Endpoints = append(in.Endpoints, "tcp://desk.local:7")
	for _, s := range []site{lan, local} {
		seen, addrs, err := parse(announced(t, in, s, 15*time.Second), s)
		require.NoError(t, err)
		assert.Equal(t, []sighting{{in, 15 * time.Second, s.index, 7}}, seen)
		assert.Len(t, addrs, len(s.prefixes))
	}
	seen, _, err := parse(announced(t, in, lan, 0), lan)
	require.NoError(t, err)
	assert.Equal(t, []sighting{{in, 0, lan.index, 7}}, seen, "a goodbye")
}

func TestAnnouncementIsAsTheRFCWantsIt(t *testing.T) {
	t.Parallel()
	in := reachable("orders")
	in.ID = "abc"
	var m dns.Msg
	require.NoError(t, m.Unpack(announced(t, in, lan, 15*time.Second)))
	// RFC 6762, 18: ID 0, a response, authoritative, no question.
	assert.Equal(t, dns.MsgHdr{Response: true, Authoritative: true}, m.MsgHdr)
	assert.Empty(t, m.Question)
	types := map[uint16]int{}
	for _, rr := range m.Answer {
		h := rr.Header()
		types[h.Rrtype]++
		assert.EqualValues(t, 15, h.Ttl)
		// RFC 6762, 10.2: cache-flush on unique records, never on shared ones.
		assert.Equal(t, h.Rrtype != dns.TypePTR, h.Class&cacheFlush != 0, rr.String())
	}
	assert.Equal(t, map[uint16]int{dns.TypePTR: 2, dns.TypeSRV: 1, dns.TypeTXT: 1, dns.TypeA: 1, dns.TypeAAAA: 2}, types)
	assert.Equal(t, "_meshmq._tcp.local.", m.Answer[0].Header().Name)
	subtype := m.Answer[len(m.Answer)-1]
	assert.Equal(t, "orders._sub._meshmq._tcp.local.", subtype.Header().Name)
	assert.Equal(t, "abc._meshmq._tcp.local.", subtype.(*dns.PTR).Ptr)
}

func TestTXTKeysAreShort(t *testing.T) {
	t.Parallel()
	in := reachable("orders")
	in.Endpoints = make([]string, 16)
	in.Meta = map[string]string{"eightlet": "x"}
	txt := encode(in, 7)
	assert.Equal(t, "v=1", txt[0], "RFC 6763, 6.7: the version first")
	for _, s := range txt {
		k, _, _ := strings.Cut(s, "=")
		assert.LessOrEqual(t, len(k), 9, s)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	one, two := reachable("orders"), reachable("prices")
	r.ads = map[string]*ad{one.ID: {in: one}, two.ID: {in: two}}
	for _, tc := range []struct {
		name  string
		qtype uint16
		types []uint16 // of the answer
	}{
		{"_meshmq._tcp.local.", dns.TypePTR, []uint16{dns.TypePTR, dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeTXT,
			dns.TypePTR, dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeTXT}},
		{"ORDERS._sub._MeshMQ._tcp.local.", dns.TypePTR, []uint16{dns.TypePTR, dns.TypeSRV, dns.TypeA, dns.TypeAAAA, dns.TypeAAAA, dns.TypeTXT}},
		{one.ID + "._meshmq._tcp.local.", dns.TypeTXT, []uint16{dns.TypeTXT}},
		{one.ID + ".local.", dns.TypeA, []uint16{dns.TypeA}},
		{"_services._dns-sd._udp.local.", dns.TypePTR, []uint16{dns.TypePTR}},
		{"others._sub._meshmq._tcp.local.", dns.TypePTR, nil},
		{"_ipp._tcp.local.", dns.TypePTR, nil},
		{".", dns.TypeANY, nil},
		{"", 0, nil},
	} {
		records := r.records(dns.Question{Name: tc.name, Qtype: tc.qtype, Qclass: dns.ClassINET}, lan)
		var types []uint16
		for _, rr := range records {
			types = append(types, rr.Header().Rrtype)
			assert.EqualValues(t, 15, rr.Header().Ttl, tc.name)
			assert.EqualValues(t, dns.ClassINET, rr.Header().Class, "no cache-flush in an answer to a one-shot query: RFC 6762, 6.7")
		}
		assert.Equal(t, tc.types, types, tc.name)
		if len(records) > 0 && tc.qtype == dns.TypePTR {
			assert.Equal(t, strings.ToLower(tc.name), records[0].Header().Name)
		}
	}
}

func TestWildcardsGetTheAddressesOfTheInterface(t *testing.T) {
	t.Parallel()
	in := reachable("orders")
	in.Endpoints = []string{"tcp://*:1", "tcp://127.0.0.1:2", "ipc://@x"}
	assert.Equal(t, []string{"tcp://10.0.0.7:1", "tcp://[fd00::7]:1"}, at(in, lan).Endpoints)
	assert.Equal(t, []string{"tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://127.0.0.1:2", "ipc://@x"}, at(in, local).Endpoints)
}

func TestReaches(t *testing.T) {
	t.Parallel()
	for ep, want := range map[string]bool{
		"tcp://10.0.0.7:1":           true,
		"tls+tcp://desk.local:1":     true,
		"ws://10.0.0.7:1/a":          true,
		"wss://127.0.0.1:1/10.0.0.7": false,
		"ws:///127.0.0.1:1":          false,
		"tcp://[fe80::1%eth0]:1":     true,
		"tcp://127.0.0.1:1":          false,
		"tcp://127.9.9.9:1":          false,
		"tcp://127.1:1":              false,
		"tcp://2130706433:1":         false,
		"tcp://0x7f000001:1":         false,
		"tcp://[::1]:1":              false,
		"tcp://[::ffff:127.0.0.1]:1": false,
		"tcp://localhost:1":          false,
		"tcp://LocalHost.:1":         false,
		"tcp://224.0.0.1:1":          false,
		"tcp://.:1":                  false,
		"ipc:///run/docker.sock":     false,
		"inproc://x":                 false,
	} {
		assert.Equal(t, want, reaches(ep, lan), ep)
	}
	assert.True(t, reaches("ipc://@x", local))
	assert.True(t, reaches("tcp://127.0.0.1:1", local))
	assert.False(t, reaches("inproc://x", local))
}

// hostile returns a response with these TXT strings for a name.
func hostile(t testing.TB, name string, ttl uint32, txt ...string) []byte {
	m := dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Answer: []dns.RR{&dns.TXT{
		Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: ttl}, Txt: txt}}}
	b, err := m.Pack()
	require.NoError(t, err)
	return b
}

func TestParseHostile(t *testing.T) {
	t.Parallel()
	const name = "x._meshmq._tcp.local."
	good := []string{"v=1", "s=orders", "e0=tcp://10.0.0.9:1"}
	for _, tc := range []struct {
		what string
		name string
		txt  []string
		ok   bool
	}{
		{"as it should be", name, good, true},
		{"case does not matter", "X._MESHMQ._TCP.local.", []string{"V=1", "S=orders", "E0=tcp://10.0.0.9:1"}, true},
		{"unknown and repeated keys", name, append([]string{"", "=", "zz", "v=1", "v=2"}, good...), true},
		{"another type", "x._ipp._tcp.local.", good, false},
		{"two labels", "a.b._meshmq._tcp.local.", good, false},
		{"no label", "_meshmq._tcp.local.", good, false},
		{"bytes in the label", "\\027\\255._meshmq._tcp.local.", good, false},
		{"no version", name, good[1:], false},
		{"another version", name, []string{"v=2", "s=orders", "e0=tcp://10.0.0.9:1"}, false},
		{"no service", name, []string{"v=1", "e0=tcp://10.0.0.9:1"}, false},
		{"no endpoint", name, good[:2], false},
		{"endpoints not from 0", name, []string{"v=1", "s=orders", "e1=tcp://10.0.0.9:1"}, false},
		{"endpoint on my loopback", name, []string{"v=1", "s=orders", "e0=tcp://127.0.0.1:22"}, false},
		{"endpoint that is me", name, []string{"v=1", "s=orders", "e0=tcp://*:22"}, false},
		{"endpoint that is a file", name, []string{"v=1", "s=orders", "e0=ipc:///run/docker.sock"}, false},
		{"name with escape codes", name, append([]string{"n=\\027[2J"}, good...), false},
		{"too large", name, append(good, strings.Split(strings.Repeat(strings.Repeat("y", 250)+" ", 6), " ")...), false},
	} {
		seen, _, err := parse(hostile(t, tc.name, 10, tc.txt...), lan)
		require.NoError(t, err, tc.what)
		assert.Equal(t, tc.ok, len(seen) == 1, tc.what)
	}
	for ttl, want := range map[uint32]time.Duration{0: 0, 1: minTTL, 4500: maxTTL, 1<<32 - 1: maxTTL} {
		seen, _, err := parse(hostile(t, name, ttl, good...), lan)
		require.NoError(t, err)
		assert.Equal(t, want, seen[0].ttl, "a life of %d s", ttl)
	}
}

func TestParseBoundsInstancesOfAPacket(t *testing.T) {
	t.Parallel()
	m := dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Compress: true}
	for range 2 * maxHeard {
		m.Answer = append(m.Answer, &dns.TXT{Hdr: dns.RR_Header{Name: discovery.NewID() + "." + typeName, Rrtype: dns.TypeTXT, Class: dns.ClassINET, Ttl: 9},
			Txt: []string{"v=1", "s=a", "e0=tcp://a:1"}})
	}
	b, err := m.Pack()
	require.NoError(t, err)
	seen, _, err := parse(b, lan)
	require.NoError(t, err)
	assert.Len(t, seen, maxHeard)
}

func TestTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	in := reachable("orders")
	in.Meta = map[string]string{"a": strings.Repeat("x", 128), "b": strings.Repeat("x", 128), "c": strings.Repeat("x", 128)}
	_, err := announcement(in, 7, lan, time.Second)
	require.ErrorContains(t, err, "on interface eth0: want at most 400")
	require.NoError(t, in.Validate(), "other registries can have it")
}

func FuzzParse(f *testing.F) {
	b, err := announcement(reachable("orders"), 7, lan, 15*time.Second)
	require.NoError(f, err)
	f.Add(b)
	f.Add(hostile(f, "x._meshmq._tcp.local.", 1, "v=1", "s=a", "e0=tcp://a:1", "+k=v"))
	q, err := question("orders")
	require.NoError(f, err)
	f.Add(q)
	f.Add([]byte("\x00\x00\x84\x00\x00\x00\xff\xff\xff\xff\xff\xff\xc0\x0c"))
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, s := range []site{lan, local} {
			seen, _, err := parse(packet, s)
			if err != nil {
				continue
			}
			require.LessOrEqual(t, len(seen), maxHeard)
			c := newCache(8, func() float64 { return 0 })
			for _, g := range seen {
				require.NoError(t, g.in.Validate())
				require.True(t, g.ttl == 0 || g.ttl >= minTTL && g.ttl <= maxTTL)
				c.see(g, time.Unix(1, 0))
			}
			c.expire(time.Unix(1000, 0))
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add(`a\b\065`)
	f.Add("\xff\\")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 255 {
			return
		}
		m := dns.Msg{Answer: []dns.RR{&dns.TXT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeTXT, Class: dns.ClassINET}, Txt: []string{escape(s)}}}}
		b, err := m.Pack()
		require.NoError(t, err)
		var back dns.Msg
		require.NoError(t, back.Unpack(b))
		require.Equal(t, s, unescape(back.Answer[0].(*dns.TXT).Txt[0]))
	})
}
