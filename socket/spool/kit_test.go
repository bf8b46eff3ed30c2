package spool_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// small are options with which a test fills several segments.
var small = spool.Options{SegmentSize: 64 << 10}

// thorough says that all cases are to be run: make faults.
var thorough = os.Getenv("MESHMQ_FAULTS") != ""

// every says which of many like cases are run: one in so many.
var every = map[bool]int64{true: 1, false: seldom}[thorough]

// unwritten says which bits of the room behind what was written are flipped, also where each other is: one in so many. There are a hundred for each that says something, and all alike.
const unwritten = 61

// rounds is n, or many if all is to be run.
func rounds(n, many int) int {
	if thorough {
		return many
	}
	return n
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// open opens a spool that the end of the test closes, if the test has not.
func open(t *testing.T, fs spool.FS, o spool.Options) *spool.Log {
	t.Helper()
	l := openOneOfMany(t, fs, o)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// openOneOfMany leaves it to the caller to close the log, so that its disk does not stay until the test ends.
func openOneOfMany(t *testing.T, fs spool.FS, o spool.Options) *spool.Log {
	t.Helper()
	l, err := spool.OpenFS(fs, o)
	require.NoError(t, err)
	return l
}

// body is the payload of message i: anybody can tell whether it is right.
func body(i uint64, size int) []byte {
	b := []byte(fmt.Sprintf("message %d ", i))
	for len(b) < size {
		b = append(b, byte(i*7+uint64(len(b))))
	}
	return b
}

// fill appends n messages of size bytes and waits until they are safe.
func fill(t *testing.T, l *spool.Log, n, size int) {
	t.Helper()
	ctx, last := bounded(t), uint64(0)
	for range n {
		var err error
		last, err = l.Enqueue(ctx, body(l.Next(), size))
		require.NoError(t, err)
	}
	require.NoError(t, l.Wait(ctx, last))
}

// read returns the numbers a reader finds up to the end, checks that they ascend and their bodies, and the gaps.
func read(t *testing.T, r *spool.Reader, size int) (numbers []uint64, gaps []*spool.Gap) {
	t.Helper()
	return readSized(t, r, func(uint64) int { return size })
}

// readSized is read for messages of different sizes.
func readSized(t *testing.T, r *spool.Reader, size func(number uint64) int) (numbers []uint64, gaps []*spool.Gap) {
	t.Helper()
	defer r.Close()
	for {
		rec, err := r.TryNext()
		var gap *spool.Gap
		switch {
		case errors.Is(err, io.EOF):
			return numbers, gaps
		case errors.As(err, &gap):
			gaps = append(gaps, gap)
			continue
		}
		require.NoError(t, err)
		require.Len(t, rec.Frames, 1)
		require.Equal(t, string(body(rec.Number, size(rec.Number))), string(rec.Frames[0]))
		if len(numbers) > 0 {
			require.Greater(t, rec.Number, numbers[len(numbers)-1])
		}
		numbers = append(numbers, rec.Number)
	}
}

// onDisk returns a real directory with these files, dead letters, what a killed process had begun, and its lock.
func onDisk(t *testing.T, disk *spooltest.Mem) string {
	t.Helper()
	letters := spooltest.NewMem()
	l := open(t, letters, small)
	bury(t, l, 1)
	require.NoError(t, l.Close())
	dir := filepath.Join(t.TempDir(), "spool")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "dead"), 0o700))
	write := func(name string, b []byte) { require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600)) }
	names, err := disk.List(".")
	require.NoError(t, err)
	for _, name := range names {
		write(name, disk.Bytes(name))
	}
	for _, name := range segments(t, letters) {
		write("dead/"+name, letters.Bytes("dead/"+name))
	}
	write("next", []byte("begun"))
	write("compact.tmp", []byte("begun, too"))
	write("dead/next", []byte("also"))
	write("LOCK", []byte(`{"pid":1,"host":"elsewhere"}`))
	return dir
}

// tree returns what lies in a directory: the modes and links of all names, and the sums of files.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	require.NoError(t, filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(name)
		if err != nil {
			return err
		}
		says := ""
		switch mode := info.Mode(); {
		case mode&os.ModeSymlink != 0:
			says, err = os.Readlink(name)
		case mode.IsRegular():
			var b []byte
			b, err = os.ReadFile(name)
			says = fmt.Sprintf("%d bytes, %x", len(b), sha256.Sum256(b))
		}
		all[name] = fmt.Sprint(info.Mode(), " ", says)
		return err
	}))
	return all
}

// refused wants a spool not to be opened, for a reason, and all in dir to be left as it is, also by who only looks.
func refused(t *testing.T, path, dir string, o spool.Options, reason error) {
	t.Helper()
	o.SegmentSize = small.SegmentSize
	before := tree(t, dir)
	_, err := spool.Open(path, o)
	require.ErrorIs(t, err, reason)
	assert.ErrorContains(t, err, path)
	assert.Equal(t, before, tree(t, dir))
	_, _ = spool.Verify(path)
	_, _ = spool.Inspect(path)
	assert.Equal(t, before, tree(t, dir), "by who looks")
}

// upTo returns 1 to n.
func upTo(n uint64) []uint64 { return fromTo(1, n) }

func fromTo(lo, hi uint64) (all []uint64) {
	for n := lo; n <= hi; n++ {
		all = append(all, n)
	}
	return all
}
