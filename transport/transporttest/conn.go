package transporttest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func (k kit) testEcho(t *testing.T) {
	a, b := k.pair(t)
	done := start(func() error {
		_, err := io.Copy(b, b)
		return err
	})
	for _, text := range []string{"h", "hello", string(pattern(1, 10_000))} {
		_, err := io.WriteString(a, text)
		require.NoError(t, err)
		got := make([]byte, len(text))
		_, err = io.ReadFull(a, got)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	require.NoError(t, a.Close())
	assert.NoError(t, <-done, "the echo ends with its peer")
}

// testLargeTransfer moves more than any buffer holds, both ways at once, in uneven pieces.
func (k kit) testLargeTransfer(t *testing.T) {
	a, b := k.pair(t)
	send := func(conn net.Conn, seed uint64) <-chan error {
		return start(func() error {
			sizes := rand.New(rand.NewPCG(seed, 0))
			for rest := pattern(seed, 8<<20); len(rest) > 0; {
				n := min(1+sizes.IntN(300_000), len(rest))
				if _, err := conn.Write(rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			return nil
		})
	}
	receive := func(conn net.Conn, seed uint64) <-chan error {
		return start(func() error {
			got := make([]byte, 8<<20)
			if _, err := io.ReadFull(conn, got); err != nil {
				return err
			}
			if !bytes.Equal(got, pattern(seed, len(got))) {
				return errors.New("bytes differ")
			}
			return nil
		})
	}
	for _, done := range []<-chan error{send(a, 1), send(b, 2), receive(a, 2), receive(b, 1)} {
		assert.NoError(t, <-done)
	}
}

// testConcurrentWrites has writers send records of one letter each: no record may be torn by another.
func (k kit) testConcurrentWrites(t *testing.T) {
	const writers, records, size = 4, 20, 100_000
	a, b := k.pair(t)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			record := bytes.Repeat([]byte{'a' + byte(w)}, size)
			for range records {
				_, err := a.Write(record)
				assert.NoError(t, err)
			}
		})
	}
	defer wg.Wait()
	counts := map[byte]int{}
	record := make([]byte, size)
	for range writers * records {
		_, err := io.ReadFull(b, record)
		require.NoError(t, err)
		require.Equal(t, size, bytes.Count(record, record[:1]), "record is torn")
		counts[record[0]]++
	}
	assert.Equal(t, map[byte]int{'a': records, 'b': records, 'c': records, 'd': records}, counts)
}

// testDeadlineWakesRead repeats itself because nobody outside can see whether the Read blocks already.
func (k kit) testDeadlineWakesRead(t *testing.T) {
	a, b := k.pair(t)
	for i := range byte(50) {
		buf := make([]byte, 8)
		done := start(func() error {
			_, err := a.Read(buf)
			return err
		})
		require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)))
		assertTimeout(t, <-done)

		require.NoError(t, a.SetReadDeadline(time.Now().Add(patience)))
		_, err := b.Write([]byte{i})
		require.NoError(t, err)
		n, err := a.Read(buf)
		require.NoError(t, err)
		require.Equal(t, []byte{i}, buf[:n], "after the deadline is lifted")
	}
	require.NoError(t, a.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := a.Read(make([]byte, 1))
	assertTimeout(t, err)
	_, err = a.Write([]byte("x"))
	assert.NoError(t, err, "a read deadline does not concern writes")
}

func (k kit) testDeadlineKeepsData(t *testing.T) {
	a, b := k.pair(t)
	_, err := b.Write([]byte("kept"))
	require.NoError(t, err)
	require.NoError(t, a.SetReadDeadline(time.Unix(1, 0)))
	n, err := a.Read(make([]byte, 8))
	assertTimeout(t, err)
	assert.Zero(t, n)
	require.NoError(t, a.SetReadDeadline(time.Now().Add(patience)))
	got := make([]byte, 4)
	_, err = io.ReadFull(a, got)
	require.NoError(t, err)
	assert.Equal(t, "kept", string(got))
}

// testDeadlineWakesWrite fills the buffers. What Write says it has written is what the peer reads.
func (k kit) testDeadlineWakesWrite(t *testing.T) {
	a, b := k.pair(t)
	sent := pattern(3, 64<<20)
	require.NoError(t, a.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := a.Write(sent)
	assertTimeout(t, err)
	require.Less(t, n, len(sent))

	require.NoError(t, a.SetWriteDeadline(time.Now().Add(patience)))
	done := start(func() error {
		_, err := a.Write([]byte("end"))
		return errors.Join(err, a.Close())
	})
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Equal(t, n+len("end"), len(got))
	assert.True(t, bytes.Equal(sent[:n], got[:n]))
}

func (k kit) testPeerReadsAll(t *testing.T) {
	a, b := k.pair(t)
	_, err := a.Write([]byte("last words"))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	got, err := io.ReadAll(b)
	require.NoError(t, err)
	assert.Equal(t, "last words", string(got))
	_, err = b.Read(make([]byte, 1))
	assert.Equal(t, io.EOF, err, "the end stays, and is plain io.EOF")
}

func (k kit) testCloseWrite(t *testing.T) {
	a, b := k.pair(t)
	half, ok := a.(interface{ CloseWrite() error })
	require.True(t, ok, "%T has CloseWrite", a)
	_, err := a.Write([]byte("question"))
	require.NoError(t, err)
	require.NoError(t, half.CloseWrite())
	_, err = a.Write([]byte("more"))
	require.Error(t, err)

	got, err := io.ReadAll(b)
	require.NoError(t, err)
	assert.Equal(t, "question", string(got))
	_, err = b.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, b.Close())
	got, err = io.ReadAll(a)
	require.NoError(t, err)
	assert.Equal(t, "answer", string(got))
}

func (k kit) testCloseWakes(t *testing.T) {
	a, b := k.pair(t)
	read := start(func() error {
		_, err := a.Read(make([]byte, 1))
		return err
	})
	write := start(func() error {
		_, err := a.Write(make([]byte, 64<<20))
		return err
	})
	// Once the peer has a byte, Write has begun; it cannot end.
	_, err := b.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, a.Close())
	assert.ErrorIs(t, <-read, net.ErrClosed)
	assert.ErrorIs(t, <-write, net.ErrClosed)
	_, err = a.Read(make([]byte, 1))
	assert.ErrorIs(t, err, net.ErrClosed)
	_, err = a.Write([]byte("x"))
	assert.ErrorIs(t, err, net.ErrClosed)
}

// testWriteToClosedPeer writes until it fails: the network may take a while to tell.
func (k kit) testWriteToClosedPeer(t *testing.T) {
	a, b := k.pair(t)
	require.NoError(t, b.Close())
	var err error
	for err == nil {
		_, err = a.Write(make([]byte, 64<<10))
	}
	assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
	assert.NotErrorIs(t, err, net.ErrClosed, "only the peer is closed")
}

func (k kit) testDialCancelled(t *testing.T) {
	ln := k.listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	conn, err := k.dial(ctx, ln.Endpoint())
	require.ErrorIs(t, err, context.Canceled)
	assert.Nil(t, conn)
	assert.Contains(t, err.Error(), ln.Endpoint())
}

// start runs f beside the test, which receives its error.
func start(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return done
}

// pattern returns n bytes that only the same seed gives again.
func pattern(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	p := make([]byte, n)
	rand.NewChaCha8(key).Read(p)
	return p
}

func assertTimeout(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	timeout, ok := err.(net.Error)
	require.True(t, ok, "%T is a net.Error", err)
	assert.True(t, timeout.Timeout())
}
