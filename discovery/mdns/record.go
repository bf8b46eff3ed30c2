package mdns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/mdns"
	"github.com/miekg/dns"

	"github.com/meshmq/meshmq/discovery"
)

const (
	dnsType  = "_meshmq._tcp"
	typeName = dnsType + ".local."
	subtype  = "._sub." + typeName // RFC 6763, 7.1: SERVICE._sub._meshmq._tcp.local.

	maxTXT      = 400  // RFC 6763, 6.2: fits the 512 bytes of a plain DNS message
	maxTXTHeard = 1300 // same section: larger is not recommended
	maxHeard    = 64   // instances taken from one packet: more do not fit with 100 bytes each

	cacheFlush = 1 << 15 // RFC 6762, 10.2: of the class of a record
)

// An instance as a TXT record. The ID is the label of the record's name. Keys have at most 9
// characters (RFC 6763, 6.4), values the rules of discovery.Instance.
//
//	v=1                        first; another version is not ours to read
//	s=orders                   service
//	r=1763719864123            revision: of two records of an instance the higher is the later one; 0 or left
//	                           out means that nobody knows
//	n=desk 1                   name, left out if empty
//	e0=tcp://10.0.0.7:5555     endpoints e0 to e15, best first
//	+zone=eu                   meta
func encode(in discovery.Instance, revision uint64) []string {
	txt := []string{"v=1", "s=" + in.Service, "r=" + strconv.FormatUint(revision, 10)}
	if in.Name != "" {
		txt = append(txt, "n="+in.Name)
	}
	for i, ep := range in.Endpoints {
		txt = append(txt, "e"+strconv.Itoa(i)+"="+ep)
	}
	var meta []string
	for k, v := range in.Meta {
		meta = append(meta, "+"+k+"="+v)
	}
	slices.Sort(meta)
	return append(txt, meta...)
}

// decode is the opposite of encode, for text from strangers.
func decode(id string, txt []string) (in discovery.Instance, revision uint64, err error) {
	if size(txt) > maxTXTHeard {
		return in, 0, fmt.Errorf("txt has %d bytes: want at most %d", size(txt), maxTXTHeard)
	}
	values := make(map[string]string, len(txt))
	in.ID = id
	for _, s := range txt {
		k, v, _ := strings.Cut(s, "=")
		k = strings.ToLower(k)
		if _, twice := values[k]; twice {
			continue // RFC 6763, 6.4: the first counts
		}
		values[k] = v
		if key, ok := strings.CutPrefix(k, "+"); ok {
			if in.Meta == nil {
				in.Meta = make(map[string]string)
			}
			in.Meta[key] = v
		}
	}
	if values["v"] != "1" {
		return in, 0, fmt.Errorf("txt version %q: want 1", values["v"])
	}
	in.Service, in.Name = values["s"], values["n"]
	for i := 0; ; i++ {
		ep, ok := values["e"+strconv.Itoa(i)]
		if !ok {
			break
		}
		in.Endpoints = append(in.Endpoints, ep)
	}
	revision, _ = strconv.ParseUint(values["r"], 10, 64) // a wrong one is none
	return in, revision, in.Validate()
}

// size is what the strings take in a record: RFC 1035, 3.3.14, a length byte each.
func size(txt []string) int {
	n := len(txt)
	for _, s := range txt {
		n += len(s)
	}
	return n
}

// site is an interface as records need to know it.
type site struct {
	name     string
	index    int
	loopback bool
	prefixes []netip.Prefix // its addresses
}

// has says whether a is an address of the interface's networks: the neighbours' and its own.
func (s site) has(a netip.Addr) bool {
	return slices.ContainsFunc(s.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}

// usable returns addresses that others can put into an endpoint: two per family keep a record
// small, and a link-local one needs a zone, which is different on each host.
func (s site) usable() []netip.Addr {
	var v4, v6 []netip.Addr
	for _, p := range s.prefixes {
		switch a := p.Addr(); {
		case a.IsLinkLocalUnicast():
		case a.Is4() && len(v4) < 2:
			v4 = append(v4, a)
		case a.Is6() && len(v6) < 2:
			v6 = append(v6, a)
		}
	}
	return append(v4, v6...)
}

// at returns in as others reach it through s: with addresses for wildcards and without endpoints
// that mean something else to them. Through loopback everything of this machine is reached.
func at(in discovery.Instance, s site) discovery.Instance {
	in = in.On(s.usable())
	in.Endpoints = slices.DeleteFunc(in.Endpoints, func(ep string) bool { return !reaches(ep, s) })
	return in
}

// reaches says whether an endpoint makes sense on the other side of s. It guards both ways: a
// stranger must not make us connect to what listens on our own loopback, or to our files.
func reaches(ep string, s site) bool {
	_, host, _, ok := discovery.SplitEndpoint(ep)
	if s.loopback {
		return ok || strings.HasPrefix(ep, "ipc://")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap()
		return ok && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast()
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	top := host[strings.LastIndexByte(host, '.')+1:]
	// A name, then; but 127.1 and 0x7f000001 are addresses to some resolvers.
	return ok && host != "localhost" && top != "" && top[0] >= 'a' && top[0] <= 'z'
}

// service returns the records of in at s, and false if nothing of it can be reached through s.
func service(in discovery.Instance, revision uint64, s site) (*mdns.MDNSService, bool, error) {
	in = at(in, s)
	port := 0
	for _, ep := range in.Endpoints {
		if _, _, p, ok := discovery.SplitEndpoint(ep); ok {
			port = p
			break
		}
	}
	if port == 0 {
		return nil, false, nil
	}
	txt := encode(in, revision)
	if n := size(txt); n > maxTXT {
		return nil, false, fmt.Errorf("its name, endpoints and meta take %d bytes on interface %s: want at most %d", n, s.name, maxTXT)
	}
	for i := range txt {
		txt[i] = escape(txt[i])
	}
	ips := make([]net.IP, len(s.prefixes))
	for i, p := range s.prefixes {
		ips[i] = p.Addr().AsSlice()
	}
	svc, err := mdns.NewMDNSService(in.ID, dnsType, "local.", in.ID+".local.", port, ips, txt)
	return svc, true, err
}

// answer returns the records that answer q about one instance. They come from hashicorp/mdns,
// which knows neither subtypes nor a life other than 120 s.
func answer(svc *mdns.MDNSService, in discovery.Instance, q dns.Question, ttl time.Duration) []dns.RR {
	name := strings.ToLower(q.Name) // RFC 6762, 16: names are compared without case
	q.Name = name
	if name == in.Service+subtype {
		q.Name = typeName
	}
	records := svc.Records(q)
	for _, rr := range records {
		h := rr.Header()
		h.Ttl = uint32(ttl / time.Second)
		if h.Rrtype == dns.TypePTR && h.Name == typeName {
			h.Name = name
		}
	}
	return records
}

// announcement returns the packet that says in is at s, or with a life of 0 that it is no more.
// It is nil if in is not reached through s.
func announcement(in discovery.Instance, revision uint64, s site, ttl time.Duration) ([]byte, error) {
	svc, ok, err := service(in, revision, s)
	if err != nil || !ok {
		return nil, err
	}
	records := answer(svc, in, dns.Question{Name: typeName, Qtype: dns.TypePTR}, ttl)
	records = append(records, &dns.PTR{
		Hdr: dns.RR_Header{Name: in.Service + subtype, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: uint32(ttl / time.Second)},
		Ptr: in.ID + "." + typeName,
	})
	for _, rr := range records {
		if h := rr.Header(); h.Rrtype != dns.TypePTR { // shared by all instances: never flushed
			h.Class |= cacheFlush
		}
	}
	// RFC 6762, 18: ID 0, no question.
	m := dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Compress: true, Answer: records}
	return m.Pack()
}

// question returns the packet that asks for the instances of a service, for all if it is empty.
func question(service string) ([]byte, error) {
	name := typeName
	if service != "" {
		name = service + subtype
	}
	m := dns.Msg{Question: []dns.Question{{Name: name, Qtype: dns.TypePTR, Qclass: dns.ClassINET}}}
	return m.Pack()
}

// sighting is an instance in a packet heard through an interface.
type sighting struct {
	in    discovery.Instance
	ttl   time.Duration // within minTTL and maxTTL, or 0: goodbye
	index int           // of the interface

	revision uint64 // 0 if unknown
}

var errNotResponse = errors.New("not a response")

// parse returns the instances in a packet heard through s, and the addresses it names. What is
// not ours, not valid or not reached through s is skipped; the packet may come from anyone.
func parse(packet []byte, s site) (instances []sighting, addrs []netip.Addr, err error) {
	// Most of what passes by are the questions of others: cheap to tell from the header.
	if len(packet) < 12 || packet[2]&0xf8 != 0x80 || packet[3]&0x0f != 0 {
		return nil, nil, errNotResponse // RFC 6762, 18.3 and 18.11: opcode and rcode are 0
	}
	var m dns.Msg
	if err := m.Unpack(packet); err != nil {
		return nil, nil, err
	}
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		switch rr := rr.(type) {
		case *dns.A:
			if a, ok := netip.AddrFromSlice(rr.A.To4()); ok {
				addrs = append(addrs, a)
			}
		case *dns.AAAA:
			if a, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
				addrs = append(addrs, a)
			}
		case *dns.TXT:
			id, ok := strings.CutSuffix(strings.ToLower(rr.Hdr.Name), "."+typeName)
			if !ok || len(instances) == maxHeard {
				continue
			}
			txt := make([]string, len(rr.Txt))
			for i, s := range rr.Txt {
				txt[i] = unescape(s)
			}
			in, revision, err := decode(id, txt)
			if err != nil {
				continue
			}
			// No address of ours is meant by a wildcard of theirs.
			if in = at(in, site{loopback: s.loopback}); len(in.Endpoints) > 0 {
				instances = append(instances, sighting{in, life(rr.Hdr.Ttl), s.index, revision})
			}
		}
	}
	return instances, addrs, nil
}

func life(seconds uint32) time.Duration {
	if seconds == 0 {
		return 0
	}
	return min(max(time.Duration(seconds)*time.Second, minTTL), maxTTL)
}
