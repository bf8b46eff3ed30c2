//go:build linux || darwin

package spool_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

const hugeDir = "MESHMQ_SPOOL_HUGE_DIR"

// hugeCount is how many messages of 100 bytes TestHuge writes. With 100000000 the spool has 13 GB.
func hugeCount() uint64 {
	if n, err := strconv.ParseUint(os.Getenv("MESHMQ_SPOOL_MESSAGES"), 10, 64); err == nil {
		return n
	}
	return 300_000
}

// TestHugeChild fills a spool and says what that takes of memory; then it waits to be killed.
func TestHugeChild(t *testing.T) {
	dir := os.Getenv(hugeDir)
	if dir == "" {
		t.Skip("runs as the child of TestHuge")
	}
	l, err := spool.Open(dir, spool.Options{Policy: spool.OS})
	require.NoError(t, err)
	body, begun, n := make([]byte, 100), time.Now(), hugeCount()
	for range n {
		_, err := l.Enqueue(context.Background(), body)
		require.NoError(t, err)
	}
	require.NoError(t, l.Wait(context.Background(), n))
	took := time.Since(begun)
	fmt.Printf("%d wrote %d messages in %v: %.1f M/s\n", memory("VmHWM"), n, took.Round(time.Millisecond), float64(n)/took.Seconds()/1e6)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the end
}

// What a spool may take in memory, however large it is: a writer with what waits for the disk, 8 MiB twice, and what it grew from; a reader with a block.
const (
	writerMemory = 128 << 20 * memoryTimes
	readerMemory = 16 << 20 * memoryTimes
)

// memory returns how many bytes the system says that this process has resident, now (VmRSS) or at most (VmHWM); 0 where it does not say.
func memory(what string) (bytes int64) {
	b, _ := os.ReadFile("/proc/self/status")
	_, figure, _ := strings.Cut(string(b), what+":")
	_, _ = fmt.Sscan(figure, &bytes)
	return bytes << 10
}

// TestHuge kills the process that has filled a large spool and opens what it left: memory does not grow with the spool,
// opening reads the last segment only, all is there, and when it is acknowledged the disk is given back. Set
// MESHMQ_SPOOL_MESSAGES for figures (make huge).
func TestHuge(t *testing.T) {
	n, dir := hugeCount(), filepath.Join(t.TempDir(), "spool")
	if parent := os.Getenv("MESHMQ_BENCH_DIR"); parent != "" {
		dir = filepath.Join(parent, "huge")
		defer os.RemoveAll(dir)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestHugeChild$")
	cmd.Env = append(os.Environ(), hugeDir+"="+dir)
	in, err := cmd.StdinPipe() // which ends with us
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, errors.Join(cmd.Process.Kill(), err))
	require.Error(t, cmd.Wait())
	_ = in.Close()
	most, what, _ := strings.Cut(said, " ")
	bytes, err := strconv.ParseInt(most, 10, 64)
	require.NoError(t, err, said)
	t.Logf("%s, %d MiB resident at most", strings.TrimSpace(what), bytes>>20)
	assert.Less(t, bytes, int64(writerMemory), "writing")

	fs, closeDir := spool.RealFS(t, dir)
	defer closeDir()
	disk, reads := counting(fs)
	debug.FreeOSMemory()
	before, begun := memory("VmRSS"), time.Now()
	l, err := spool.OpenFS(disk, spool.Options{Policy: spool.OS})
	require.NoError(t, err)
	defer l.Close()
	took, s := time.Since(begun), l.Stats()
	t.Logf("opened %d segments, %d MiB, in %v", len(s.Segments), s.Bytes>>20, took.Round(time.Millisecond))
	require.Equal(t, n+1, s.Next)
	reads.requireLastOnly(t)
	if os.Getenv("MESHMQ_BENCH_DIR") != "" {
		assert.Less(t, took, 2*time.Second, "opening")
	}

	begun = time.Now()
	r, grown := l.Queue().Reader(), int64(0)
	for want := uint64(1); want <= n; want++ {
		rec, err := r.TryNext()
		if err != nil || rec.Number != want {
			require.NoError(t, err)
			require.Equal(t, want, rec.Number)
		}
		if want%(n/100) == 0 {
			grown = max(grown, memory("VmRSS")-before)
		}
	}
	_, err = r.TryNext()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, r.Close())
	took = time.Since(begun)
	t.Logf("read them in %v: %.1f M/s, %d MiB resident more at most", took.Round(time.Millisecond), float64(n)/took.Seconds()/1e6, grown>>20)
	assert.Less(t, grown, int64(readerMemory), "reading")

	begun = time.Now()
	require.NoError(t, l.Queue().Ack(1, n))
	require.NoError(t, l.Release(bounded(t)))
	s = l.Stats()
	t.Logf("acknowledged, %d MiB left after %v", s.Bytes>>20, time.Since(begun).Round(time.Millisecond))
	assert.LessOrEqual(t, s.Bytes, int64(2*16<<20))
}
