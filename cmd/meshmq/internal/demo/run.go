package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/meshmq/meshmq/discovery/mdns"
)

// limit ends a demo that hangs. An undisturbed one takes about 6 s, one on a machine that is busy with much else several times that.
const limit = time.Minute

var (
	// ErrCheck: the numbers do not add up.
	ErrCheck = errors.New("the numbers do not add up")
	// ErrLate: the demo was not done in time and was ended.
	ErrLate = fmt.Errorf("not done after %s", limit)
)

// Config says where a demo runs.
type Config struct {
	Self     string // this program, started again for each peer
	Registry string // mdns:INTERFACE or dir:PATH; empty to choose
	Stdout   io.Writer
	Stderr   io.Writer
}

// director runs the business.
type director struct {
	Config
	run      string
	home     string // a folder of its own
	registry string
	children []*child
	readers  sync.WaitGroup
}

// Run runs the business once and prints the tables. It returns ErrCheck when they do not add up. No process and no file is left when it returns.
func Run(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, ErrLate)
	defer cancel()
	home, err := os.MkdirTemp("", "meshmq-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the spool: %w", err)
	}
	defer os.RemoveAll(home)
	d := &director{Config: cfg, run: strconv.Itoa(os.Getpid()), home: home, registry: cfg.Registry}
	if d.registry == "" {
		d.chooseRegistry(ctx)
	}
	books, err := d.direct(ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err) // a process that was killed at the end is how it shows, not why
	}
	cancel() // whoever is left is killed
	for _, c := range d.children {
		if c.cmd.ProcessState == nil {
			_ = c.end() // its end is our doing
		}
	}
	d.readers.Wait()
	if err != nil {
		return err
	}
	return books.print(cfg.Stdout)
}

// chooseRegistry takes mDNS on the loopback interface where it works, else a directory.
func (d *director) chooseRegistry(ctx context.Context) {
	name, err := loopbackInterface()
	if err == nil {
		err = mdns.Probe(ctx, name)
	}
	if err == nil {
		d.registry = "mdns:" + name
		d.say("peers find each other by mDNS on %s", name)
		return
	}
	d.registry = "dir:" + filepath.Join(d.home, "registry")
	d.say("multicast is not possible here (%v): peers find each other by the directory registry", err)
}

func loopbackInterface() (string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 && i.Flags&net.FlagUp != 0 {
			return i.Name, nil
		}
	}
	return "", errors.New("no loopback interface is up")
}

func (d *director) say(format string, args ...any) {
	fmt.Fprintf(d.Stderr, format+"\n", args...)
}

// direct plays the whole piece.
func (d *director) direct(ctx context.Context) (*books, error) {
	cast := []struct {
		role, name string
		flags      []string
	}{
		{"packer", "packing desk", nil}, {"carrier", "carrier", nil}, {"shipper", "shipper", d.shipperFlags(shipperStop)},
		{"auditor", "auditor", nil}, {"price", "price service", nil}, {"worker", "worker-a", nil}, {"worker", "worker-b", nil}, {"desk", "order desk", nil},
	}
	on := map[string]*child{}
	for _, c := range cast {
		child, err := d.start(ctx, c.role, c.name, c.flags...)
		if err != nil {
			return nil, err
		}
		on[c.name] = child
	}
	for _, c := range cast {
		if _, err := on[c.name].next(ctx); err != nil {
			return nil, err
		}
	}
	d.say("%d processes have found each other; orders flow", len(cast))
	desk := on["order desk"]
	if _, err := desk.next(ctx); err != nil { // half is sent
		return nil, err
	}
	b := &books{}
	d.say("half-way: worker-a leaves while orders flow")
	first, err := on["worker-a"].finish(ctx)
	if err != nil {
		return nil, err
	}
	d.say("worker-a finished what it had (%d orders) and left; another takes its place", first.Received)
	first.Name = "worker-a, until it left"
	if on["worker-a"], err = d.start(ctx, "worker", "worker-a"); err != nil {
		return nil, err
	}
	if _, err := on["worker-a"].next(ctx); err != nil {
		return nil, err
	}
	if err := desk.tell("resume"); err != nil {
		return nil, err
	}
	if b.desk, err = desk.next(ctx); err != nil {
		return nil, err
	}
	if err := d.close(ctx, b, on, first); err != nil {
		return nil, err
	}
	return b, d.ship(ctx, &b.parcels, on)
}

// close has everybody leave, those whom others depend on last, and keeps their reports.
func (d *director) close(ctx context.Context, b *books, on map[string]*child, first report) error {
	b.workers = append(b.workers, first)
	for _, name := range []string{"worker-a", "worker-b"} {
		r, err := on[name].finish(ctx)
		if err != nil {
			return err
		}
		if name == "worker-a" {
			r.Name = "worker-a, its successor"
		}
		b.workers = append(b.workers, r)
	}
	var err, err2 error
	b.price, err = on["price service"].finish(ctx)
	b.auditor, err2 = on["auditor"].finish(ctx)
	return errors.Join(err, err2, on["order desk"].end())
}
