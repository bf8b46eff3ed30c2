package dns

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meshmq/meshmq/discovery"
)

const (
	maxInstances = 1024
	maxAliases   = 8
	maxName      = 63  // of an Instance
	maxEndpoint  = 128 // likewise
)

// lookup returns the instances of a service by their IDs, and how long that may be believed. An error says that no server has an answer, not even that there are none.
func (r *Registry) lookup(ctx context.Context, service, name string) (map[string]discovery.Instance, time.Duration, error) {
	types := []uint16{dns.TypeSRV}
	if r.port != 0 {
		types = []uint16{dns.TypeA, dns.TypeAAAA}
	}
	var all []dns.RR
	life := r.longest
	for _, t := range types {
		records, ttl, err := r.follow(ctx, name, t)
		if err != nil {
			return nil, 0, err
		}
		all, life = append(all, records...), min(life, ttl)
	}
	found, out := r.instances(service, all)
	if out != nil {
		r.report(fmt.Errorf("watch %s: %w", name, out))
	}
	return found, life, nil
}

// follow asks for the records of a name, and of its aliases where an answer does not have what these are for.
func (r *Registry) follow(ctx context.Context, name string, t uint16) (records []dns.RR, ttl time.Duration, err error) {
	ttl = r.longest
	for range maxAliases {
		answer, err := r.ask(ctx, name, t)
		if err != nil {
			return nil, 0, err
		}
		records, life, alias := read(answer, name, t)
		ttl = min(ttl, life)
		if alias == "" {
			return records, ttl, nil
		}
		name = alias
	}
	return nil, 0, fmt.Errorf("%s: more than %d aliases", name, maxAliases)
}

// ask asks one server after the other, until one has an answer.
func (r *Registry) ask(ctx context.Context, name string, t uint16) (*dns.Msg, error) {
	var errs []error
	for _, server := range r.servers {
		question := new(dns.Msg).SetQuestion(name, t)
		question.SetEdns0(maxPacket, false)
		answer, err := r.exchange(ctx, server, question)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("server %s: %w", server, err))
		case answer.Rcode == dns.RcodeSuccess && refers(answer):
			errs = append(errs, fmt.Errorf("server %s: does not know itself, and names others: want one that asks them (a resolver)", server))
		case answer.Rcode == dns.RcodeSuccess, answer.Rcode == dns.RcodeNameError:
			return answer, nil
		default:
			errs = append(errs, fmt.Errorf("server %s: %s", server, dns.RcodeToString[answer.Rcode]))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// refers reports whether an answer has nothing but the names of servers to ask, which says nothing about what is there.
func refers(answer *dns.Msg) bool {
	return len(answer.Answer) == 0 && len(answer.Ns) > 0 && !slices.ContainsFunc(answer.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype != dns.TypeNS })
}

// read returns the records of a type that an answer has for a name, by way of its aliases, and how long they live: the shortest of them, or
// what the zone says of what is not there. If it has an alias, and not what that is for, the alias is to be asked for.
func read(answer *dns.Msg, name string, t uint16) (records []dns.RR, ttl time.Duration, alias string) {
	life := uint32(1<<32 - 1)
	for range maxAliases {
		next := ""
		for _, rr := range answer.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || !strings.EqualFold(h.Name, name) {
				continue
			}
			if to, ok := rr.(*dns.CNAME); ok && t != dns.TypeCNAME {
				next, life = to.Target, min(life, h.Ttl)
			} else if h.Rrtype == t {
				records, life = append(records, rr), min(life, h.Ttl)
			}
		}
		if next == "" || len(records) > 0 {
			break
		}
		name, alias = next, next
	}
	if len(records) > 0 {
		return records, time.Duration(life) * time.Second, ""
	}
	for _, rr := range answer.Ns {
		if soa, ok := rr.(*dns.SOA); ok { // RFC 2308, 5: there is none, under the last name either
			return nil, time.Duration(min(life, soa.Hdr.Ttl, soa.Minttl)) * time.Second, ""
		}
	}
	if alias != "" && answer.Rcode == dns.RcodeSuccess {
		return nil, time.Duration(life) * time.Second, alias
	}
	return nil, min(time.Duration(life)*time.Second, negative), ""
}

// instances are those that records tell of, as far as they are valid; where there are too many, those of the first priorities. The error is about those left out.
func (r *Registry) instances(service string, records []dns.RR) (all map[string]discovery.Instance, out error) {
	slices.SortFunc(records, compare)
	all = make(map[string]discovery.Instance)
	for _, rr := range records {
		host, port, meta := r.place(rr)
		in := discovery.Instance{
			ID: idOf(service, host, port), Service: service, Name: host[:min(len(host), maxName)], Meta: meta,
			Endpoints: []string{r.scheme + "://" + net.JoinHostPort(host, strconv.Itoa(port))},
		}
		_, twice := all[in.ID]
		switch err := in.Validate(); {
		case twice || host == "":
		case len(all) == maxInstances:
			return all, fmt.Errorf("more than %d records, of which the first are taken", maxInstances)
		case err != nil || !one(host):
			out = fmt.Errorf("a record is left out, %q: want a target that can be connected to, in %d bytes with scheme and port", rr, maxEndpoint)
		default:
			all[in.ID] = in
		}
	}
	return all, out
}

// place is where a record says that an instance is. RFC 2782: a target of "." says that there is none, for which the empty host stands.
func (r *Registry) place(rr dns.RR) (host string, port int, meta map[string]string) {
	switch rr := rr.(type) {
	case *dns.SRV:
		return strings.ToLower(strings.TrimSuffix(rr.Target, ".")), int(rr.Port),
			map[string]string{"priority": strconv.Itoa(int(rr.Priority)), "weight": strconv.Itoa(int(rr.Weight))}
	case *dns.A:
		return rr.A.String(), r.port, nil
	case *dns.AAAA:
		return rr.AAAA.String(), r.port, nil
	}
	return "", 0, nil
}

// one reports whether a host is one that can be connected to, and not all.
func one(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host != "*" && (err != nil || !addr.IsUnspecified())
}

// compare orders SRV records by what their zone prefers, and everything by how it is written.
func compare(a, b dns.RR) int {
	if x, ok := a.(*dns.SRV); ok {
		if y, ok := b.(*dns.SRV); ok {
			if c := cmp.Or(cmp.Compare(x.Priority, y.Priority), cmp.Compare(y.Weight, x.Weight)); c != 0 {
				return c
			}
		}
	}
	return cmp.Compare(a.String(), b.String())
}

// idOf makes an ID of what tells one instance from another, the same for everybody and always.
func idOf(service, host string, port int) string {
	sum := sha256.Sum256([]byte(service + "\x00" + host + "\x00" + strconv.Itoa(port)))
	return hex.EncodeToString(sum[:8])
}
