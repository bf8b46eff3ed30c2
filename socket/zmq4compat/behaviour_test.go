package zmq4_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	zmq4 "github.com/meshmq/meshmq/socket/zmq4compat"
)

// The tests here and in behaviour_pubsub_test.go show what a program may rely on. Numbers in brackets are those of issues of go-zeromq/zmq4 that
// are about the same.

// TestOnePeerGetsEachMessage [#158].
func TestOnePeerGetsEachMessage(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][2]constructor{
		"PUSH": {zmq4.NewPush, zmq4.NewPull}, "DEALER": {zmq4.NewDealer, zmq4.NewDealer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, a, b := open(t, types[0]), open(t, types[1]), open(t, types[1])
			require.NoError(t, out.Dial(listen(t, a)))
			require.NoError(t, out.Dial(listen(t, b)))
			for i := range 10 {
				send(t, out, fmt.Sprint(i))
			}
			for i := 0; i < 10; i += 2 {
				recv(t, a, fmt.Sprint(i))
				recv(t, b, fmt.Sprint(i+1))
			}
		})
	}
}

// TestPingIsAnswered, and not shown to the application.
func TestPingIsAnswered(t *testing.T) {
	t.Parallel()
	pull := open(t, zmq4.NewPull)
	raw := sockettest.DialRaw(t, listen(t, pull))
	raw.Handshake("PUSH", 1)
	raw.SendCommand("PING", []byte("\x00\x00hello"))
	assert.Equal(t, "hello", string(raw.ExpectCommand("PONG")))
	raw.SendMessage("a message")
	recv(t, pull, "a message")
}

// TestHostilePeers: one that lies about lengths, or says nothing, harms nobody [PR #161].
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	pull := open(t, zmq4.NewPull)
	endpoint := listen(t, pull)
	silent := sockettest.DialRaw(t, endpoint)
	liar := sockettest.DialRaw(t, endpoint)
	liar.Handshake("PUSH", 1)
	liar.Write([]byte("\x02\x7f\xff\xff\xff\xff\xff\xff\xff"))
	liar.ExpectClosed()
	push := open(t, zmq4.NewPush)
	require.NoError(t, push.Dial(endpoint))
	send(t, push, "x")
	recv(t, pull, "x")
	silent.Close()
}

// TestRepTakesTheFirstEmptyFrameForTheDelimiter.
func TestRepTakesTheFirstEmptyFrameForTheDelimiter(t *testing.T) {
	t.Parallel()
	rep, dealer := open(t, zmq4.NewRep), open(t, zmq4.NewDealer)
	join(t, rep, dealer)
	send(t, dealer, "hop", "", "a", "", "b")
	recv(t, rep, "a", "", "b")
	send(t, rep, "c", "", "d")
	recv(t, dealer, "hop", "", "c", "", "d")
}

// TestReqAndRepAlternate.
func TestReqAndRepAlternate(t *testing.T) {
	t.Parallel()
	req, rep := open(t, zmq4.NewReq), open(t, zmq4.NewRep)
	join(t, rep, req)
	_, err := req.Recv()
	assert.ErrorIs(t, err, socket.ErrState)
	assert.ErrorIs(t, rep.Send(zmq4.NewMsgString("x")), socket.ErrState)
	send(t, req, "question")
	assert.ErrorIs(t, req.Send(zmq4.NewMsgString("another")), socket.ErrState)
	recv(t, rep, "question")
	_, err = rep.Recv()
	assert.ErrorIs(t, err, socket.ErrState)
	send(t, rep, "answer")
	recv(t, req, "answer")
}

// TestReqSurvivesItsPeers: any of them may leave at any time.
func TestReqSurvivesItsPeers(t *testing.T) {
	t.Parallel()
	req := open(t, zmq4.NewReq, zmq4.WithAutomaticReconnect(false))
	var reps []zmq4.Socket
	for range 3 {
		rep := open(t, zmq4.NewRep)
		require.NoError(t, req.Dial(listen(t, rep)))
		reps = append(reps, rep)
	}
	ask := func(rep zmq4.Socket) {
		send(t, req, "question")
		recv(t, rep, "question")
		send(t, rep, "answer")
		recv(t, req, "answer")
	}
	for _, rep := range reps {
		ask(rep)
	}
	require.NoError(t, reps[1].Close())
	send(t, req, "to the first")
	recv(t, reps[0], "to the first")
	require.NoError(t, reps[0].Close()) // without an answer
	_, err := req.Recv()
	require.ErrorIs(t, err, socket.ErrPeerGone)
	go func() { // ends with the socket
		for {
			if _, err := reps[2].Recv(); err != nil || reps[2].Send(zmq4.NewMsgString("answer")) != nil {
				return
			}
		}
	}()
	for answers, gone := 0, 0; answers < 3; {
		send(t, req, "question")
		_, err := req.Recv()
		if errors.Is(err, socket.ErrPeerGone) { // the end of the second was not known yet
			gone++
			require.Equal(t, 1, gone)
			continue
		}
		require.NoError(t, err)
		answers++
	}
}

// TestReqRecvEnds with the timeout, the context and Close [#37].
func TestReqRecvEnds(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		opts []zmq4.Option
		end  func(context.CancelFunc, zmq4.Socket)
		want error
	}{
		"timeout": {[]zmq4.Option{zmq4.WithTimeout(brief)}, func(context.CancelFunc, zmq4.Socket) {}, context.DeadlineExceeded},
		"context": {nil, func(cancel context.CancelFunc, _ zmq4.Socket) { cancel() }, context.Canceled},
		"close":   {nil, func(_ context.CancelFunc, s zmq4.Socket) { s.Close() }, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, rep := zmq4.NewReq(ctx, test.opts...), open(t, zmq4.NewRep)
			closing(t, req)
			join(t, rep, req)
			send(t, req, "x")
			recv(t, rep, "x")
			ended := make(chan error, 1)
			go func() {
				_, err := req.Recv()
				ended <- err
			}()
			test.end(cancel, req)
			select {
			case err := <-ended:
				assert.ErrorIs(t, err, test.want)
			case <-time.After(patience):
				t.Error("Recv did not end")
			}
		})
	}
}

// TestSendWithoutPeersFails, and what failed is not sent later; nor is it by a peer's leaving.
func TestSendWithoutPeersFails(t *testing.T) {
	t.Parallel()
	push, pull := open(t, zmq4.NewPush, zmq4.WithTimeout(brief)), open(t, zmq4.NewPull)
	endpoint := listen(t, push)
	for range 3 {
		err := push.Send(zmq4.NewMsgString("never sent"))
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorIs(t, err, socket.ErrNoPeer)
	}
	require.NoError(t, pull.Dial(endpoint))
	sendSoon(t, push, "1")
	recv(t, pull, "1")
	require.NoError(t, pull.Close())
	require.Eventually(t, func() bool { return push.Send(zmq4.NewMsgString("maybe")) != nil }, patience, time.Millisecond)
	assert.ErrorIs(t, push.Send(zmq4.NewMsgString("never sent")), socket.ErrNoPeer)
	again := open(t, zmq4.NewPull)
	require.NoError(t, again.Dial(endpoint))
	sendSoon(t, push, "2")
	recv(t, again, "2")
}

// sendSoon sends as soon as s knows of its peer.
func sendSoon(t *testing.T, s zmq4.Socket, frames ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Send(zmq4.NewMsgFromString(frames)) == nil }, patience, time.Millisecond)
}

// TestFailedSendsAreNotDelivered: exactly those that succeeded are.
func TestFailedSendsAreNotDelivered(t *testing.T) {
	t.Parallel()
	push, pull := open(t, zmq4.NewPush, zmq4.WithTimeout(time.Millisecond)), open(t, zmq4.NewPull)
	require.NoError(t, push.SetOption(zmq4.OptionHWM, 2))
	join(t, pull, push)
	sent := make(chan string, 1<<16)
	var reading, writing sync.WaitGroup
	for sender := range 4 {
		writing.Go(func() {
			for i := range 300 {
				id := fmt.Sprintf("%d.%d", sender, i)
				if push.Send(zmq4.NewMsgFromString([]string{id, string(make([]byte, 16<<10))})) == nil {
					sent <- id
				}
			}
		})
	}
	got := map[string]int{}
	done := make(chan struct{})
	reading.Go(func() {
		for {
			m, err := pull.Recv()
			if !assert.NoError(t, err) || string(m.Frames[0]) == "end" {
				close(done)
				return
			}
			got[string(m.Frames[0])]++
		}
	})
	writing.Wait()
	close(sent)
	sendSoon(t, push, "end")
	<-done
	reading.Wait()
	want := map[string]int{}
	for id := range sent {
		want[id] = 1
	}
	assert.Equal(t, want, got)
}

// TestStalledPeerStallsNobody else.
func TestStalledPeerStallsNobody(t *testing.T) {
	t.Parallel()
	push, pull := open(t, zmq4.NewPush, zmq4.WithTimeout(patience)), open(t, zmq4.NewPull)
	require.NoError(t, push.SetOption(zmq4.OptionHWM, 2))
	endpoint := join(t, push, pull)
	stalled := sockettest.DialRaw(t, endpoint)
	stalled.Handshake("PULL", 1)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			m, err := pull.Recv()
			if err != nil || len(m.Frames) == 2 {
				return
			}
		}
	})
	body := zmq4.NewMsg(make([]byte, 256<<10))
	for range 200 {
		require.NoError(t, push.Send(body))
	}
	stalled.Close()
	require.NoError(t, pull.Close())
	wg.Wait()
}

// TestPairHasOnePeer.
func TestPairHasOnePeer(t *testing.T) {
	t.Parallel()
	pair, first := open(t, zmq4.NewPair), open(t, zmq4.NewPair)
	endpoint := join(t, pair, first)
	second := zmq4.NewPair(t.Context(), zmq4.WithDialerMaxRetries(0))
	closing(t, second)
	assert.Error(t, second.Dial(endpoint))
	sendSoon(t, pair, "x")
	recv(t, first, "x")
}

// TestRouter: an identity names one peer; nobody of a name is an error, as is no message at all.
func TestRouter(t *testing.T) {
	t.Parallel()
	router := open(t, zmq4.NewRouter)
	old, young := open(t, zmq4.NewDealer, zmq4.WithID(zmq4.SocketIdentity("me")), zmq4.WithAutomaticReconnect(false)),
		open(t, zmq4.NewDealer, zmq4.WithID(zmq4.SocketIdentity("me")))
	endpoint := join(t, router, old)
	send(t, old, "1")
	recv(t, router, "me", "1")
	require.NoError(t, young.Dial(endpoint))
	send(t, young, "2")
	recv(t, router, "me", "2")
	send(t, router, "me", "for the young one")
	recv(t, young, "for the young one")
	assert.ErrorIs(t, router.Send(zmq4.NewMsgFromString([]string{"nobody", "x"})), socket.ErrNoPeer)
	assert.ErrorIs(t, router.Send(zmq4.Msg{}), socket.ErrState)
	assert.ErrorIs(t, router.Send(zmq4.NewMsgString("me")), socket.ErrState)
}

// TestCloseHandsOver what was sent.
func TestCloseHandsOver(t *testing.T) {
	t.Parallel()
	push, pull := open(t, zmq4.NewPush), open(t, zmq4.NewPull)
	join(t, pull, push)
	const n = 900
	for i := range n {
		send(t, push, fmt.Sprint(i))
	}
	require.NoError(t, push.Close())
	require.NoError(t, push.Close())
	for i := range n {
		recv(t, pull, fmt.Sprint(i))
	}
}

// TestEveryListenStays.
func TestEveryListenStays(t *testing.T) {
	t.Parallel()
	pull := open(t, zmq4.NewPull)
	first, second := listen(t, pull), listen(t, pull)
	require.NotEqual(t, first, second)
	for _, endpoint := range []string{first, second, first} {
		push := open(t, zmq4.NewPush)
		require.NoError(t, push.Dial(endpoint))
		send(t, push, endpoint)
		recv(t, pull, endpoint)
	}
	assert.Equal(t, second, "tcp://"+pull.Addr().String(), "the last one")
}

// TestEveryDialIsRestored [#157, #124], and costs those to others nothing meanwhile.
func TestEveryDialIsRestored(t *testing.T) {
	t.Parallel()
	push := open(t, zmq4.NewPush, zmq4.WithDialerRetry(time.Millisecond))
	require.NoError(t, push.SetOption(zmq4.OptionHWM, 1))
	stays, leaves := open(t, zmq4.NewPull), open(t, zmq4.NewPull)
	endpoint := listen(t, leaves)
	require.NoError(t, push.Dial(endpoint))
	require.NoError(t, push.Dial(listen(t, stays)))
	require.NoError(t, leaves.Close())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := stays.Recv(); err != nil {
				return
			}
		}
	})
	for range 20 { // one at most waits for the peer that left
		send(t, push, "x")
	}
	back := open(t, zmq4.NewPull)
	require.NoError(t, back.Listen(endpoint))
	for range 4 {
		send(t, push, "x")
	}
	recv(t, back, "x")
	require.NoError(t, stays.Close())
	wg.Wait()
}
