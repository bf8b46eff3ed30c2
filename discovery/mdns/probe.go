package mdns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/miekg/dns"

	"github.com/meshmq/meshmq/discovery"
)

const (
	probeTime  = 800 * time.Millisecond
	probeEvery = 100 * time.Millisecond // sent again: a packet may be lost
)

// Probe says whether multicast works on an interface: it sends to the group and hears itself. It
// takes less than a second, and milliseconds if all is well. The error names the interface and
// the cause.
func Probe(ctx context.Context, iface string) error {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return fmt.Errorf("probe interface %s: %w", iface, err)
	}
	l, err := openLink(i)
	if err != nil {
		return fmt.Errorf("probe %w", err)
	}
	defer l.close()
	var errs []error
	for _, g := range l.legs { // one family is enough
		err := l.probe(ctx, g, probeTime/time.Duration(len(l.legs)))
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("probe interface %s: %w", iface, errors.Join(errs...))
}

// probe sends a question nobody can answer until it comes back.
func (l *link) probe(ctx context.Context, g *leg, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// The name is not compressed in a packet with one question: it can be found as it is.
	nonce := discovery.NewID()
	m := dns.Msg{Question: []dns.Question{{Name: nonce + "." + typeName, Qtype: dns.TypeTXT, Qclass: dns.ClassINET}}}
	packet, err := m.Pack()
	if err != nil {
		return err
	}
	buf := make([]byte, maxPacket)
	for ctx.Err() == nil {
		if err := g.announce(packet); err != nil {
			return fmt.Errorf("send to %s: %w", g.group, err)
		}
		g.hear.SetReadDeadline(time.Now().Add(probeEvery))
		for {
			n, index, _, err := g.receive(buf)
			if err != nil {
				break // the deadline: send again
			}
			if (index == 0 || index == l.index) && bytes.Contains(buf[:n], []byte(nonce)) {
				return nil
			}
		}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("what is sent to %s does not come back: is it filtered?", g.group)
	}
	return ctx.Err()
}
