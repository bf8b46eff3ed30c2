//go:build amd64 || arm64

package link

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// framed returns a message as it goes on the wire.
func framed(frames ...[]byte) (b []byte) {
	for i, f := range frames {
		flags := byte(0)
		if i < len(frames)-1 {
			flags = zmtp.FlagMore
		}
		b = append(zmtp.AppendHeader(b, flags, len(f)), f...)
	}
	return b
}

// TestLent_TheOwnerMayChangeItAfterFlush: whether the connection took all of it at once, a part, or ended, and whatever came before and after it.
func TestLent_TheOwnerMayChangeItAfterFlush(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"all": lentBody, "a part": 32 << 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := connected(t)
			q := newQueue()
			q.attach(near)
			head, topic, body := []byte("head"), []byte("topic"), bytes.Repeat([]byte("body"), size/4)
			want := framed(head, topic, body)
			ok, flush := q.AppendLent([][]byte{head}, [][]byte{topic, body}, len(topic)+len(body))
			require.True(t, ok && flush)
			require.Equal(t, loanTaken, q.loan)
			ok, flush = q.Append(nil, [][]byte{topic}, len(topic))
			require.True(t, ok)
			require.False(t, flush, "the baton is the owner's")
			want = append(want, framed(topic)...)
			q.Flush()
			clear(body)
			got := make([]byte, len(want))
			_, err := io.ReadFull(far, got)
			require.NoError(t, err)
			assert.True(t, bytes.Equal(want, got))
			q.empty()
			near.Close()
			q.detach(false)
		})
	}
}

// TestLent_KeptForTheNextConnection: from its first octet, if this one did not get all of it.
func TestLent_KeptForTheNextConnection(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	q := newQueue()
	q.attach(near)
	body := bytes.Repeat([]byte("body"), 8<<20)
	want := framed(body)
	q.AppendLent(nil, [][]byte{body}, len(body))
	far.Close()
	q.Flush()
	clear(body)
	near.Close()
	require.Zero(t, q.detach(true))
	s := &sink{room: -1}
	q.attach(s)
	q.empty()
	q.detach(false)
	assert.True(t, bytes.Equal(want, s.got))
}

// held is a connection whose writes take until they are let go.
type held struct {
	sink
	begun, over chan struct{}
}

func (h *held) TryWrite(p []byte) (int, error) {
	h.begun <- struct{}{}
	<-h.over
	return h.sink.Write(p)
}

func (h *held) TryWriteAll([][]byte) (int, error) { return 0, nil }
func (h *held) AwaitRoom(time.Duration) bool      { return false }

// TestLent_TheOwnerWaitsWhileSomebodyWritesIt: who came first with a Flush of its own.
func TestLent_TheOwnerWaitsWhileSomebodyWritesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q, conn := newQueue(), &held{sink{room: -1}, make(chan struct{}), make(chan struct{})}
		q.attach(conn)
		body := make([]byte, lentBody)
		_, flush := q.AppendLent(nil, [][]byte{body}, len(body))
		require.True(t, flush)
		go q.Flush()
		<-conn.begun
		owner := make(chan struct{})
		go func() {
			defer close(owner)
			q.Flush()
			clear(body)
		}()
		synctest.Wait()
		select {
		case <-owner:
			t.Error("it has its body back while that is written")
		default:
		}
		conn.over <- struct{}{} // of the header
		<-conn.begun
		conn.over <- struct{}{}
		<-owner
		q.detach(false)
	})
}

// TestLent_ManySenders: each flushes for whoever has the baton, and changes its body only when that is over.
func TestLent_ManySenders(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	q := newQueue()
	q.attach(near)
	const senders, each, size = 4, 20, lentBody + 1
	go func() {
		defer near.Close()
		var all sync.WaitGroup
		for i := range senders {
			all.Go(func() {
				body := make([]byte, size)
				for n := range each {
					for k := range body {
						body[k] = byte(i*each + n)
					}
					if _, flush := q.AppendLent(nil, [][]byte{body}, size); flush || n%3 == 0 {
						q.Flush()
					}
				}
				clear(body)
			})
		}
		all.Wait()
		q.empty()
	}()
	seen := make(map[byte]bool)
	header, body := make([]byte, zmtp.MaxHeaderSize), make([]byte, size)
	for range senders * each {
		_, err := io.ReadFull(far, header)
		require.NoError(t, err)
		_, err = io.ReadFull(far, body)
		require.NoError(t, err)
		require.Equal(t, size, bytes.Count(body, body[:1]), "one body, as it was when it was sent")
		require.False(t, seen[body[0]])
		seen[body[0]] = true
	}
	_, err := far.Read(header)
	require.ErrorIs(t, err, io.EOF)
	q.detach(false)
}

// TestLent_NotFromAStack: which may move while the queue has it. Arrays that are passed by value lie there, whatever their size.
func TestLent_NotFromAStack(t *testing.T) {
	t.Parallel()
	near, far := connected(t)
	q := newQueue()
	q.attach(near)
	var body [2 * lentBody]byte
	for i := range body {
		body[i] = byte(i)
	}
	require.True(t, stays(body[:]))
	go io.Copy(io.Discard, far)
	require.False(t, lendsByValue(q, body))
	require.True(t, lendsAt(q, 100, body[:]), "from deep in a stack, what is not on it")
	q.empty()
	near.Close()
	q.detach(false)
}

//go:noinline
func lendsByValue(q *queue, body [2 * lentBody]byte) bool { return lendsAt(q, 0, body[:]) }

//go:noinline
func lendsAt(q *queue, depth int, body []byte) bool {
	var frame [1 << 10]byte
	frame[depth] = 1
	if depth > 0 {
		return lendsAt(q, depth-1, body) && frame[depth] == 1
	}
	_, flush := q.AppendLent(nil, [][]byte{body}, len(body))
	lent := q.loan == loanTaken
	if flush {
		q.Flush()
	}
	q.empty()
	return lent
}

// TestLent_NotWhereNothingIsWritten: any more, as after Last, or since the connection has failed. The queue keeps a copy.
func TestLent_NotWhereNothingIsWritten(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(q *queue, far net.Conn){
		"last": func(q *queue, _ net.Conn) { q.Last([]byte{zmtp.FlagCommand, 1, 0}) },
		"failed": func(q *queue, far net.Conn) {
			q.mu.Lock()
			q.err = net.ErrClosed
			q.mu.Unlock()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := connected(t)
			q := newQueue()
			q.attach(near)
			end(q, far)
			body := bytes.Repeat([]byte("body"), lentBody/4)
			want := framed(body)
			if _, flush := q.AppendLent(nil, [][]byte{body}, len(body)); flush {
				q.Flush()
			}
			clear(body)
			near.Close()
			q.detach(true)
			s := &sink{room: -1}
			q.attach(s)
			q.empty()
			q.detach(false)
			assert.True(t, bytes.Equal(want, s.got))
		})
	}
}

// TestLent_BodyIsLetGo: once it is written, whatever goes out afterwards.
func TestLent_BodyIsLetGo(t *testing.T) {
	near, far := connected(t)
	q := newQueue()
	q.attach(near)
	go io.Copy(io.Discard, far)
	body := new([lentBody]byte)
	of := weak.Make(body)
	_, flush := q.AppendLent(nil, [][]byte{body[:]}, len(body))
	require.True(t, flush)
	q.Flush()
	body = nil
	q.empty()
	runtime.GC()
	assert.Nil(t, of.Value())
	near.Close()
	q.detach(false)
}
