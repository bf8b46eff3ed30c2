package mdns

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// scanPeriod is how soon an interface that comes, goes or gets another address is noticed.
const scanPeriod = 5 * time.Second

// links are the interfaces at work. They follow the interfaces of the host as these change.
type links struct {
	names  []string // empty: all that have multicast
	zone   func(dns.Question, site) []dns.RR
	handle func([]sighting)
	moved  func() // called when a link was opened after the start

	closing chan struct{}
	scanner sync.WaitGroup

	mu   sync.Mutex // guards the field below
	open []*link    // replaced, never changed: a copy of the slice is a snapshot
}

// start opens the links there are now. It fails if there is none, with the reasons.
func (n *links) start() error {
	if err := n.scan(); len(n.list()) == 0 {
		if err == nil {
			err = errors.New("no interface is up and has multicast: name one, like the loopback interface")
		}
		return err
	}
	n.scanner.Go(n.run) // ended by close, which waits for it
	return nil
}

func (n *links) run() {
	tick := time.NewTicker(scanPeriod)
	defer tick.Stop()
	for {
		select {
		case <-n.closing:
			return
		case <-tick.C:
		}
		before := n.list()
		n.scan() // what cannot be opened now is tried again
		if slices.ContainsFunc(n.list(), func(l *link) bool { return !slices.Contains(before, l) }) {
			n.moved()
		}
	}
}

// scan opens and closes links until they match the host's interfaces. Only one goroutine scans.
func (n *links) scan() error {
	ifaces, err := n.eligible()
	errs := []error{err}
	var now []*link
	for _, iface := range ifaces {
		s, err := siteOf(&iface)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		old := slices.IndexFunc(n.open, func(l *link) bool {
			return l.name == s.name && l.index == s.index && slices.Equal(l.prefixes, s.prefixes)
		})
		if old >= 0 {
			now = append(now, n.open[old])
			continue
		}
		l, err := n.openOne(&iface)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		now = append(now, l)
	}
	n.mu.Lock()
	before := n.open
	n.open = now
	n.mu.Unlock()
	for _, l := range before {
		if !slices.Contains(now, l) {
			l.close()
		}
	}
	return errors.Join(errs...)
}

func (n *links) openOne(iface *net.Interface) (*link, error) {
	l, err := openLink(iface)
	if err != nil {
		return nil, err
	}
	if err := l.start(n.zone, n.handle); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// eligible returns the interfaces to use. The error names those that were asked for and do not
// exist.
func (n *links) eligible() ([]net.Interface, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	if len(n.names) == 0 {
		const want = net.FlagUp | net.FlagMulticast
		return slices.DeleteFunc(all, func(i net.Interface) bool {
			return i.Flags&want != want || i.Flags&(net.FlagLoopback|net.FlagPointToPoint) != 0
		}), nil
	}
	var chosen []net.Interface
	var errs []error
	for _, name := range n.names {
		i := slices.IndexFunc(all, func(i net.Interface) bool { return i.Name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("interface %s: there is no such interface", name))
			continue
		}
		chosen = append(chosen, all[i])
	}
	return chosen, errors.Join(errs...)
}

func (n *links) list() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// sites returns the interfaces at work.
func (n *links) sites() []site {
	var sites []site
	for _, l := range n.list() {
		sites = append(sites, l.site)
	}
	return sites
}

// ask sends a question through every link. It fails if none of them could.
func (n *links) ask(packet []byte) error {
	return n.each(func(l *link, g *leg) error { return g.question(packet) })
}

// tell announces through every link the packet made for it; a nil one is left out. It fails if
// none of them could.
func (n *links) tell(packet func(site) []byte) error {
	return n.each(func(l *link, g *leg) error {
		b := packet(l.site)
		if b == nil {
			return nil
		}
		return g.announce(b)
	})
}

func (n *links) each(send func(*link, *leg) error) error {
	var errs []error
	sent := false
	for _, l := range n.list() {
		for _, g := range l.legs {
			if err := send(l, g); err != nil {
				errs = append(errs, fmt.Errorf("interface %s: %w", l.name, err))
			} else {
				sent = true
			}
		}
	}
	switch {
	case sent:
		return nil
	case len(errs) == 0:
		return errors.New("no interface is up")
	}
	return errors.Join(errs...)
}

// close ends all links and waits for their goroutines.
func (n *links) close() {
	close(n.closing)
	n.scanner.Wait()
	for _, l := range n.list() {
		l.close()
	}
}
