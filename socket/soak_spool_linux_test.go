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

// requireFlat: a process takes no more than it did before, but for what happens to be going on in those soaks that run beside.
func requireFlat(t *testing.T, before, now footprint) {
	t.Helper()
	require.LessOrEqual(t, now.disk, before.disk+1<<20, "disk")
	require.LessOrEqual(t, now.files, before.files+64, "open files") // those of processes that are started among them
	require.LessOrEqual(t, now.resident, before.resident+64<<20, "memory")
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
	const warm = 20 // rounds after which all buffers have their size
	var before footprint
	messages, rounds := 0, 0
	for end := time.Now().Add(length); rounds < 2*warm || time.Now().Before(end); rounds++ {
		l.soakRound(t, r, &messages)
		now := footprintOf(t, l.sender.Stats().Spool.Bytes)
		if rounds == warm {
			before = now
		}
		if rounds > warm {
			require.LessOrEqual(t, now.disk, 3*smallSpool.SegmentSize, "disk: the two segments of an empty spool, and one that is about to go")
			requireFlat(t, before, now)
		}
	}
	t.Logf("%d rounds, %d messages, first %+v, last %+v", rounds, messages, before, footprintOf(t, l.sender.Stats().Spool.Bytes))
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
