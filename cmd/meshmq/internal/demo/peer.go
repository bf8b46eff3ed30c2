package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/dir"
	"github.com/meshmq/meshmq/discovery/mdns"
	"github.com/meshmq/meshmq/socket"
)

// loopback is the endpoint every peer binds: the demo keeps to this machine.
const loopback = "tcp://127.0.0.1:0"

// PeerConfig says which peer a process is.
type PeerConfig struct {
	Role     string // desk, worker, price, auditor, packer, shipper, carrier
	Name     string
	Run      string // names the services of this run
	Registry string // mdns:INTERFACE or dir:PATH
	Spool    string // the shipper's folder
	Stop     uint64 // which parcel a shipper that is to be killed then stops with, 0 for none
	In       io.Reader
	Out      io.Writer
}

// peer is one process of the business.
type peer struct {
	PeerConfig
	services
	node *discovery.Node
	out  *json.Encoder
	rep  report
	told chan string // commands; closed when the parent is gone
}

// Peer runs one process of the business until it is told to leave or its input ends.
func Peer(ctx context.Context, cfg PeerConfig) error {
	reg, err := openRegistry(cfg.Registry)
	if err != nil {
		return err
	}
	defer reg.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := &peer{
		PeerConfig: cfg, services: servicesOf(cfg.Run), node: discovery.NewNode(reg, cfg.Name),
		out: json.NewEncoder(cfg.Out), rep: report{Name: cfg.Name}, told: make(chan string, 1),
	}
	defer p.node.Close()
	go p.listen(cancel) // ends with the input, at the latest with the process
	role := map[string]func(context.Context) error{
		"desk": p.desk, "worker": p.worker, "price": p.price, "auditor": p.auditor,
		"packer": p.packer, "shipper": p.shipper, "carrier": p.carrier,
	}[cfg.Role]
	if role == nil {
		return fmt.Errorf("unknown role %q: want desk, worker, price, auditor, packer, shipper or carrier", cfg.Role)
	}
	if err := role(ctx); err != nil {
		p.rep.Error = err.Error()
	}
	return p.out.Encode(p.rep)
}

var errOrphan = errors.New("the demo is gone")

func (p *peer) listen(cancel context.CancelCauseFunc) {
	lines := bufio.NewScanner(p.In)
	for lines.Scan() {
		p.told <- lines.Text()
	}
	cancel(errOrphan)
}

// await blocks until the parent says word.
func (p *peer) await(ctx context.Context, word string) error {
	select {
	case said := <-p.told:
		if said != word {
			return fmt.Errorf("told %q, want %q", said, word)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *peer) ready() error { return p.out.Encode(report{Name: p.Name, Ready: true}) }

// half tells the parent that it is its turn.
func (p *peer) half() error {
	return p.out.Encode(report{Name: p.Name, Half: true, Received: p.rep.Received})
}

type closingRegistry interface {
	discovery.Registry
	Close() error
}

// CheckRegistry returns what is wrong with the text that chooses a registry.
func CheckRegistry(spec string) error {
	kind, where, _ := strings.Cut(spec, ":")
	if kind != "mdns" && kind != "dir" || where == "" {
		return fmt.Errorf("unknown registry %q: want mdns:INTERFACE or dir:PATH", spec)
	}
	return nil
}

func openRegistry(spec string) (closingRegistry, error) {
	kind, where, _ := strings.Cut(spec, ":")
	switch kind {
	case "mdns":
		return mdns.New(mdns.WithInterfaces(where))
	case "dir":
		return dir.New(where)
	}
	return nil, CheckRegistry(spec)
}

// leave blocks until everyone connected to a socket has hung up, or the limit has passed. The announcement is withdrawn first, which makes
// those who follow it hand over what they had queued and disconnect.
func leave(ctx context.Context, withdraw func(), sock interface {
	Events(context.Context) iter.Seq[socket.Event]
	Stats() socket.Stats
}) {
	ctx, cancel := context.WithTimeout(ctx, leaveLimit)
	defer cancel()
	events := sock.Events(ctx)
	withdraw()
	if connected(sock.Stats()) == 0 {
		return
	}
	for e := range events {
		if e.Kind == socket.Disconnected && connected(sock.Stats()) == 0 {
			return
		}
	}
}

func connected(s socket.Stats) (n int) {
	for _, p := range s.Peers {
		if p.Connected {
			n++
		}
	}
	return n
}
