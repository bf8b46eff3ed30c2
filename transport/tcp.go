package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// defaultKeepAlive finds a peer that is gone without a word, for peers that speak no heartbeats: a minute after the
// last byte, instead of the two hours that most systems wait before they ask.
var defaultKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}

// keepAlive returns the two fields of net.Dialer and net.ListenConfig: the first one, negative, turns it off.
func (c *Config) keepAlive() (time.Duration, net.KeepAliveConfig) {
	if c.KeepAlive == nil {
		return 0, defaultKeepAlive
	}
	if !c.KeepAlive.Enable {
		return -1, net.KeepAliveConfig{}
	}
	return 0, *c.KeepAlive
}

var errNoInterface = errors.New("no such interface")

// listenTCP also listens for the transports on top of TCP, whose connections are what wrap makes of them.
func (c *Config) listenTCP(ctx context.Context, e Endpoint, wrap func(net.Conn) net.Conn) (Listener, error) {
	network, address, err := listenAddress(e.addr)
	if err != nil {
		return nil, err
	}
	ln, err := c.listen(ctx, network, address)
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return nil, fmt.Errorf("%q is no interface of this host and does not resolve: %w", e.addr.host, dns)
	}
	if err != nil {
		return nil, err
	}
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	bound := Endpoint{scheme: e.scheme, addr: hostPort{host: at.Addr().Unmap().String(), port: at.Port()}, name: e.name}
	if e.addr.host == "*" {
		bound.addr.host = netip.IPv4Unspecified().String()
	}
	return &netListener{ln: ln, endpoint: bound.String(), wrap: wrap, close: sync.OnceValue(ln.Close)}, nil
}

// listenAddress turns a into what package net listens on. A name that is no interface is left for it to resolve.
func listenAddress(a hostPort) (network, address string, err error) {
	if a.host == "*" {
		return "tcp", ":" + strconv.Itoa(int(a.port)), nil
	}
	ip, err := localAddr(a.host)
	switch {
	case errors.Is(err, errNoInterface):
		return "tcp", a.String(), nil
	case err != nil:
		return "", "", err
	case ip.Is4():
		network = "tcp4" // as plain tcp, 0.0.0.0 would bind IPv6 too
	default:
		network = "tcp"
	}
	return network, netip.AddrPortFrom(ip, a.port).String(), nil
}

// dialTCP leaves the choice among the host's addresses to net.Dialer: RFC 6555, happy eyeballs.
func (c *Config) dialTCP(ctx context.Context, e Endpoint) (net.Conn, error) {
	var local net.Addr
	switch e.source.host {
	case "":
	case "*":
		local = &net.TCPAddr{Port: int(e.source.port)}
	default:
		ip, err := localAddr(e.source.host)
		if err != nil {
			return nil, fmt.Errorf("source %q: %w", e.source.host, err)
		}
		local = net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, e.source.port))
	}
	return c.dialVia(ctx, local, e.addr.String())
}

// localAddr returns the address that host is: a literal as it stands, of an interface the first IPv4
// address, or else the first IPv6 one. The error is errNoInterface if host is neither.
func localAddr(host string) (netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip, nil
	}
	ifi, err := net.InterfaceByName(host)
	if err != nil {
		return netip.Addr{}, errNoInterface
	}
	addrs, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of interface %q: %w", host, err)
	}
	return firstAddr(ifi.Name, addrs)
}

func firstAddr(ifname string, addrs []net.Addr) (first netip.Addr, err error) {
	for _, addr := range addrs {
		ipnet, ok := addr.(*net.IPNet)
		if !ok {
			continue
		}
		ip, _ := netip.AddrFromSlice(ipnet.IP)
		if ip = ip.Unmap(); ip.Is4() {
			return ip, nil
		}
		if !first.IsValid() {
			first = ip
		}
	}
	if !first.IsValid() {
		return first, fmt.Errorf("interface %q has no IP address", ifname)
	}
	if first.IsLinkLocalUnicast() {
		first = first.WithZone(ifname) // means nothing without its interface
	}
	return first, nil
}
