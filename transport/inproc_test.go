package transport_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

func TestInprocDialWaitsForListen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := freshInproc()
		const dialers = 3
		dialled := make(chan error, dialers)
		for range dialers {
			go func() {
				_, err := dial(t.Context(), t, endpoint)
				dialled <- err
			}()
		}
		synctest.Wait()
		require.Empty(t, dialled, "nobody listens yet")
		ln := listen(t, endpoint)
		for range dialers {
			require.NoError(t, <-dialled)
			_, err := ln.Accept()
			require.NoError(t, err)
		}
	})
}

func TestInprocDialStopsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		endpoint := freshInproc()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		_, err := dial(ctx, t, endpoint)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, "dial "+endpoint+": context deadline exceeded", err.Error())
		assert.Equal(t, time.Hour, time.Since(start))
	})
}

func TestInprocRaceHasOneWinner(t *testing.T) {
	t.Parallel()
	won := raceToListen(t, freshInproc())
	require.Len(t, won, 1)
	require.NoError(t, won[0].Close())
}

func TestInprocBacklogIsBounded(t *testing.T) {
	t.Parallel()
	ln := listen(t, freshInproc())
	var err error
	n := 0
	for ; err == nil && n < 10_000; n++ {
		_, err = dial(context.Background(), t, ln.Endpoint())
	}
	require.ErrorIs(t, err, syscall.EAGAIN)
	assert.Greater(t, n, 100)
	_, err = ln.Accept()
	require.NoError(t, err)
	_, err = dial(context.Background(), t, ln.Endpoint())
	assert.NoError(t, err, "after one was accepted there is room for one")
}

// tryConn is what the conns of inproc have beyond those of the operating system.
type tryConn interface {
	net.Conn
	TryRead([]byte) (int, error)
	TryWrite([]byte) (int, error)
}

func inprocPair(t *testing.T) (near, far tryConn) {
	t.Helper()
	ln := listen(t, freshInproc())
	a, err := dial(context.Background(), t, ln.Endpoint())
	require.NoError(t, err)
	b, err := ln.Accept()
	require.NoError(t, err)
	return a.(tryConn), b.(tryConn)
}

func TestInprocTry(t *testing.T) {
	t.Parallel()
	near, far := inprocPair(t)
	buf := make([]byte, 1<<20)
	n, err := far.TryRead(buf)
	assert.Zero(t, n)
	assert.Equal(t, transport.ErrWouldBlock, err)

	written, err := near.TryWrite(make([]byte, 1<<20))
	require.NoError(t, err)
	assert.Equal(t, 256<<10, written, "as much as the buffer holds")
	n, err = near.TryWrite([]byte("x"))
	assert.Zero(t, n)
	assert.Equal(t, transport.ErrWouldBlock, err)

	require.NoError(t, far.SetReadDeadline(time.Unix(1, 0)))
	n, err = far.TryRead(buf)
	require.NoError(t, err, "deadlines do not apply")
	assert.Equal(t, written, n)

	_, err = near.TryWrite([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, near.Close())
	n, err = far.TryRead(buf)
	require.NoError(t, err)
	assert.Equal(t, "bye", string(buf[:n]))
	_, err = far.TryRead(buf)
	assert.Equal(t, io.EOF, err)
	_, err = far.TryWrite([]byte("x"))
	assert.ErrorIs(t, err, syscall.EPIPE)
	_, err = near.TryRead(buf)
	assert.ErrorIs(t, err, net.ErrClosed)
}

// A stream is compared with the plainest queue there is, over sizes that cross all its bounds.
func TestInprocIsAQueue(t *testing.T) {
	t.Parallel()
	near, far := inprocPair(t)
	random := rand.New(rand.NewPCG(1, 2))
	var queue, fresh []byte
	for step := range 20_000 {
		size := 1 + random.IntN(1<<(1+random.IntN(19)))
		buf := make([]byte, size)
		if random.IntN(2) == 0 {
			fresh = binary.BigEndian.AppendUint64(fresh[:0], uint64(step)+1)
			copy(buf, bytes.Repeat(fresh, size/len(fresh)+1))
			n, err := near.TryWrite(buf)
			require.True(t, err == nil || n == 0 && len(queue) == 256<<10, "%d bytes, %v", n, err)
			queue = append(queue, buf[:n]...)
		} else {
			n, err := far.TryRead(buf)
			require.Equal(t, len(queue) == 0, err == transport.ErrWouldBlock)
			require.Equal(t, min(size, len(queue)), n)
			require.True(t, bytes.Equal(queue[:n], buf[:n]), "bytes differ at step %d", step)
			queue = queue[n:]
		}
	}
}

func TestInprocAllocatesNothingPerMessage(t *testing.T) {
	near, far := inprocPair(t)
	message := make([]byte, 1000)
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		near.Write(message)
		far.Read(message)
		far.TryRead(message)
	}))
}

// A TryWrite while a Write waits for space would put its bytes amid the other's.
func TestInprocTryWriteKeepsOutOfWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := inprocPair(t)
		done := make(chan error, 1)
		go func() {
			_, err := near.Write(make([]byte, 1<<20))
			done <- err
		}()
		synctest.Wait()
		_, err := io.ReadFull(far, make([]byte, 1000))
		require.NoError(t, err)
		_, err = near.TryWrite([]byte("x"))
		assert.Equal(t, transport.ErrWouldBlock, err)
		_, err = io.ReadFull(far, make([]byte, 1<<20-1000))
		require.NoError(t, err)
		assert.NoError(t, <-done)
	})
}

// Here, unlike in the kit, the calls are known to be blocked when the deadline comes.
func TestInprocDeadlines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := inprocPair(t)
		read := make(chan error, 1)
		go func() {
			_, err := near.Read(make([]byte, 1))
			read <- err
		}()
		synctest.Wait()
		require.NoError(t, near.SetReadDeadline(time.Now()))
		assert.ErrorIs(t, <-read, os.ErrDeadlineExceeded)

		start := time.Now()
		require.NoError(t, near.SetReadDeadline(start.Add(time.Second)))
		require.NoError(t, near.SetReadDeadline(start.Add(time.Minute)))
		_, err := near.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Minute, time.Since(start), "the later deadline replaces the earlier")

		start = time.Now()
		require.NoError(t, near.SetDeadline(start.Add(time.Second)))
		_, err = near.Write(make([]byte, 1<<20))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))

		require.NoError(t, near.SetDeadline(time.Now().Add(time.Hour)))
		require.NoError(t, near.Close())
		require.NoError(t, near.SetDeadline(time.Now().Add(time.Hour)))
		require.NoError(t, far.Close())
	})
}

// givingConn is what the conns of inproc have for bodies that are not to be copied.
type givingConn interface {
	tryConn
	WriteParts(parts []transport.Part, block bool) (int, error)
	ReadBody(n int, block bool) ([]byte, error)
}

// give writes b without a copy.
func give(c givingConn, b []byte, block bool) error {
	n, err := c.WriteParts([]transport.Part{{Bytes: b, Given: true}}, block)
	if err == nil && n < len(b) {
		return io.ErrShortWrite
	}
	return err
}

func givingPair(t *testing.T) (near, far givingConn) {
	a, b := inprocPair(t)
	return a.(givingConn), b.(givingConn)
}

func TestInprocBodyIsNotCopied(t *testing.T) {
	t.Parallel()
	near, far := givingPair(t)
	first, second := []byte("first body"), []byte("second")
	_, err := near.Write([]byte("head"))
	require.NoError(t, err)
	require.NoError(t, give(near, first, true))
	require.NoError(t, give(near, second, false))
	_, err = near.Write([]byte("tail"))
	require.NoError(t, err)

	b, err := far.ReadBody(len(first), true)
	require.NoError(t, err)
	assert.Nil(t, b, "bytes come before it")
	buf := make([]byte, 100)
	n, err := far.Read(buf)
	require.NoError(t, err)
	assert.Equal(t, "head", string(buf[:n]), "a read ends where a body begins")
	b, err = far.ReadBody(len(first), false)
	require.NoError(t, err)
	assert.Same(t, &first[0], &b[0])
	b, err = far.ReadBody(3, true)
	require.NoError(t, err)
	assert.Nil(t, b, "it has another size")
	n, err = far.TryRead(buf[:3])
	require.NoError(t, err)
	assert.Equal(t, "sec", string(buf[:n]), "a body may be read like any bytes")
	rest, err := io.ReadAll(io.LimitReader(far, 7))
	require.NoError(t, err)
	assert.Equal(t, "ondtail", string(rest))
	_, err = far.ReadBody(1, false)
	assert.Equal(t, transport.ErrWouldBlock, err)
}

func TestInprocBodiesAreBounded(t *testing.T) {
	t.Parallel()
	near, far := givingPair(t)
	require.NoError(t, give(near, make([]byte, 1<<20), true), "one of any size")
	require.NoError(t, near.SetWriteDeadline(time.Unix(1, 0)))
	require.ErrorIs(t, give(near, make([]byte, 1), true), os.ErrDeadlineExceeded)
	require.ErrorIs(t, give(near, make([]byte, 1), false), transport.ErrWouldBlock)
	require.NoError(t, near.SetWriteDeadline(time.Time{}))
	done := make(chan error)
	go func() { done <- give(near, make([]byte, 2), true) }()
	b, err := far.ReadBody(1<<20, true)
	require.NoError(t, err)
	assert.Len(t, b, 1<<20)
	require.NoError(t, <-done)
	require.NoError(t, far.SetReadDeadline(time.Unix(1, 0)))
	_, err = far.ReadBody(2, true)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, near.Close())
	b, err = far.ReadBody(0, false)
	require.NoError(t, err)
	assert.Len(t, b, 2, "of any size")
	_, err = far.ReadBody(2, false)
	assert.Equal(t, io.EOF, err)
	assert.ErrorIs(t, give(far, b, true), syscall.EPIPE)
	assert.ErrorIs(t, give(far, b, false), syscall.EPIPE)
}

func TestInprocPartsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	near, far := givingPair(t)
	body := []byte("body")
	n, err := near.WriteParts([]transport.Part{{Bytes: []byte("head")}, {}, {Bytes: body, Given: true}, {Bytes: []byte("tail")}}, false)
	require.NoError(t, err)
	require.Equal(t, 12, n)
	buf := make([]byte, 100)
	n, err = far.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "head", string(buf[:n]))
	b, err := far.ReadBody(4, true)
	require.NoError(t, err)
	require.Same(t, &body[0], &b[0])
	n, err = far.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "tail", string(buf[:n]))
}

func TestInprocPartsThatDoNotFitAreLeft(t *testing.T) {
	t.Parallel()
	near, far := givingPair(t)
	large := make([]byte, 1<<20)
	parts := []transport.Part{{Bytes: []byte("head")}, {Bytes: large, Given: true}, {Bytes: []byte("between")}, {Bytes: []byte("late"), Given: true}, {Bytes: []byte("later")}}
	n, err := near.WriteParts(parts, false)
	require.NoError(t, err)
	require.Equal(t, 4+len(large)+7, n, "what is given away is written whole or not at all, and nothing behind it before it")
	_, err = near.WriteParts(parts[3:], false)
	require.Equal(t, transport.ErrWouldBlock, err)

	done := make(chan error)
	go func() {
		_, err := near.WriteParts(parts[3:], true)
		done <- err
	}()
	got, err := io.ReadAll(io.LimitReader(far, int64(4+len(large)+7+4+5)))
	require.NoError(t, err)
	require.NoError(t, <-done)
	require.Equal(t, "headbetweenlatelater", string(got[:4])+string(got[4+len(large):]))

	require.NoError(t, far.Close())
	n, err = near.WriteParts(parts, true)
	require.ErrorIs(t, err, syscall.EPIPE)
	require.Zero(t, n)
}

// Who writes, and holds something back, is told when the other side finds nothing to read, and not while there is something.
func TestInproc_OnWanted(t *testing.T) {
	t.Parallel()
	near, far := givingPair(t)
	wanted := 0
	var holds atomic.Bool
	near.(interface{ OnWanted(*atomic.Bool, func()) }).OnWanted(&holds, func() {
		if wanted++; wanted == 2 {
			_, err := near.Write([]byte("b"))
			assert.NoError(t, err)
		}
	})
	b := make([]byte, 8)
	_, err := far.TryRead(b)
	require.ErrorIs(t, err, transport.ErrWouldBlock)
	require.Zero(t, wanted)
	holds.Store(true)
	_, err = far.TryRead(b)
	require.ErrorIs(t, err, transport.ErrWouldBlock)
	require.Equal(t, 1, wanted)
	require.False(t, holds.Load())
	holds.Store(true)
	n, err := far.Read(b) // of what the second call brings
	require.NoError(t, err)
	require.Equal(t, "b", string(b[:n]))
	holds.Store(true)
	_, err = near.Write([]byte("c"))
	require.NoError(t, err)
	n, err = far.Read(b)
	require.NoError(t, err)
	require.Equal(t, "c", string(b[:n]))
	require.Equal(t, 2, wanted)
}
