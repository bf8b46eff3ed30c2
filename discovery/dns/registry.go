package dns

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/meshmq/meshmq/discovery"
)

const (
	defaultShortest = 5 * time.Second  // a zone with a shorter time to live wants to be found out about soon, not to be asked all the time
	defaultLongest  = time.Minute      // a zone with a longer one says how long a cache may keep it, not that nothing changes
	defaultPatience = 5 * time.Minute  // of an outage of all servers
	negative        = 30 * time.Second // for an absence that has no time to live
	firstRetry      = time.Second      // after no server has answered; doubled each time, up to the longest period
)

// ErrReadOnly is what Announce returns, by errors.Is: records are made by who runs the zone. The error says what they would be.
var ErrReadOnly = errors.New("DNS records are made by who runs the zone")

// Option changes a Registry.
type Option func(*Registry) error

// WithServers names the servers to ask, in this order: IP addresses, with a port if it is not 53. Default: those that are in /etc/resolv.conf when New is called.
func WithServers(servers ...string) Option {
	return func(r *Registry) error {
		r.servers = nil
		for _, s := range servers {
			host, port, err := net.SplitHostPort(s)
			if err != nil {
				host, port = s, "53"
			}
			if _, err := netip.ParseAddr(host); err != nil {
				return fmt.Errorf("server %q: want an IP address, or IP:PORT", s)
			}
			r.servers = append(r.servers, net.JoinHostPort(host, port))
		}
		return nil
	}
}

// WithScheme sets what endpoints begin with: tcp, tls+tcp, ws or wss. Default: tcp.
func WithScheme(scheme string) Option {
	return func(r *Registry) error {
		if _, _, _, ok := discovery.SplitEndpoint(scheme + "://host:1"); !ok {
			return fmt.Errorf("scheme %q: want one with a host and a port: tcp, tls+tcp, ws or wss", scheme)
		}
		r.scheme = scheme
		return nil
	}
}

// WithPort has a service's instances be the addresses (A and AAAA) of SERVICE.DOMAIN, at this port, and not what SRV records say.
func WithPort(port int) Option {
	return func(r *Registry) error {
		if port < 1 || port > 65535 {
			return fmt.Errorf("port %d: want 1 to 65535", port)
		}
		r.port = port
		return nil
	}
}

// WithPeriod sets how soon and how late records are asked for again, whatever their time to live. Default: 5 s and 1 m; the least is 1 s.
func WithPeriod(shortest, longest time.Duration) Option {
	return func(r *Registry) error {
		if shortest < time.Second || longest < shortest {
			return fmt.Errorf("period of %v to %v: want the first to be 1s at least, and no longer than the second", shortest, longest)
		}
		r.shortest, r.longest = shortest, longest
		return nil
	}
}

// WithPatience sets how long instances stay known while no server answers. Default: 5 m; 0 is for ever.
func WithPatience(d time.Duration) Option {
	return func(r *Registry) error {
		if d < 0 {
			return fmt.Errorf("patience %v: want no less than zero", d)
		}
		r.patience = d
		return nil
	}
}

// WithTCP asks by TCP alone. It is for servers that cut an answer by UDP short without saying so, as Consul's do where a service has many instances.
func WithTCP() Option {
	return func(r *Registry) error {
		r.exchange = byTCP
		return nil
	}
}

// WithOnError is told each time that no server has answered a Watch, or an answer has records that are left out, on the goroutine of that Watch. Default: nobody is.
func WithOnError(report func(error)) Option {
	return func(r *Registry) error {
		r.report = report
		return nil
	}
}

// Registry is a discovery.Registry on DNS. Make one with New. It holds nothing open, and need not be closed.
type Registry struct {
	domain            string // with a dot at its end
	servers           []string
	scheme            string
	port              int // of addresses; 0: SRV records
	shortest, longest time.Duration
	patience          time.Duration
	report            func(error)
	exchange          func(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error)
}

var _ discovery.Registry = (*Registry)(nil)

// New returns a registry of the services below a domain, such as shop.example.com. or shop.svc.cluster.local; it is taken as it is, without the search list of
// resolv.conf. It fails for what is no domain, and where no server is known.
func New(domain string, opts ...Option) (*Registry, error) {
	r := &Registry{
		domain: dns.Fqdn(domain), scheme: "tcp", shortest: defaultShortest, longest: defaultLongest, patience: defaultPatience,
		report: func(error) {}, exchange: exchange,
	}
	if _, ok := dns.IsDomainName(domain); !ok || r.domain == "." || strings.ContainsAny(domain, ` \/:`) {
		return nil, fmt.Errorf("dns registry: domain %q: want one such as shop.example.com", domain)
	}
	for _, opt := range opts {
		if err := opt(r); err != nil {
			return nil, fmt.Errorf("dns registry %s: %w", domain, err)
		}
	}
	if r.servers == nil {
		system, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("dns registry %s: %w: WithServers names servers", domain, err)
		}
		for _, s := range system.Servers {
			r.servers = append(r.servers, net.JoinHostPort(s, system.Port))
		}
	}
	if len(r.servers) == 0 {
		return nil, fmt.Errorf("dns registry %s: there is no server to ask: WithServers names some", domain)
	}
	return r, nil
}

// Announce returns an error that is ErrReadOnly, and says which records would announce in.
func (r *Registry) Announce(_ context.Context, in discovery.Instance) (withdraw func(), err error) {
	if err := in.Validate(); err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	name, err := r.nameOf(in.Service)
	if err != nil {
		return nil, fmt.Errorf("announce: %w", err)
	}
	var lines []string
	for _, ep := range in.Endpoints {
		_, host, port, ok := discovery.SplitEndpoint(ep)
		switch {
		case !ok:
		case r.port != 0 && port != r.port:
			return nil, fmt.Errorf("announce %s: %w, and addresses have no port: want %d (WithPort), not that of %s", in.Service, ErrReadOnly, r.port, ep)
		default:
			lines = append(lines, r.line(name, host, port))
		}
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("announce %s: %w, and none of its endpoints has a host and a port: %s", in.Service, ErrReadOnly, strings.Join(in.Endpoints, ", "))
	}
	return nil, fmt.Errorf("announce %s: %w: have it hold %q", in.Service, ErrReadOnly, lines)
}

// line is that of a zone file. ADDRESS and HOST stand for what the endpoint does not tell: an SRV record has a name, the others one address.
func (r *Registry) line(name, host string, port int) string {
	addr, err := netip.ParseAddr(host)
	switch {
	case r.port != 0 && (err != nil || addr.IsUnspecified()):
		return name + " 30 IN A ADDRESS"
	case r.port != 0 && addr.Is6():
		return name + " 30 IN AAAA " + host
	case r.port != 0:
		return name + " 30 IN A " + host
	case err == nil || !one(host) || host == "":
		host = "HOST." + r.domain
	}
	return fmt.Sprintf("%s 30 IN SRV 0 0 %d %s", name, port, dns.Fqdn(host))
}

// nameOf returns what is asked about for a service.
func (r *Registry) nameOf(service string) (string, error) {
	if err := discovery.CheckName(service); err != nil {
		return "", err
	}
	name := service + "." + r.domain
	if r.port == 0 {
		name = "_" + service + "._tcp." + r.domain
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return "", fmt.Errorf("service %s: %q is too long for a name in DNS, or a part of it", service, name)
	}
	return name, nil
}

// Watch asks for the records of service, and again when they may have changed. See discovery.Registry. DNS has no list of services: an empty service is an error.
func (r *Registry) Watch(ctx context.Context, service string) iter.Seq2[discovery.Event, error] {
	return func(yield func(discovery.Event, error) bool) {
		if service == "" {
			yield(discovery.Event{}, errors.New("watch: DNS has no list of services: name one"))
			return
		}
		name, err := r.nameOf(service)
		if err != nil {
			yield(discovery.Event{}, fmt.Errorf("watch: %w", err))
			return
		}
		r.watch(ctx, service, name, func(e discovery.Event) bool { return ctx.Err() == nil && yield(e, nil) })
	}
}

// watch asks until ctx ends or yield wants no more.
func (r *Registry) watch(ctx context.Context, service, name string, yield func(discovery.Event) bool) {
	known := map[string]discovery.Instance{}
	answered, retry := time.Now(), firstRetry
	for ctx.Err() == nil {
		now, ttl, err := r.lookup(ctx, service, name)
		expired := false
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			answered, retry = time.Now(), firstRetry
			ttl = min(max(ttl, r.shortest), r.longest)
		default:
			r.report(fmt.Errorf("watch %s: %w", name, err))
			ttl, retry = retry, min(2*retry, r.longest)
			if now = known; r.patience > 0 && time.Since(answered) >= r.patience {
				now, expired = nil, true
			}
		}
		for _, e := range discovery.Diff(known, now) {
			e.Expired = expired
			if !yield(e) {
				return
			}
		}
		known = now
		select {
		case <-ctx.Done():
		case <-time.After(ttl + rand.N(ttl/10+1)): // those who asked together need not ask together again
		}
	}
}
