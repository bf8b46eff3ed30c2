//go:build linux || darwin

package socket_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
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
	r      *rand.Rand
	o      *oracle
	chaos  *sockettest.Chaos
	disk   *spooltest.Mem
	pull   *child
	handle <-chan struct{}
	life   uint64
	tally  struct{ faults, losses, kills, cuts int }
}

// TestSoakFaults: row 43 of the fault plan: calls of the disk fail, power is lost, receivers are killed and connections cut, all at random, as a seed has it, which
// is printed and may be given (SEED). A few seconds, or as long as SOAK says (make soak). What was promised is handled, with the bytes it was sent with, and in the end nothing is left.
// Again comes nothing that the spool knew to be handled when it was opened, and that may be all that was handled since the disk began to fail; from one life of the sender at most the credit of each
// connection, and nothing out of order.
func TestSoakFaults(t *testing.T) {
	t.Parallel()
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	long := err == nil
	seed := soakSeed()
	t.Logf("seed %d", seed)
	endpoint := unused(t)
	s := &soaked{r: rand.New(rand.NewPCG(seed, 4343)), o: newOracle(t), chaos: sockettest.NewChaos(t, endpoint), disk: spooltest.NewMem()}
	s.startPull(t, endpoint)
	for end := time.Now().Add(length); s.life < 6 || long && time.Now().Before(end); {
		if s.r.IntN(3) == 0 {
			s.tally.kills++
			require.NoError(t, s.pull.cmd.Process.Kill())
			<-s.handle
			require.Error(t, s.pull.cmd.Wait())
			s.startPull(t, endpoint)
		}
		s.live(t, s.r.IntN(2) == 0)
		if s.life%calmEvery == 0 {
			s.calm(t)
		}
	}
	s.calm(t)
	require.NoError(t, s.pull.in.Close())
	<-s.handle
	require.NoError(t, s.pull.cmd.Wait())
	made := s.chaos.Made()
	s.o.check(s.o.unknown + made*killCredit)
	s.o.checkLives(made * killCredit)
	t.Logf("%d lives, %+v", s.life, s.tally)
}

// calmEvery is after how many lives all that was sent is given the time to arrive. Else it becomes more and more.
const calmEvery = 20

// calm is a life without faults, in which all that was promised is settled, and the disk given back.
func (s *soaked) calm(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout)
	defer cancel()
	s.chaos.Next(sockettest.Fate{}, sockettest.Fate{})
	s.chaos.Cut()
	s.life++
	push, log := s.open(t, s.disk)
	require.NoError(t, push.Send(ctx, letter(log.Next(), s.life)))
	require.NoError(t, push.WaitAcked(ctx))
	require.NoError(t, push.Shutdown(ctx))
	log, err := spool.OpenFS(s.disk, smallSpool)
	require.NoError(t, err)
	assert.Empty(t, log.Recovery().Damage)
	assert.Equal(t, log.Next()-1, log.Queue().Floor())
	require.Eventually(t, func() bool { return log.Stats().Bytes <= 2*smallSpool.SegmentSize }, sockettest.Timeout, time.Millisecond)
	require.NoError(t, log.Close())
	report, err := spool.VerifyFS(s.disk)
	require.NoError(t, err)
	assert.Empty(t, report.Damage)
}

func (s *soaked) startPull(t *testing.T, endpoint string) {
	s.pull = startChild(t, "receive", "PUSH", "bind", endpoint, "0")
	s.handle = s.pull.listen(s.o.hear)
}

// open opens the spool as it is on a disk.
func (s *soaked) open(t *testing.T, fs spool.FS) (*socket.Push, *spool.Log) {
	t.Helper()
	options := smallSpool
	options.Full = spool.Reject
	log, err := spool.OpenFS(fs, options)
	if fs != spool.FS(s.disk) && err != nil { // the fault was then
		return nil, nil
	}
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	s.o.hear(line{"open", []uint64{log.Queue().Floor(), log.Next(), s.life}})
	push := socket.NewPush(socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithAck(), socket.WithProperty(lifeProperty, fmt.Sprint(s.life)), socket.WithAttempts(0), swiftRetry(), swift(), socket.WithLinger(0))
	require.NoError(t, push.Connect(s.chaos.Endpoint))
	return push, log
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
	push, log := s.open(t, &spooltest.Faulty{FS: s.disk, Before: func(call int64, _, _ string) error {
		if n := at.Load(); call == n || forever && call > n {
			return err
		}
		return nil
	}})
	if push != nil {
		if s.r.IntN(2) == 0 {
			s.chaos.Next(sockettest.Fate{}, sockettest.Fate{})
		}
		s.work(t, push, log)
	}
	var after *rand.Rand // nil: what the system was given is there
	if s.r.IntN(2) == 0 {
		s.tally.losses++
		after = s.r
	}
	left := s.disk.Crash(after)
	if push != nil {
		_ = push.Close() // that its disk has failed, or that messages stay, is what is tried here
	}
	s.disk = left
}

// work sends until it has enough of it, or the disk fails.
func (s *soaked) work(t *testing.T, push *socket.Push, log *spool.Log) {
	ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout)
	defer cancel()
	for range 5 + s.r.IntN(20) {
		if s.r.IntN(4) == 0 {
			s.tally.cuts++
			s.chaos.Next(randomFate(s.r), randomFate(s.r))
			s.chaos.Cut()
		}
		for range s.r.IntN(30) {
			n := log.Next()
			err := push.Send(ctx, letter(n, s.life))
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
