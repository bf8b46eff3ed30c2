package spool_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

const benchBody = 100

// bare is the limit: n messages encoded, summed, written and synced together, again and again for d, in a file allocated
// ahead. It returns messages a second.
func bare(b *testing.B, dir string, n int, d time.Duration) float64 {
	b.Helper()
	path := filepath.Join(dir, "bare")
	fs, done := spool.RealFS(b, dir)
	defer done()
	f, err := fs.Open("bare", os.O_RDWR|os.O_CREATE|os.O_EXCL)
	require.NoError(b, err)
	defer os.Remove(path)
	defer f.Close()
	const size = 64 << 20
	require.NoError(b, f.Allocate(size))
	body, table := make([]byte, benchBody), crc32.MakeTable(crc32.Castagnoli)
	var buf []byte
	off, count, begun := int64(0), 0, time.Now()
	for time.Since(begun) < d {
		buf = buf[:0]
		for range n {
			buf = binary.LittleEndian.AppendUint32(buf, benchBody)
			buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(body, table))
			buf = append(buf, body...)
		}
		if off+int64(len(buf)) > size {
			off = 0
		}
		_, err := f.WriteAt(buf, off)
		require.NoError(b, err)
		require.NoError(b, f.Sync())
		off += int64(len(buf))
		count += n
	}
	return float64(count) / time.Since(begun).Seconds()
}

// durable is the log with so many senders, each waiting until its message is on disk.
func durable(b *testing.B, dir string, senders int, d time.Duration) float64 {
	b.Helper()
	l, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{SegmentSize: 64 << 20})
	require.NoError(b, err)
	defer os.RemoveAll(filepath.Join(dir, "spool"))
	defer l.Close()
	var wg sync.WaitGroup
	body, begun := make([]byte, benchBody), time.Now()
	for range senders {
		wg.Go(func() {
			for time.Since(begun) < d {
				if _, err := l.Append(context.Background(), body); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s := l.Stats()
	b.ReportMetric(float64(s.Appended)/float64(s.Syncs), "msg/sync")
	return float64(s.Appended) / time.Since(begun).Seconds()
}

// window is the log with one sender that has up to 4096 messages on their way.
func window(b *testing.B, dir string, d time.Duration) float64 {
	b.Helper()
	l, err := spool.Open(filepath.Join(dir, "spool"), spool.Options{SegmentSize: 64 << 20})
	require.NoError(b, err)
	defer os.RemoveAll(filepath.Join(dir, "spool"))
	defer l.Close()
	body, begun, count := make([]byte, benchBody), time.Now(), 0
	for ; time.Since(begun) < d; count++ {
		n, err := l.Enqueue(context.Background(), body)
		if err == nil && n > 4096 {
			err = l.Wait(context.Background(), n-4096)
		}
		if err != nil { // require costs more than what is measured
			b.Fatal(err)
		}
	}
	require.NoError(b, l.Flush(context.Background()))
	return float64(count) / time.Since(begun).Seconds()
}

// BenchmarkDurable compares the log with the bare file in turns, in one run, and reports ratios; each turn takes as
// long as that many operations of a millisecond.
func BenchmarkDurable(b *testing.B) {
	for name, c := range map[string]struct {
		bare int
		log  func(b *testing.B, dir string, d time.Duration) float64
	}{
		"1 sender":     {1, func(b *testing.B, dir string, d time.Duration) float64 { return durable(b, dir, 1, d) }},
		"256 senders":  {256, func(b *testing.B, dir string, d time.Duration) float64 { return durable(b, dir, 256, d) }},
		"async window": {256, window},
	} {
		b.Run(name, func(b *testing.B) {
			dir, d := benchDir(b), time.Duration(b.N)*time.Millisecond
			limit, log := 0.0, 0.0
			for range 3 {
				limit += bare(b, dir, c.bare, d/3)
				log += c.log(b, dir, d/3)
			}
			b.ReportMetric(limit/3, "bare-msg/s")
			b.ReportMetric(log/3, "msg/s")
			b.ReportMetric(log/limit, "ratio")
		})
	}
}

// BenchmarkReplay reads a log from its beginning again and again.
func BenchmarkReplay(b *testing.B) {
	l, err := spool.Open(filepath.Join(benchDir(b), "spool"), spool.Options{Policy: spool.OS})
	require.NoError(b, err)
	defer l.Close()
	for range 200_000 {
		_, err := l.Enqueue(context.Background(), make([]byte, benchBody))
		require.NoError(b, err)
	}
	require.NoError(b, l.Flush(context.Background()))
	r := l.Reader(spool.Beginning())
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		_, err := r.TryNext()
		if errors.Is(err, io.EOF) {
			require.NoError(b, r.Close())
			r = l.Reader(spool.Beginning())
		} else if err != nil { // require costs more than what is measured
			b.Fatal(err)
		}
	}
	require.NoError(b, r.Close())
}

// discard is a disk that takes everything and keeps the first bytes of a file only.
type discard struct{ spool.FS }

type discardFile struct{ spool.File }

func (d discard) Open(name string, flag int) (spool.File, error) {
	f, err := d.FS.Open(name, flag)
	return discardFile{f}, err
}

func (f discardFile) WriteAt(b []byte, off int64) (int, error) {
	if off < 16<<10 {
		return f.File.WriteAt(b, off)
	}
	return len(b), nil
}

func (discardFile) Sync() error          { return nil }
func (discardFile) Allocate(int64) error { return nil }

// BenchmarkAppend is the cost of a message without the disk; it allocates nothing.
func BenchmarkAppend(b *testing.B) {
	fs, done := spool.RealFS(b, filepath.Join(benchDir(b), "spool"))
	defer done()
	l, err := spool.OpenFS(discard{fs}, spool.Options{SegmentSize: 1 << 30})
	require.NoError(b, err)
	body := make([]byte, benchBody)
	send := func() {
		if _, err := l.Append(context.Background(), body); err != nil {
			b.Fatal(err)
		}
	}
	for range 100 {
		send()
	}
	if n := testing.AllocsPerRun(1000, send); n > 0 {
		b.Fatalf("%v allocations a message", n)
	}
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
	_ = l.Close()
}

// benchDir returns a directory on the disk that MESHMQ_BENCH_DIR names: temporary ones may be memory.
func benchDir(b *testing.B) string {
	b.Helper()
	parent := os.Getenv("MESHMQ_BENCH_DIR")
	if parent == "" {
		return b.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "spool")
	require.NoError(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
