package servertest

import (
	"bytes"
	"net"
	"sync"

	"github.com/nats-io/nats.go"
)

// step is a moment on the way of a message, as it can be told on the way between a spool and its servers, or by the receiver of the message.
type step struct {
	name  string
	at    moment
	words func(spool string) string // what is written or read then
}

type moment uint8

const (
	beforeWrite moment = iota // what is written does not get out
	afterWrite                // it does, and no answer comes in
	afterRead                 // the answer is there, and is not heard
	handling                  // the receiver has the message
)

// steps are those of row 46 of the fault plan, in the order of a message's way.
var steps = []step{
	{"before publish", beforeWrite, func(s string) string { return "HPUB meshmq.spool." + s + "." }},
	{"between publish and PubAck", afterWrite, func(s string) string { return "HPUB meshmq.spool." + s + "." }},
	{"between PubAck and the spool's own", afterRead, func(s string) string { return `{"stream":"` + s + `"` }},
	{"while consuming", afterWrite, func(s string) string { return "PUB $JS.API.DIRECT.GET." + s + " " }},
	{"between delivery and acknowledgement", handling, func(string) string { return "" }},
	{"before the acknowledgement is stored", beforeWrite, func(s string) string { return "HPUB meshmq.state." + s + ".at." }},
	{"between that and its PubAck", afterWrite, func(s string) string { return "HPUB meshmq.state." + s + ".at." }},
}

// failpoint is a partition that shuts by itself at a step.
type failpoint struct {
	*partition
	mu      sync.Mutex // guards the fields below
	at      moment
	words   []byte
	reached chan struct{} // nil while nothing is waited for
}

func newFailpoint() *failpoint { return &failpoint{partition: newPartition()} }

// arm returns a channel that is closed when the step is reached, and the partition shut. Everything waits then until it is opened.
func (f *failpoint) arm(at moment, words string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.words, f.reached = at, []byte(words), make(chan struct{})
	return f.reached
}

// hit shuts the partition if b is what is waited for, and returns the channel to close.
func (f *failpoint) hit(at moment, b []byte) chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	reached := f.reached
	if reached == nil || f.at != at || !bytes.Contains(b, f.words) {
		return nil
	}
	f.reached = nil
	f.shut()
	return reached
}

// stop waits at the step, if this is it, until the partition is open.
func (f *failpoint) stop(at moment, b []byte) {
	if reached := f.hit(at, b); reached != nil {
		close(reached)
	}
	f.pass()
}

// Dial implements nats.CustomDialer.
func (f *failpoint) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address)
	return watched{conn, f}, err
}

// through has a connection go through f.
func through(f *failpoint) nats.Option { return nats.SetCustomDialer(f) }

type watched struct {
	net.Conn
	f *failpoint
}

func (c watched) Write(b []byte) (int, error) {
	c.f.stop(beforeWrite, b)
	reached := c.f.hit(afterWrite, b)
	n, err := c.Conn.Write(b)
	if reached != nil {
		close(reached)
	}
	return n, err
}

func (c watched) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.f.stop(afterRead, b[:n])
	return n, err
}
