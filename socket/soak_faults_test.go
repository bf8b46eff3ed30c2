//go:build linux || darwin

package socket_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// soaked is a sender on a disk that fails and loses power, with a bad network between it and a receiver's process that is killed.
type soaked struct {
	name     string // of the way
	way      way
	window   string // the directory of the receiver's window; "" without one
	endpoint string // the receiver's
	r        *rand.Rand
	o        *oracle
	chaos    *sockettest.Chaos
	disk     *spooltest.Mem
	receiver *child
	handled  <-chan struct{}
	life     uint64
	tally    struct{ faults, losses, kills, cuts int }
}

// TestSoakFaults: row 43 of the fault plan: calls of the disk fail, power is lost, receivers are killed and connections cut, all at random, as a seed has it, which
// is printed and may be given (SEED): PUSH, DEALER, and PUB with a durable name, to receivers with a window and without. A few seconds, or as long as SOAK says (make soak). What was promised is
// handled, with the bytes it was sent with, and in the end nothing is left.
// Again comes nothing that the spool knew to be handled when it was opened, and that may be all that was handled since the disk began to fail; from one life of the sender at most the credit of each
// connection, with a window in all that of each killed receiver; and nothing out of order.
func TestSoakFaults(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		for end, window := range map[string]string{"without a window": "", "with a window": filepath.Join(t.TempDir(), "window")} {
			t.Run(end, func(t *testing.T) {
				t.Parallel()
				soakFaults(t, &soaked{name: name, way: w, window: window})
			})
		}
	})
}

func soakFaults(t *testing.T, s *soaked) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	long := err == nil
	seed := soakSeed()
	t.Logf("seed %d", seed)
	s.endpoint = unused(t)
	s.r = rand.New(rand.NewPCG(seed, uint64(crc32.ChecksumIEEE([]byte(t.Name())))))
	s.o, s.chaos, s.disk = newOracle(t), sockettest.NewChaos(t, s.endpoint), spooltest.NewMem()
	s.startReceiver(t)
	for end := time.Now().Add(length); s.life < 6 || long && time.Now().Before(end); {
		if s.r.IntN(3) == 0 {
			s.killReceiver(t)
		}
		s.live(t, s.r.IntN(2) == 0)
		if s.life%calmEvery == 0 {
			s.calm(t)
			keepLoad()
		}
	}
	s.calm(t)
	require.NoError(t, s.receiver.in.Close())
	<-s.handled
	require.NoError(t, s.receiver.cmd.Wait())
	within := s.chaos.Made() * killCredit
	again := s.o.unknown + within
	if s.window != "" {
		within = s.tally.kills * killCredit
		again = within
	}
	s.o.checkLives(within)
	s.o.check(again)
	t.Logf("%d lives, %+v, %.0f %% of the machine", s.life, s.tally, 100*load())
}

// calmEvery is after how many lives all that was sent is given the time to arrive. Else it becomes more and more, and retention takes what nobody has had.
const calmEvery = 10

// options are those of the log. Retention is for more than is sent from one calm to the next.
func (s *soaked) options() spool.Options {
	o := s.way.options()
	o.Full = spool.Reject
	if o.Kind == spool.Topic {
		o.Retention.Bytes = 4 << 20
	}
	return o
}

// calm is a life without faults, in which all that was promised is settled, and the disk given back: but for two segments, and what retention says.
func (s *soaked) calm(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout)
	defer cancel()
	s.chaos.Next(sockettest.Fate{}, sockettest.Fate{})
	s.chaos.Cut()
	s.life++
	sender, _ := s.open(t, s.disk)
	last := sender.log.Next()
	require.NoError(t, sender.Send(ctx, letter(last, s.life)))
	require.NoError(t, sender.waitSettled(ctx, last))
	require.NoError(t, sender.Shutdown(ctx))
	s.o.hear(line{"settled", []uint64{last}})
	options := s.options()
	log, err := spool.OpenFS(s.disk, options)
	require.NoError(t, err)
	assert.Empty(t, log.Recovery().Damage)
	assert.Equal(t, last, floorOf(log))
	require.Eventually(t, func() bool { return log.Stats().Bytes <= 2*options.SegmentSize+options.Retention.Bytes }, sockettest.Timeout, time.Millisecond)
	require.NoError(t, log.Close())
	report, err := spool.VerifyFS(s.disk)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
}

func (s *soaked) startReceiver(t *testing.T) {
	s.receiver = startChild(t, "receive", s.name, "bind", s.endpoint, "0", s.window)
	s.handled = s.receiver.listen(s.o.hear)
}

func (s *soaked) killReceiver(t *testing.T) {
	s.tally.kills++
	require.NoError(t, s.receiver.cmd.Process.Kill())
	<-s.handled
	require.Error(t, s.receiver.cmd.Wait())
	s.startReceiver(t)
}

// open opens the spool as it is on a disk, unless that fails by a fault.
func (s *soaked) open(t *testing.T, fs spool.FS) (sender spooledSender, ok bool) {
	t.Helper()
	log, err := spool.OpenFS(fs, s.options())
	if fs == spool.FS(s.disk) {
		require.NoError(t, err)
		require.Empty(t, log.Recovery().Damage)
	} else if err != nil { // the fault was then
		return sender, false
	}
	s.o.hear(line{"open", []uint64{floorOf(log), log.Next(), s.life}})
	sender = s.way.on(log, socket.WithProperty(lifeProperty, fmt.Sprint(s.life)), socket.WithLinger(0))
	require.NoError(t, sender.Connect(s.chaos.Endpoint))
	return sender, true
}

// live is a sender's life, from the opening of the spool to the loss of power, or of its process alone. With fault some call of the disk fails in it.
func (s *soaked) live(t *testing.T, fault bool) {
	s.life++
	var at atomic.Int64
	at.Store(math.MaxInt64)
	err := []error{spooltest.ErrInjected, spooltest.ErrNoSpace, syscall.EINTR, spooltest.ErrShort}[s.r.IntN(4)]
	forever := s.r.IntN(2) == 0
	if fault {
		s.tally.faults++
		at.Store(1 + s.r.Int64N(400))
	}
	sender, opened := s.open(t, &spooltest.Faulty{FS: s.disk, Before: func(call int64, _, _ string) error {
		if n := at.Load(); call == n || forever && call > n {
			return err
		}
		return nil
	}})
	if opened {
		if s.r.IntN(2) == 0 {
			s.chaos.Next(sockettest.Fate{}, sockettest.Fate{})
		}
		s.work(t, sender)
	}
	var after *rand.Rand // nil: what the system was given is there
	if s.r.IntN(2) == 0 {
		s.tally.losses++
		after = s.r
	}
	left := s.disk.Crash(after)
	if opened {
		_ = sender.Close() // that its disk has failed, or that messages stay, is what is tried here
	}
	s.disk = left
}

// work sends until it has enough of it, or the disk fails.
func (s *soaked) work(t *testing.T, sender spooledSender) {
	ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout)
	defer cancel()
	for range 5 + s.r.IntN(20) {
		if s.r.IntN(4) == 0 {
			s.tally.cuts++
			s.chaos.Next(randomFate(s.r), randomFate(s.r))
			s.chaos.Cut()
		}
		if s.r.IntN(40) == 0 {
			s.killReceiver(t)
		}
		if s.r.IntN(8) == 0 {
			s.giveTime(sender)
		}
		for range s.r.IntN(30) {
			n := sender.log.Next()
			err := sender.Send(ctx, letter(n, s.life))
			switch {
			case err == nil:
				s.o.hear(line{"receipt", []uint64{n}})
			case !errors.Is(err, socket.ErrFull):
				require.NoError(t, ctx.Err())
				return
			}
		}
	}
}

// giveTime waits until the receiver, which may be about to start, has settled something, or for a moment.
func (s *soaked) giveTime(sender spooledSender) {
	floor := floorOf(sender.log)
	for range s.r.IntN(100) {
		if floorOf(sender.log) > floor {
			return
		}
		<-time.After(time.Millisecond)
	}
}
