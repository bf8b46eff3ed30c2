package socket_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
)

// front is where a socket of a soak is reached: by whom, and what hostile peers do there.
type front struct {
	bound   string
	peer    string          // DEALER or SUB
	good    []socket.Option // of good peers
	many    int             // of them
	hostile []hostility
}

// hostility is what a hostile peer does on its connection, which stays as it leaves it until others come.
type hostility func(conn net.Conn, peer string, r *rand.Rand)

// saying are hostile peers that say a text.
func saying(texts []func(peer string, r *rand.Rand) string) (all []hostility) {
	for _, text := range texts {
		all = append(all, func(conn net.Conn, peer string, r *rand.Rand) {
			_ = conn.SetWriteDeadline(time.Now().Add(5 * time.Millisecond)) // it may be refused in the middle, or not be read
			_, _ = conn.Write([]byte(text(peer, r)))
		})
	}
	return all
}

// hostilities are what hostile peers of a type say, by random.
var hostilities = []func(peer string, r *rand.Rand) string{
	func(string, *rand.Rand) string { return "" },
	func(string, *rand.Rand) string { return "GET / HTTP/1.1\r\n\r\n" },
	func(_ string, r *rand.Rand) string { return noisy(r, 64) },
	func(string, *rand.Rand) string { return "\xff\x00\x00" },
	func(string, *rand.Rand) string { return hello("CURVE") },
	func(string, *rand.Rand) string { return hello("NULL") },
	func(string, *rand.Rand) string { return hello("NULL") + ready("PUSH") },
	func(_ string, r *rand.Rand) string { return hello("NULL") + command("READY", noisy(r, 100)) },
	func(peer string, _ *rand.Rand) string { return hello("NULL") + ready(peer) + ready(peer) },
	func(peer string, _ *rand.Rand) string {
		return hello("NULL") + ready(peer, property("Identity", strings.Repeat("i", 256)))
	},
	func(peer string, r *rand.Rand) string { return hello("NULL") + ready(peer) + noisy(r, 300) },
	func(peer string, _ *rand.Rand) string { return hello("NULL") + ready(peer) + string(longHeader(1<<62)) },
	func(peer string, _ *rand.Rand) string {
		return hello("NULL") + ready(peer) + string(longHeader(60<<20)) + strings.Repeat("x", 100<<10)
	},
	func(peer string, _ *rand.Rand) string {
		return hello("NULL") + ready(peer) + strings.Repeat("\x01\x01x", 3000)
	},
	func(peer string, _ *rand.Rand) string {
		return hello("NULL") + ready(peer) + strings.Repeat(command("PING", "\x00\x00x"), 20_000)
	},
	func(peer string, r *rand.Rand) string {
		var all strings.Builder
		for range 1000 {
			all.WriteString(command("SUBSCRIBE", noisy(r, 20)) + command("CANCEL", noisy(r, 20)))
		}
		return hello("NULL") + ready(peer) + all.String()
	},
	func(peer string, _ *rand.Rand) string {
		return hello("NULL") + ready(peer) + command("SUBSCRIBE", "") // and reads nothing of all it gets
	},
	func(peer string, r *rand.Rand) string {
		return hello("NULL") + ready(peer) + strings.Repeat(aFrame(1, "")+aFrame(0, noisy(r, 100)), 500)
	},
}

func noisy(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// soak is good and hostile peers on a ROUTER and a PUB.
type soak struct {
	t       *testing.T
	router  *socket.Router
	pub     *socket.Pub
	fronts  []front
	worst   atomic.Int64  // the latest that a good message was, in nanoseconds
	replies atomic.Uint64 // good ones that came
	heard   atomic.Uint64 // of the messages published, by all good subscribers
}

func (s *soak) took(d time.Duration) {
	for old := s.worst.Load(); int64(d) > old && !s.worst.CompareAndSwap(old, int64(d)); old = s.worst.Load() {
	}
}

// echo sends every message back to who sent it. Who does not read gets none.
func (s *soak) echo(ctx context.Context) {
	for m := range s.router.Messages(ctx) {
		_ = s.router.Send(try(), m.Frames...)
	}
}

// ask sends numbers and wants each back.
func (s *soak) ask(ctx context.Context, f front) {
	d := socket.NewDealer(f.good...)
	defer d.Close()
	assert.NoError(s.t, d.Connect(f.bound))
	for n := uint64(0); ctx.Err() == nil; n++ {
		start := time.Now()
		wait, cancel := context.WithTimeout(context.Background(), sockettest.Timeout)
		err := d.Send(wait, binary.BigEndian.AppendUint64(nil, n))
		var m socket.Msg
		if err == nil {
			m, err = d.Recv(wait)
		}
		cancel()
		if !assert.NoError(s.t, err) || !assert.Equal(s.t, n, binary.BigEndian.Uint64(m.Bytes())) {
			return
		}
		if n > 0 { // the first waits for the connection
			s.took(time.Since(start))
		}
		s.replies.Add(1)
	}
}

// publish sends a number and the time every millisecond.
func (s *soak) publish(ctx context.Context) (sent uint64) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			body := binary.BigEndian.AppendUint64([]byte("good"), sent)
			assert.NoError(s.t, s.pub.Send(try(), binary.BigEndian.AppendUint64(body, uint64(time.Now().UnixNano()))))
			sent++
		case <-ctx.Done():
			return sent
		}
	}
}

// listen wants each number once, in order, to the last.
func (s *soak) listen(sub *socket.Sub, total func() uint64) {
	for n := uint64(0); n < total(); {
		wait, cancel := context.WithTimeout(context.Background(), time.Second)
		m, err := sub.Recv(wait)
		cancel()
		if err != nil {
			assert.Equal(s.t, total(), n, "messages are missing at the end")
			return
		}
		body := m.Bytes()[len("good"):]
		if !assert.Equal(s.t, n, binary.BigEndian.Uint64(body), "a message is missing") {
			return
		}
		s.took(time.Duration(time.Now().UnixNano() - int64(binary.BigEndian.Uint64(body[8:]))))
		s.heard.Add(1)
		n++
	}
}

// attack has a hostile peer come to each front every 10 ms. They stay until others come in their place.
func (s *soak) attack(ctx context.Context) (attacks int) {
	r := rand.New(rand.NewPCG(1, 2))
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var open []net.Conn
	defer func() {
		for _, conn := range open {
			conn.Close()
		}
	}()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return attacks
		}
		for _, f := range s.fronts {
			_, address, _ := strings.Cut(f.bound, "://")
			conn, err := net.Dial("tcp", strings.TrimSuffix(address, "/"))
			if !assert.NoError(s.t, err) {
				return attacks
			}
			f.hostile[r.IntN(len(f.hostile))](conn, f.peer, r)
			attacks++
			if open = append(open, conn); len(open) > 60 {
				if r.IntN(2) == 0 {
					_ = open[0].(*net.TCPConn).SetLinger(0)
				}
				open[0].Close()
				open = open[1:]
			}
		}
	}
}

// usage is what the process takes.
type usage struct {
	rss, heap  uint64
	goroutines int
	files      int
}

func usageNow() usage {
	heap := held()
	debug.FreeOSMemory() // else what is resident is what was once
	return usage{resident(), heap, runtime.NumGoroutine(), openFiles()}
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MiB resident, %.1f MiB heap, %d goroutines, %d files", float64(u.rss)/(1<<20), float64(u.heap)/(1<<20), u.goroutines, u.files)
}

// resident is how much memory of the process is in use, 0 where the system does not tell.
func resident() uint64 {
	text, _ := os.ReadFile("/proc/self/statm")
	var size, pages uint64
	_, _ = fmt.Sscan(string(text), &size, &pages)
	return pages * uint64(os.Getpagesize())
}

// TestSoakHostile runs for five seconds, or for as long as SOAK says (make soak-hostile).
func TestSoakHostile(t *testing.T) {
	s := &soak{t: t, router: socket.NewRouter(), pub: socket.NewPub()}
	closing(t, s.router, s.pub)
	s.fronts = []front{
		{bind(t, s.router, "tcp://127.0.0.1:0"), "DEALER", nil, 4, saying(hostilities)},
		{bind(t, s.pub, "tcp://127.0.0.1:0"), "SUB", nil, 4, saying(hostilities)},
	}
	s.run(5 * time.Second)
}

// enter has good peers come.
func (s *soak) enter(ctx context.Context, good *sync.WaitGroup, total func() uint64) (subscribers uint64) {
	for _, f := range s.fronts {
		for range f.many {
			if f.peer == "DEALER" {
				good.Go(func() { s.ask(ctx, f) })
				continue
			}
			sub := socket.NewSub(append([]socket.Option{socket.WithRecvHWM(0)}, f.good...)...)
			closing(s.t, sub)
			require.NoError(s.t, sub.Subscribe("good"))
			require.NoError(s.t, sub.Connect(f.bound))
			require.NoError(s.t, sub.WaitSubscribed(limit(s.t), 1))
			good.Go(func() { s.listen(sub, total) })
			subscribers++
		}
	}
	return subscribers
}

// run has good peers at work and hostile ones come for so long, or for as long as SOAK says, and requires that the good ones lose nothing and that nothing grows.
func (s *soak) run(length time.Duration) {
	t := s.t
	asked, err := time.ParseDuration(os.Getenv("SOAK"))
	long := err == nil
	if long {
		length = asked
	}
	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	service, end := context.WithCancel(t.Context())
	defer end()

	var good, echo sync.WaitGroup
	echo.Go(func() { s.echo(service) })
	var sent atomic.Uint64
	sent.Store(1 << 63)
	peers := s.enter(ctx, &good, sent.Load)
	good.Go(func() { sent.Store(s.publish(ctx)) })
	before := usageNow()
	samples := make(chan usage, 2)
	for _, at := range []time.Duration{length / 4, length * 9 / 10} {
		sample := time.AfterFunc(at, func() { samples <- usageNow() })
		defer sample.Stop()
	}
	attacks := s.attack(ctx)
	good.Wait()
	end()
	echo.Wait()

	require.NotZero(t, s.replies.Load())
	assert.Equal(t, peers*sent.Load(), s.heard.Load(), "published messages that were heard")
	worst := time.Duration(s.worst.Load())
	published := peers * sent.Load()
	t.Logf("%s, %d attacks; refused by the ROUTER %v, by the PUB %v", length, attacks, s.router.Stats().Refused, s.pub.Stats().Refused)
	t.Logf("good messages: %d asked and answered, %d published, %d lost, the latest after %s", s.replies.Load(), published, published-s.heard.Load(), worst)
	quarter, late := <-samples, <-samples
	t.Logf("at first:        %s", before)
	t.Logf("after a quarter: %s", quarter)
	t.Logf("near the end:    %s", late)
	assert.LessOrEqual(t, late.goroutines, quarter.goroutines+100)
	assert.LessOrEqual(t, late.files, quarter.files+100)
	if long {
		assert.LessOrEqual(t, worst, 250*time.Millisecond)
		assert.LessOrEqual(t, late.heap, quarter.heap+4<<20, "the heap grows") // what sixty hostile peers hold at a moment varies
		assert.LessOrEqual(t, late.rss, quarter.rss+quarter.rss/4, "memory grows")
	}
	var after usage
	require.Eventually(t, func() bool {
		after = usageNow()
		return after.goroutines <= before.goroutines && after.files <= before.files && after.heap <= before.heap+1<<20
	}, sockettest.Timeout, 10*time.Millisecond, "what hostile peers took is given back")
	t.Logf("when all are gone: %s", after)
}
