package mdns

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/mdns"
	"github.com/miekg/dns"
)

const (
	// maxAddrs bounds the address records of an answer: more than an interface usually has.
	maxAddrs = 16
	// Answers a second, after a burst: a stranger must not make us a source of floods. 256
	// watchers ask at once; later each asks once per 12 s.
	answerBurst, answerRate = 256, 256
	// readPause keeps a socket that only fails from taking a processor.
	readPause = 50 * time.Millisecond
)

// link is an interface at work: its legs and the server that answers questions.
type link struct {
	site
	legs    []*leg
	server  *mdns.Server
	closing chan struct{}
	readers sync.WaitGroup
}

// openLink opens what works of both families on iface; the error says why neither does.
func openLink(iface *net.Interface) (*link, error) {
	s, err := siteOf(iface)
	if err != nil {
		return nil, err
	}
	l := &link{site: s, closing: make(chan struct{})}
	var errs []error
	for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
		// IPv6 addresses of a link's own scope come first: they are there before any other.
		i := slices.IndexFunc(s.prefixes, func(p netip.Prefix) bool { return is(p.Addr()) && p.Addr().IsLinkLocalUnicast() })
		if i < 0 {
			i = slices.IndexFunc(s.prefixes, func(p netip.Prefix) bool { return is(p.Addr()) })
		}
		if i < 0 {
			continue
		}
		leg, err := openLeg(iface, s.prefixes[i].Addr())
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l.legs = append(l.legs, leg)
	}
	switch {
	case len(l.legs) > 0:
		return l, nil
	case len(errs) == 0:
		return nil, fmt.Errorf("interface %s: it has no address", iface.Name)
	}
	return nil, fmt.Errorf("interface %s: %w", iface.Name, errors.Join(errs...))
}

func siteOf(iface *net.Interface) (site, error) {
	s := site{name: iface.Name, index: iface.Index, loopback: iface.Flags&net.FlagLoopback != 0}
	if iface.Flags&net.FlagUp == 0 {
		return s, fmt.Errorf("interface %s: it is down", iface.Name)
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return s, fmt.Errorf("interface %s: %w", iface.Name, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && len(s.prefixes) < maxAddrs {
			s.prefixes = append(s.prefixes, p)
		}
	}
	return s, nil
}

// start answers questions from zone and hands what is heard to handle until close.
func (l *link) start(zone func(dns.Question, site) []dns.RR, handle func([]sighting)) error {
	iface, err := net.InterfaceByIndex(l.index)
	if err != nil {
		return fmt.Errorf("interface %s: %w", l.name, err)
	}
	l.server, err = mdns.NewServer(&mdns.Config{
		Zone:   &answers{site: l.site, records: zone},
		Iface:  iface,
		Logger: log.New(io.Discard, "", 0), // it logs every malformed packet of a stranger
	})
	if err != nil {
		return fmt.Errorf("interface %s: answer questions: %w", l.name, err)
	}
	for _, g := range l.legs { // ended by close, which waits for them
		l.readers.Go(func() { l.read(g.receive, l.takeHeard(handle)) })
		l.readers.Go(func() { l.read(g.answers, l.takeAnswer(handle)) })
	}
	return nil
}

// read hands packets of neighbours to take until the link is closed.
func (l *link) read(receive func([]byte) (int, int, netip.Addr, error), take func([]byte, netip.Addr)) {
	buf := make([]byte, maxPacket)
	for {
		n, index, from, err := receive(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			select {
			case <-l.closing:
				return
			case <-time.After(readPause):
			}
		case (index == 0 || index == l.index) && l.has(from): // RFC 6762, 11: neighbours only
			take(buf[:n], from)
		}
	}
}

func (l *link) takeHeard(handle func([]sighting)) func([]byte, netip.Addr) {
	return func(b []byte, _ netip.Addr) {
		if seen, _, err := parse(b, l.site); err == nil && len(seen) > 0 {
			handle(seen)
		}
	}
}

// takeAnswer takes answers from a server on the interface they came by. Each server of
// hashicorp/mdns answers what any interface of its host hears, but names the addresses of its own
// interface only, which may be beyond reach from here.
func (l *link) takeAnswer(handle func([]sighting)) func([]byte, netip.Addr) {
	return func(b []byte, from netip.Addr) {
		if seen, addrs, err := parse(b, l.site); err == nil && len(seen) > 0 && slices.Contains(addrs, from) {
			handle(seen)
		}
	}
}

// close ends the readers and waits for them. Those of the server end soon after; it has no way
// to wait for that.
func (l *link) close() {
	close(l.closing)
	if l.server != nil {
		l.server.Shutdown() // always nil
	}
	for _, g := range l.legs {
		g.close()
	}
	l.readers.Wait()
}

// answers is the mdns.Zone of a link.
type answers struct {
	site    site
	records func(dns.Question, site) []dns.RR

	mu    sync.Mutex // guards the field below: a server has a goroutine per family
	given bucket
}

// Records returns what is announced and answers q.
func (a *answers) Records(q dns.Question) []dns.RR {
	a.mu.Lock()
	ok := a.given.take(time.Now(), answerBurst, answerRate)
	a.mu.Unlock()
	if !ok {
		return nil
	}
	return a.records(q, a.site)
}
