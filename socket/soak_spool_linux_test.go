package socket_test

import (
	"context"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
)

// footprint is what a process and its logs take.
type footprint struct {
	resident, disk int64
	files          int
}

func footprintOf(t *testing.T, disk int64) footprint {
	debug.FreeOSMemory()
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	status, err := os.ReadFile("/proc/self/statm")
	require.NoError(t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	require.NoError(t, err)
	return footprint{resident: pages * int64(os.Getpagesize()), disk: disk, files: len(files)}
}

// flat watches that a process takes no more than it did in the rounds from warm, when all buffers have their size, to twice that, but for what happens to be going on in those soaks that run beside.
type flat struct {
	warm        uint64
	first, last footprint
	above       int // rounds in a row in which memory was more than that
}

// look is called after each round.
func (f *flat) look(t *testing.T, round uint64, disk int64) {
	t.Helper()
	if round < f.warm {
		return
	}
	now := footprintOf(t, disk)
	if f.last = now; round < 2*f.warm {
		f.first = footprint{max(f.first.resident, now.resident), max(f.first.disk, now.disk), max(f.first.files, now.files)}
		return
	}
	require.LessOrEqual(t, now.disk, f.first.disk+1<<20, "disk")
	require.LessOrEqual(t, now.files, f.first.files+64, "open files") // those of processes that are started among them
	if f.above++; now.resident <= f.first.resident+64<<20 {
		f.above = 0
	}
	require.Less(t, f.above, 20, "memory: %d bytes after %d", now.resident, f.first.resident) // that of those beside, whose disks are in memory, comes and goes
}

// TestSoakSpool: row 43 of the fault plan, for as long as SOAK says (make soak). Messages go through a spool while the network does what it likes,
// as a seed has it, which is printed and may be given (SEED). Nothing is lost, and memory, files and disk are as after the first rounds: those of the process, in which
// other soaks run beside it.
func TestSoakSpool(t *testing.T) {
	t.Parallel()
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("runs as make soak")
	}
	seed := soakSeed()
	t.Logf("seed %d", seed)
	r, l := rand.New(rand.NewPCG(seed, 43)), newSpoolLink(t, ways["PUSH"])
	use, messages, rounds := flat{warm: 10}, 0, uint64(0)
	for end := time.Now().Add(length); rounds < 3*use.warm || time.Now().Before(end); rounds++ {
		l.soakRound(t, r, &messages)
		keepLoad()
		disk := l.sender.Stats().Spool.Bytes
		require.LessOrEqual(t, disk, 3*smallSpool.SegmentSize, "disk: the two segments of an empty spool, and one that is about to go")
		use.look(t, rounds, disk)
	}
	t.Logf("%d rounds, %d messages, %+v", rounds, messages, use)
	l.end(t, messages)
}

// soakRound sends messages while connections get fates, and waits until all are acknowledged and the disk is given back.
func (l *spoolLink) soakRound(t *testing.T, r *rand.Rand, messages *int) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*sockettest.Timeout) // limit(t) would be kept until the test ends
	defer cancel()
	for range 1 + r.IntN(5) {
		l.chaos.Next(randomFate(r), randomFate(r))
		l.chaos.Cut()
		for range r.IntN(300) {
			*messages++
			_, err := l.sender.Enqueue(ctx, letter(uint64(*messages), 0))
			require.NoError(t, err)
		}
		if r.IntN(10) == 0 {
			<-time.After(time.Duration(r.IntN(3000)) * time.Millisecond) // an outage
		}
	}
	l.chaos.Next(sockettest.Fate{}, sockettest.Fate{})
	l.chaos.Cut()
	require.NoError(t, l.sender.WaitAcked(ctx))
	l.settled(t, uint64(*messages))
	assert.Eventually(t, func() bool { return l.sender.Stats().Spool.Bytes <= 2*smallSpool.SegmentSize }, sockettest.Timeout, time.Millisecond)
}
