package zmq4_test

import (
	"context"
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

// TestSubscribeCommands of ZMTP 3.1 peers are understood.
func TestSubscribeCommands(t *testing.T) {
	t.Parallel()
	pub := open(t, zmq4.NewPub)
	raw := sockettest.DialRaw(t, listen(t, pub))
	raw.Handshake("SUB", 1)
	raw.SendCommand("SUBSCRIBE", []byte("a"))
	subscribed(t, pub, "a")
	send(t, pub, "b")
	send(t, pub, "a1")
	assert.Equal(t, []string{"a1"}, raw.ReadMessage())
}

// TestSubscriptionsAreCounted.
func TestSubscriptionsAreCounted(t *testing.T) {
	t.Parallel()
	pub, sub := open(t, zmq4.NewPub), open(t, zmq4.NewSub)
	join(t, pub, sub)
	for _, topic := range []string{"a", "a", "b"} {
		require.NoError(t, sub.SetOption(zmq4.OptionSubscribe, topic))
	}
	require.NoError(t, sub.SetOption(zmq4.OptionUnsubscribe, "a"))
	require.NoError(t, sub.SetOption(zmq4.OptionUnsubscribe, "never subscribed to"))
	assert.Equal(t, []string{"a", "b"}, sub.(zmq4.Topics).Topics())
	subscribed(t, pub, "a", "b")
	send(t, pub, "a", "1")
	recv(t, sub, "a", "1")
	require.NoError(t, sub.SetOption(zmq4.OptionUnsubscribe, "a"))
	subscribed(t, pub, "b")
}

// TestSubscriptionsBySend: as programs do that write the message themselves.
func TestSubscriptionsBySend(t *testing.T) {
	t.Parallel()
	for name, construct := range map[string]constructor{"SUB": zmq4.NewSub, "XSUB": zmq4.NewXSub} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pub, sub := open(t, zmq4.NewPub), open(t, construct)
			join(t, pub, sub)
			send(t, sub, "\x01a")
			send(t, sub, "\x01b")
			send(t, sub, "\x00a")
			subscribed(t, pub, "b")
			if name == "SUB" {
				assert.ErrorIs(t, sub.Send(zmq4.NewMsgString("x")), socket.ErrState)
			}
		})
	}
}

// TestXPubShowsSubscriptions, so that a proxy of XSUB and XPUB works [#108, #136].
func TestXPubShowsSubscriptions(t *testing.T) {
	t.Parallel()
	xsub, xpub := open(t, zmq4.NewXSub), open(t, zmq4.NewXPub)
	pub, sub := open(t, zmq4.NewXPub), open(t, zmq4.NewSub)
	join(t, xsub, pub)
	join(t, xpub, sub)
	p, end := runProxy(t, xsub, xpub, nil)
	require.NoError(t, sub.SetOption(zmq4.OptionSubscribe, "a"))
	recv(t, pub, "\x01a")
	send(t, pub, "a", "1")
	recv(t, sub, "a", "1")
	require.NoError(t, sub.Close())
	recv(t, pub, "\x00a")
	p.Kill()
	assert.NoError(t, end())
}

// runProxy runs a proxy until the end of the test. The function that it returns waits for Run.
func runProxy(t *testing.T, front, back, capture zmq4.Socket) (p *zmq4.Proxy, end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	p = zmq4.NewProxy(ctx, front, back, capture)
	ended := make(chan error, 1)
	var wg sync.WaitGroup
	wg.Go(func() { ended <- p.Run() })
	t.Cleanup(func() { cancel(); wg.Wait() })
	return p, func() error {
		select {
		case err := <-ended:
			return err
		case <-time.After(patience):
			return context.DeadlineExceeded
		}
	}
}

// TestProxySteering: Pause, Resume and Stats do something, Kill ends Run; capture gets copies.
func TestProxySteering(t *testing.T) {
	t.Parallel()
	front, back, capture := open(t, zmq4.NewRouter), open(t, zmq4.NewDealer), open(t, zmq4.NewPush)
	req, rep, log := open(t, zmq4.NewReq, zmq4.WithID(zmq4.SocketIdentity("me"))), open(t, zmq4.NewRep), open(t, zmq4.NewPull)
	join(t, front, req)
	join(t, back, rep)
	join(t, log, capture)
	p, end := runProxy(t, front, back, capture)
	p.Pause()
	send(t, req, "question")
	assert.Zero(t, p.Stats().Frontend.MessagesIn)
	p.Resume()
	recv(t, rep, "question")
	send(t, rep, "answer")
	recv(t, req, "answer")
	recv(t, log, "me", "", "question")
	recv(t, log, "me", "", "answer")
	assert.Equal(t, uint64(1), p.Stats().Frontend.MessagesIn)
	p.Kill()
	assert.NoError(t, end())
}

// TestEmptyMessageIsRefused, by every type that sends.
func TestEmptyMessageIsRefused(t *testing.T) {
	t.Parallel()
	for _, construct := range []constructor{
		zmq4.NewPub, zmq4.NewXPub, zmq4.NewPush, zmq4.NewDealer, zmq4.NewRouter, zmq4.NewReq, zmq4.NewRep, zmq4.NewPair, zmq4.NewXSub, zmq4.NewSub,
	} {
		s := open(t, construct)
		assert.ErrorIs(t, s.Send(zmq4.Msg{}), socket.ErrState, s.Type())
		assert.ErrorIs(t, s.Send(zmq4.Msg{Type: zmq4.CmdMsg, Frames: [][]byte{nil}}), zmq4.ErrBadCmd, s.Type())
	}
}

// TestRecvOutlivesPeers: one that leaves is not an error of the socket.
func TestRecvOutlivesPeers(t *testing.T) {
	t.Parallel()
	pull, a, b := open(t, zmq4.NewPull), open(t, zmq4.NewPush), open(t, zmq4.NewPush)
	join(t, pull, a, b)
	send(t, a, "1")
	recv(t, pull, "1")
	require.NoError(t, a.Close())
	send(t, b, "2")
	recv(t, pull, "2")

	sub := open(t, zmq4.NewSub, zmq4.WithDialerRetry(time.Millisecond))
	require.NoError(t, sub.SetOption(zmq4.OptionSubscribe, ""))
	pub := open(t, zmq4.NewPub)
	endpoint := join(t, pub, sub)
	subscribed(t, pub, "")
	require.NoError(t, pub.Close())
	again := open(t, zmq4.NewPub)
	require.NoError(t, again.Listen(endpoint))
	subscribed(t, again, "") // it has come back by itself
	send(t, again, "3")
	recv(t, sub, "3")
}

// TestPubHWM: it is per subscriber and counts what that asked for; 0 is no limit, and less is refused.
func TestPubHWM(t *testing.T) {
	t.Parallel()
	pub, sub := open(t, zmq4.NewPub), open(t, zmq4.NewSub)
	join(t, pub, sub)
	require.NoError(t, sub.SetOption(zmq4.OptionSubscribe, "wanted"))
	subscribed(t, pub, "wanted")
	for _, bad := range []any{-1, "10", 1.5, nil} {
		assert.ErrorIs(t, pub.SetOption(zmq4.OptionHWM, bad), zmq4.ErrBadProperty)
	}
	_, err := pub.GetOption(zmq4.OptionHWM)
	assert.ErrorIs(t, err, zmq4.ErrBadProperty, "it was not set")

	require.NoError(t, pub.SetOption(zmq4.OptionHWM, 20))
	hwm, err := pub.GetOption(zmq4.OptionHWM)
	require.NoError(t, err)
	assert.Equal(t, 20, hwm)
	for i := range 10 {
		for range 1000 {
			send(t, pub, "unwanted")
		}
		send(t, pub, "wanted", fmt.Sprint(i))
	}
	for i := range 10 {
		recv(t, sub, "wanted", fmt.Sprint(i))
	}

	require.NoError(t, pub.SetOption(zmq4.OptionHWM, 0))
	const n = 20000
	for i := range n {
		send(t, pub, "wanted", fmt.Sprint(i))
	}
	for i := range n {
		recv(t, sub, "wanted", fmt.Sprint(i))
	}
}

// TestPubCloseHandsOver what was published.
func TestPubCloseHandsOver(t *testing.T) {
	t.Parallel()
	pub, sub := open(t, zmq4.NewPub), open(t, zmq4.NewSub)
	join(t, pub, sub)
	require.NoError(t, sub.SetOption(zmq4.OptionSubscribe, ""))
	subscribed(t, pub, "")
	for i := range 900 {
		send(t, pub, fmt.Sprint(i))
	}
	require.NoError(t, pub.Close())
	for i := range 900 {
		recv(t, sub, fmt.Sprint(i))
	}
}

// TestOptionsFromAnywhere: SetOption and GetOption may be called by several goroutines.
func TestOptionsFromAnywhere(t *testing.T) {
	t.Parallel()
	s := open(t, zmq4.NewDealer)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 100 {
				assert.NoError(t, s.SetOption(zmq4.OptionHWM, i))
				_, err := s.GetOption(zmq4.OptionHWM)
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
}
