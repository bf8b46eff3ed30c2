package socket_test

import (
	"cmp"
	"crypto/tls"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// The attacks are numbered; attack_table_test.go has the list. Each plays raw bytes against a running socket of each type that it fits, and finds the
// same in the end: good peers are served meanwhile as fast as ever, the refusal is counted and reported, and memory and goroutines are what they
// were. To measure these, the tests are not run in parallel with others.

// rawTypes says for each socket type as what its raw peers come. STREAM is left out: it speaks no ZMTP, and every octet is data to it.
var rawTypes = map[string]string{
	"PUSH": "PULL", "PULL": "PUSH", "REQ": "REP", "REP": "REQ", "DEALER": "ROUTER", "ROUTER": "DEALER", "PUB": "SUB", "SUB": "PUB", "XPUB": "XSUB",
	"XSUB": "XPUB", "PAIR": "PAIR", "CLIENT": "SERVER", "SERVER": "CLIENT", "RADIO": "DISH", "DISH": "RADIO", "SCATTER": "GATHER", "GATHER": "SCATTER",
	"PEER": "PEER", "CHANNEL": "CHANNEL",
}

func maker[S anySocket](of func(...socket.Option) S) func(...socket.Option) anySocket {
	return func(opts ...socket.Option) anySocket { return of(opts...) }
}

// makers are the types that speak ZMTP.
var makers = map[string]func(...socket.Option) anySocket{
	"PUSH": maker(socket.NewPush), "PULL": maker(socket.NewPull), "REQ": maker(socket.NewReq), "REP": maker(socket.NewRep), "DEALER": maker(socket.NewDealer),
	"ROUTER": maker(socket.NewRouter), "PUB": maker(socket.NewPub), "SUB": maker(socket.NewSub), "XPUB": maker(socket.NewXPub), "XSUB": maker(socket.NewXSub),
	"PAIR": maker(socket.NewPair), "CLIENT": maker(socket.NewClient), "SERVER": maker(socket.NewServer), "RADIO": maker(socket.NewRadio),
	"DISH": maker(socket.NewDish), "SCATTER": maker(socket.NewScatter), "GATHER": maker(socket.NewGather), "PEER": maker(socket.NewP2P),
	"CHANNEL": maker(socket.NewChannel),
}

// types are socket types; nil is all of them.
type types []string

var (
	publishers = types{"PUB", "XPUB"}
	identified = types{"REP", "DEALER", "ROUTER"} // whose peers announce an identity
	receivers  = types{"PULL", "REP", "DEALER", "ROUTER", "SUB", "XSUB", "SERVER", "DISH", "GATHER", "PEER", "CLIENT", "REQ"}
	mute       = types{"PUSH", "PUB", "RADIO", "SCATTER"} // they receive nothing
)

// siege is a socket of each of some types, bound, and what was usual before.
type siege struct {
	t       *testing.T
	victims []*besieged
	usual   time.Duration // what it takes a good peer to be served
}

// besieged is one of them.
type besieged struct {
	t      *testing.T
	typ    string
	peer   string // the type of its raw peers
	bound  string
	usual  time.Duration
	socket anySocket

	mu      sync.Mutex // guards the fields below
	refused map[socket.Refusal]uint64
	last    error // of the last refusal
	open    []*sockettest.RawPeer
}

// exclusive reports whether a peer that is connected keeps others out.
func (b *besieged) exclusive() bool { return b.typ == "PAIR" || b.typ == "CHANNEL" }

// besiege binds a socket of each of the types, of all with nil.
func besiege(t *testing.T, some types, opts ...socket.Option) *siege {
	t.Helper()
	g := &siege{t: t}
	for _, typ := range slices.Sorted(maps.Keys(makers)) {
		if some != nil && !slices.Contains(some, typ) {
			continue
		}
		b := &besieged{t: t, typ: typ, peer: rawTypes[typ], refused: map[socket.Refusal]uint64{}}
		b.socket = makers[typ](append(slices.Clone(opts), socket.WithEventHandler(b.note), socket.WithLinger(0))...)
		b.bound = bind(t, b.socket, map[bool]string{false: "tcp", true: "tls+tcp"}[comesThrough != nil]+"://127.0.0.1:0")
		t.Cleanup(func() { b.socket.Close() })
		g.victims = append(g.victims, b)
	}
	var took []time.Duration
	for range 3 {
		for _, b := range g.victims {
			b.settled(func() bool { return len(b.socket.Stats().Peers) == 0 })
			b.settled(func() bool { // at last: on a busy machine it may miss a limit that is short for the attack's sake
				d, err := b.serve()
				took = append(took, d)
				return err == nil
			})
		}
	}
	slices.Sort(took)
	g.usual = took[len(took)/2]
	for _, b := range g.victims {
		b.usual = g.usual
	}
	return g
}

// assault besieges sockets and plays an attack on them twice: once for what everything costs the first time, and once to see that memory and goroutines
// are the same afterwards. What a busy machine has piled up meanwhile, the runtime keeps for the next time: then, and only then, there is a next
// time, at most three of them; what leaks grows at each.
func assault(t *testing.T, some types, attack func(g *siege), opts ...socket.Option) {
	t.Helper()
	g := besiege(t, some, opts...)
	attack(g)
	heap, goroutines := g.settle(func(uint64, int) bool { return true })
	for again := 3; ; again-- {
		attack(g)
		most := heap + heap/20 + runtimeNoise
		after, left := g.settle(func(h uint64, n int) bool { return h <= most && n <= goroutines })
		if again == 0 || after <= most && left <= goroutines {
			assert.LessOrEqual(t, after, most, "heap")
			assert.LessOrEqual(t, left, goroutines, "goroutines")
			return
		}
		heap, goroutines = after, left
	}
}

// runtimeNoise is what the runtime itself may take more, beside the 5 %: the whole process has little more than half a megabyte. It is less than what
// forty peers hold.
const runtimeNoise = 128 << 10

func (b *besieged) note(e socket.Event) {
	if e.Refusal == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused[e.Refusal]++
	b.last = e.Err
	if strings.ContainsAny(e.String(), "\x00\x1b\r\n") {
		b.t.Errorf("%s: the event shows control characters of the peer: %q", b.typ, e.String())
	}
}

// dial opens a connection that is closed when the attack is over. A PAIR has let go of the last peer by then.
func (b *besieged) dial() *sockettest.RawPeer {
	b.t.Helper()
	if b.exclusive() {
		b.settled(func() bool { return len(b.socket.Stats().Peers) == 0 })
	}
	p := sockettest.DialRaw(forgetful{b.t}, b.bound)
	b.mu.Lock()
	b.open = append(b.open, p)
	b.mu.Unlock()
	return p
}

// enter is dial with the handshake done.
func (b *besieged) enter(properties ...sockettest.Property) *sockettest.RawPeer {
	b.t.Helper()
	p := b.dial()
	p.Handshake(b.peer, 1, properties...)
	return p
}

func (b *besieged) release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.open {
		p.Close()
	}
	b.open = nil
}

// serve comes as a good peer, and returns what it took to shake hands and have a PING answered.
func (b *besieged) serve() (took time.Duration, err error) {
	start := time.Now()
	conn, err := net.Dial("tcp", b.bound[strings.LastIndexByte(b.bound, '/')+1:])
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if comesThrough != nil {
		conn = tls.Client(conn, comesThrough)
	}
	_ = conn.SetDeadline(start.Add(sockettest.Timeout))
	if comesWith != "" {
		err = shakeHands(conn, b.peer)
		return time.Since(start), err
	}
	if _, err = conn.Write([]byte(hello("NULL") + ready(b.peer) + "\x04\x08\x04PING\x00\x00x")); err != nil {
		return 0, err
	}
	// What comes is a greeting, READY, perhaps other commands, PONG.
	var got []byte
	buf := make([]byte, 4096)
	for !strings.Contains(string(got), "\x04\x06\x04PONGx") {
		n, err := conn.Read(buf)
		if err != nil {
			return 0, err
		}
		got = append(got, buf[:n]...)
	}
	return time.Since(start), nil
}

// serves requires that a good peer is served within 100 ms more than a few times what is usual. The best of all that come until one is counts: the machine may have
// other things to do, and an attack that delays them delays each.
func (b *besieged) serves() {
	b.t.Helper()
	bound := 100*time.Millisecond + 10*b.usual
	best := time.Duration(1 << 62)
	end := time.Now().Add(sockettest.Timeout)
	var err error
	for best > bound && time.Now().Before(end) {
		var took time.Duration
		if took, err = b.serve(); err == nil { // a PAIR may not have let go of the last peer yet
			best = min(best, took)
		}
	}
	require.LessOrEqual(b.t, best, bound, "%s: a good peer is not served (%v)", b.typ, err)
}

func (b *besieged) reports(r socket.Refusal) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refused[r]
}

// each plays an attack on one of the sockets after the other, which refuse the attacker at least as often as said, for that reason; with zero not at all.
func (g *siege) each(want socket.Refusal, times int, play func(b *besieged)) {
	g.t.Helper()
	for _, b := range g.victims {
		verify := b.expect(want, times)
		play(b)
		b.outlives()
		verify()
	}
}

// atOnce is each for attacks that take their time: it begins one on all the sockets, and then waits as begin says that it is over.
func (g *siege) atOnce(want socket.Refusal, times int, begin func(b *besieged) (wait func())) {
	g.t.Helper()
	var verify, wait []func()
	for _, b := range g.victims {
		verify = append(verify, b.expect(want, times))
		wait = append(wait, begin(b))
	}
	for _, b := range g.victims {
		if !b.exclusive() {
			b.serves()
		}
	}
	for i, b := range g.victims {
		wait[i]()
		b.outlives()
		verify[i]()
	}
}

// outlives requires that good peers are served with the attackers there, and without them.
func (b *besieged) outlives() {
	b.t.Helper()
	if !b.exclusive() {
		b.serves()
	}
	b.release()
	b.serves()
}

// expect returns what requires that peers were refused from now on: at least so many for a reason, or with zero none for any.
func (b *besieged) expect(want socket.Refusal, times int) (verify func()) {
	before, reported := b.socket.Stats().Refused, b.reports(want)
	if want != 0 {
		return func() {
			b.t.Helper()
			require.Eventually(b.t, func() bool {
				return b.socket.Stats().Refused[want] >= before[want]+uint64(times) && b.reports(want) >= reported+uint64(times)
			}, sockettest.Timeout, time.Millisecond, "%s: want %d refused for %q, have %v", b.typ, times, want, b.socket.Stats().Refused)
		}
	}
	return func() {
		b.t.Helper()
		now := b.socket.Stats().Refused
		delete(before, socket.RefusedPeers) // the good peers came to a PAIR before it had let go of the last one
		delete(now, socket.RefusedPeers)
		b.mu.Lock()
		last := b.last
		b.mu.Unlock()
		require.Equal(b.t, before, now, "%s: %v", b.typ, last)
	}
}

// forgetful is a test that does not remember what to clean up: it would keep what the attack leaves.
type forgetful struct{ *testing.T }

func (forgetful) Cleanup(func()) {}

// settle waits until what there is satisfies good, and returns it.
func (g *siege) settle(good func(heap uint64, goroutines int) bool) (heap uint64, goroutines int) {
	for _, b := range g.victims {
		require.Eventually(g.t, func() bool { return len(b.socket.Stats().Peers) == 0 }, sockettest.Timeout, time.Millisecond, b.typ)
	}
	var m runtime.MemStats
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(sockettest.Timeout / 6); ; <-tick.C {
		runtime.GC()
		runtime.GC() // the first only empties pools halfway
		runtime.ReadMemStats(&m)
		heap, goroutines = m.HeapAlloc, runtime.NumGoroutine()
		if good(heap, goroutines) || time.Now().After(end) {
			return heap, goroutines
		}
	}
}

// settled waits for a condition.
func (b *besieged) settled(condition func() bool) {
	b.t.Helper()
	require.Eventually(b.t, condition, sockettest.Timeout, time.Millisecond, b.typ)
}

// hello is a greeting of ZMTP 3.1.
func hello(mechanism string) string {
	return "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x7f\x03\x01" + mechanism + strings.Repeat("\x00", 52-len(mechanism))
}

// aFrame is a frame, in the long form if need be.
func aFrame(flags byte, body string) string {
	if len(body) > 255 {
		h := longHeader(uint64(len(body)))
		h[0] |= flags
		return string(h) + body
	}
	return string([]byte{flags, byte(len(body))}) + body
}

func command(name, data string) string {
	return aFrame(sockettest.Command, string([]byte{byte(len(name))})+name+data)
}

func property(name, value string) string {
	n := len(value)
	return string([]byte{byte(len(name))}) + name + string([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}) + value
}

func ready(socketType string, more ...string) string {
	return command("READY", property("Socket-Type", socketType)+strings.Join(more, ""))
}

// tell writes what may not be read to its end, and waits for the connection to end.
func tell(p *sockettest.RawPeer, what string) {
	_, _ = p.Conn().Write([]byte(what))
	p.ExpectClosed()
}

// openFiles is how many files the process has open, -1 where the system does not tell.
func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	return cmp.Or(len(files), map[bool]int{true: -1}[err != nil])
}
