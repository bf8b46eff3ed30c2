package conformance

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// The types without multipart messages have a Send of their own; what several RFCs say of them in the same words is checked here.

// body makes a socket whose Send takes one body fit for the checks of other sockets. Frames become one.
type body struct {
	connector
	recver
	send func(ctx context.Context, body []byte) error
}

func (b body) Send(ctx context.Context, frames ...[]byte) error {
	return b.send(ctx, bytes.Join(frames, nil))
}

func ofClient(s *socket.Client) body   { return body{s, s, s.Send} }
func ofChannel(s *socket.Channel) body { return body{s, s, s.Send} }
func ofScatter(s *socket.Scatter) body { return body{s, nil, s.Send} }

// numbered is a socket that sends to peers by number.
type numbered interface {
	connector
	recver
	Send(ctx context.Context, id uint32, body []byte) error
}

// to makes a numbered socket one that sends to a single peer.
func to(s numbered, id uint32) body {
	return body{s, s, func(ctx context.Context, b []byte) error { return s.Send(ctx, id, b) }}
}

// oddBodies are those of oddMessages that have one frame.
func oddBodies() (out []string) {
	for _, frames := range oddMessages() {
		if len(frames) == 1 {
			out = append(out, frames[0])
		}
	}
	return append(out, "several\x00frames")
}

// requireNoMultipart requires that a message of several frames cannot be sent: there is no call for it.
func requireNoMultipart(t *testing.T, s any) {
	t.Helper()
	_, multipart := s.(sender)
	require.False(t, multipart)
}

// checkPassesBodies sends and receives all sorts of messages of one frame.
func checkPassesBodies(t *testing.T, transport string, s body, peerType string) {
	raw := rawPeer(t, bound(t, transport, s), peerType)
	awaitPeers(t, s, 1)
	for _, b := range oddBodies() {
		send(t, s, b)
		require.Equal(t, []string{b}, raw.ReadMessage())
		raw.SendMessage(b)
		requireRecv(t, s, b)
	}
}

// checkDiscardsMultipart has a peer send messages of several frames among others.
func checkDiscardsMultipart(t *testing.T, transport string, s puller, peerType string) {
	raw := rawPeer(t, bound(t, transport, s), peerType)
	discarded := 0
	for _, frames := range oddMessages() {
		raw.SendMessage(frames...)
		if len(frames) == 1 {
			requireRecv(t, s, frames...)
		} else {
			discarded++
		}
	}
	raw.SendMessage("end")
	requireRecv(t, s, "end")
	requireNothing(t, s)
	require.Equal(t, map[socket.DropReason]uint64{socket.DropMalformed: uint64(discarded)}, s.Stats().Dropped)
}

// checkManySenders has many goroutines send, and many receive what arrives: nothing is lost, torn or doubled.
func checkManySenders(t *testing.T, s sender, r recver) {
	const goroutines, each = 8, 50
	var all sync.WaitGroup
	var mu sync.Mutex
	got := map[string]bool{}
	for g := range goroutines {
		all.Go(func() {
			for i := range each {
				assert.NoError(t, s.Send(limit(t), fmt.Appendf(nil, "%d of %d", i, g)))
			}
		})
		all.Go(func() {
			for range each {
				m, err := r.Recv(limit(t))
				if assert.NoError(t, err) {
					mu.Lock()
					got[m.String()] = true
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	require.Len(t, got, goroutines*each)
	require.True(t, got["0 of 0"])
}
