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
	"runtime"
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
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	fmt.Printf("%d wrote %d messages in %v: %d M/s, heap %d KiB, resident %s\n",
		m.HeapAlloc, n, took.Round(time.Millisecond), int(float64(n)/took.Seconds()/1e6), m.HeapAlloc>>10, resident())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the end
}

// resident returns what the system says of this process's memory, now and at most.
func resident() string {
	b, _ := os.ReadFile("/proc/self/status")
	var said []string
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
			said = append(said, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(said, ", ")
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
	heap, what, _ := strings.Cut(said, " ")
	t.Log(strings.TrimSpace(what))
	bytes, err := strconv.ParseInt(heap, 10, 64)
	require.NoError(t, err, said)
	assert.Less(t, bytes, int64(64<<20), "what waits for the disk is bounded, and the rest is not in memory")

	fs, closeDir := spool.RealFS(t, dir)
	defer closeDir()
	disk, reads := counting(fs)
	begun := time.Now()
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
	r := l.Queue().Reader()
	for want := uint64(1); want <= n; want++ {
		rec, err := r.TryNext()
		if err != nil || rec.Number != want {
			require.NoError(t, err)
			require.Equal(t, want, rec.Number)
		}
	}
	_, err = r.TryNext()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, r.Close())
	took = time.Since(begun)
	t.Logf("read them in %v: %.1f M/s, %s", took.Round(time.Millisecond), float64(n)/took.Seconds()/1e6, resident())

	begun = time.Now()
	require.NoError(t, l.Queue().Ack(1, n))
	require.NoError(t, l.Release(bounded(t)))
	s = l.Stats()
	t.Logf("acknowledged, %d MiB left after %v", s.Bytes>>20, time.Since(begun).Round(time.Millisecond))
	assert.LessOrEqual(t, s.Bytes, int64(2*16<<20))
}
