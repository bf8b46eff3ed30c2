package reqrep_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

func TestNoPeer(t *testing.T) {
	t.Parallel()
	client := dial(t, nil)
	_, err := ask(t, client, "echo", "")
	assert.ErrorIs(t, err, socket.ErrNoPeer)

	// A port that nobody listens on: the first attempt fails, and with it the call, at once.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, client.Connect("tcp://"+l.Addr().String()))
	_, err = ask(t, client, "echo", "")
	assert.ErrorIs(t, err, socket.ErrNoPeer)
	assert.NotErrorIs(t, err, socket.ErrTimeout)
	_, err = ask(t, client, "echo", "")
	assert.ErrorIs(t, err, socket.ErrNoPeer)
}

func TestCallWaitsForTheFirstConnection(t *testing.T) {
	t.Parallel()
	_, addr := serve(t)
	client := reqrep.NewClient()
	defer client.Close()
	require.NoError(t, client.Connect(addr))
	got, err := ask(t, client, "echo", "no WaitPeers before")
	assert.NoError(t, err)
	assert.Equal(t, "no WaitPeers before", got)
}

func TestCallWaitsWhileConnecting(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	require.NoError(t, err)
	defer l.Close()
	client := reqrep.NewClient()
	defer client.Close()
	require.NoError(t, client.Connect("tcp://"+l.Addr().String()))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = reqrep.Call[Question, Answer](ctx, client, "echo", Question{})
	assert.ErrorIs(t, err, socket.ErrNoPeer)
	assert.ErrorIs(t, err, socket.ErrTimeout)

	called := make(chan error, 1)
	go func() { _, err := ask(t, client, "echo", ""); called <- err }() // ended by Disconnect
	require.NoError(t, client.Disconnect("tcp://"+l.Addr().String()))
	assert.ErrorIs(t, <-called, socket.ErrNoPeer)
}

func TestPeerGone(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	_, otherAddr := serve(t)
	begun := make(chan struct{})
	require.NoError(t, reqrep.Handle(s, "hang", func(ctx context.Context, _ Question) (Answer, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}))
	client := dial(t, nil, addr)
	called := make(chan error, 1)
	go func() { // ended by Close of the service
		_, err := reqrep.Call[Question, Answer](context.Background(), client, "hang", Question{})
		called <- err
	}()
	<-begun
	require.NoError(t, client.Connect(otherAddr))
	require.NoError(t, client.WaitPeers(within(t), 2))
	require.NoError(t, s.Close())
	err := <-called
	assert.ErrorIs(t, err, socket.ErrPeerGone, "although another instance is there")

	for range 10 {
		got, err := ask(t, client, "echo", "the other")
		assert.NoError(t, err)
		assert.Equal(t, "the other", got)
	}
}

func TestCallsAreSpread(t *testing.T) {
	t.Parallel()
	a, addrA := serve(t)
	b, addrB := serve(t)
	client := dial(t, nil, addrA, addrB)
	for range 20 {
		_, err := ask(t, client, "echo", "")
		require.NoError(t, err)
	}
	assert.EqualValues(t, 10, a.Counts().Handled)
	assert.EqualValues(t, 10, b.Counts().Handled)

	// Then one of them hangs with all it gets: the other has fewer in flight and gets the rest.
	gate := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(1)
	hang := func(context.Context, Question) (Answer, error) { begun.Done(); <-gate; return Answer{}, nil }
	require.NoError(t, reqrep.Handle(a, "maybe", hang))
	require.NoError(t, reqrep.Handle(b, "maybe", hang))
	hung := make(chan struct{})
	go func() { defer close(hung); _, _ = ask(t, client, "maybe", "") }() // ended by gate
	begun.Wait()
	for range 20 {
		_, err := ask(t, client, "echo", "")
		require.NoError(t, err)
	}
	counts := []uint64{a.Counts().Handled - 10, b.Counts().Handled - 10}
	assert.ElementsMatch(t, []uint64{0, 20}, counts)
	close(gate)
	<-hung
}

func TestClientBinds(t *testing.T) {
	t.Parallel()
	s, _ := serve(t)
	client := reqrep.NewClient()
	defer client.Close()
	addr, err := client.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, s.Connect(addr))
	require.NoError(t, client.WaitPeers(within(t), 1))
	got, err := ask(t, client, "echo", "hello")
	assert.NoError(t, err)
	assert.Equal(t, "hello", got)
}

// A client of another library: REQ and DEALER sockets that write the envelope themselves.
func TestPlainSocketsAsClients(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	s, addr := serve(t, hook)
	body, err := codec.JSON.Append(nil, Question{"plain"})
	require.NoError(t, err)
	id := codec.NewID()
	e := codec.Envelope{ID: id, Type: "echo", Codec: "json", Body: body}
	frame, err := e.Append(nil)
	require.NoError(t, err)

	req := socket.NewReq()
	defer req.Close()
	require.NoError(t, req.Connect(addr))
	m, err := req.Request(within(t), frame)
	require.NoError(t, err)
	var reply codec.Envelope
	require.NoError(t, reply.Decode(m.Bytes()))
	assert.Equal(t, id, reply.CausationID)
	assert.Equal(t, "json", reply.Codec)
	assert.JSONEq(t, `{"Text":"plain"}`, string(reply.Body))

	dealer := socket.NewDealer()
	defer dealer.Close()
	require.NoError(t, dealer.Connect(addr))
	require.NoError(t, dealer.Send(within(t), []byte("mine"), nil, frame))
	m, err = dealer.Recv(within(t))
	require.NoError(t, err)
	require.Len(t, m.Frames, 3)
	assert.Equal(t, "mine", string(m.Frames[0]))

	for _, bad := range [][]byte{nil, []byte("hello"), anonymous(t)} {
		require.NoError(t, dealer.Send(within(t), bad))
		err := <-errs
		assert.ErrorIs(t, err, patterns.ErrMalformed)
	}
	settles(t, s, patterns.Counts{Handled: 2, Malformed: 3})
}

// anonymous is an envelope that a reply could not refer to.
func anonymous(t *testing.T) []byte {
	frame, err := (&codec.Envelope{Type: "echo"}).Append(nil)
	require.NoError(t, err)
	return frame
}

// Replies that were not asked for, do not decode, or come from somebody who was not asked, harm nobody.
func TestHostileService(t *testing.T) {
	t.Parallel()
	hook, errs := errorHook()
	client := reqrep.NewClient(hook)
	defer client.Close()
	addr, err := client.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	asked, other := socket.NewDealer(), socket.NewDealer()
	defer asked.Close()
	defer other.Close()
	require.NoError(t, asked.Connect(addr))
	require.NoError(t, client.WaitPeers(within(t), 1))

	type outcome struct {
		text string
		err  error
	}
	called := make(chan outcome, 1)
	go func() { text, err := ask(t, client, "echo", "x"); called <- outcome{text, err} }() // ended by the reply
	m, err := asked.Recv(within(t))
	require.NoError(t, err)
	var request codec.Envelope
	require.NoError(t, request.Decode(m.Bytes()))
	require.NoError(t, other.Connect(addr))

	reply := func(from *socket.Dealer, to codec.ID, text string) {
		body, err := codec.Msgpack.Append(nil, Answer{text})
		require.NoError(t, err)
		frame, err := (&codec.Envelope{CausationID: to, Codec: "msgpack", Body: body}).Append(nil)
		require.NoError(t, err)
		require.NoError(t, from.Send(within(t), frame))
	}
	reply(other, request.ID, "forged")
	require.Eventually(t, func() bool { return client.Counts().Unhandled == 1 }, time.Minute, time.Millisecond)
	reply(asked, codec.NewID(), "for nobody")
	require.NoError(t, asked.Send(within(t), []byte("garbage")))
	assert.ErrorIs(t, <-errs, patterns.ErrMalformed)
	reply(asked, request.ID, "true")
	reply(asked, request.ID, "twice")
	got := <-called
	assert.NoError(t, got.err)
	assert.Equal(t, "true", got.text)
	require.Eventually(t, func() bool {
		return client.Counts() == patterns.Counts{Handled: 1, Malformed: 1, Unhandled: 3}
	}, 5*time.Second, time.Millisecond)
}

// The client is busy while a service replies and goes, so that it learns of both at once.
func TestReplyOutlivesItsService(t *testing.T) {
	t.Parallel()
	busy, gate := make(chan struct{}), make(chan struct{})
	client := reqrep.NewClient(patterns.WithOnError(func(context.Context, error) {
		close(busy)
		<-gate
	}))
	defer client.Close()
	addr, err := client.Bind("tcp://127.0.0.1:0")
	require.NoError(t, err)
	service := socket.NewDealer()
	defer service.Close()
	require.NoError(t, service.Connect(addr))
	require.NoError(t, client.WaitPeers(within(t), 1))

	replied, forsaken := make(chan error, 1), make(chan error, 1)
	go func() { _, err := ask(t, client, "echo", "x"); replied <- err }() // ended by the reply
	m, err := service.Recv(within(t))
	require.NoError(t, err)
	var request codec.Envelope
	require.NoError(t, request.Decode(m.Bytes()))
	go func() { _, err := ask(t, client, "echo", "x"); forsaken <- err }() // ended when the service is gone
	_, err = service.Recv(within(t))
	require.NoError(t, err)

	require.NoError(t, service.Send(within(t), []byte("garbage")))
	<-busy
	body, err := codec.Msgpack.Append(nil, Answer{"x"})
	require.NoError(t, err)
	frame, err := (&codec.Envelope{CausationID: request.ID, Codec: "msgpack", Body: body}).Append(nil)
	require.NoError(t, err)
	require.NoError(t, service.Send(within(t), frame))
	require.NoError(t, service.Shutdown(within(t)))
	require.Eventually(t, func() bool { return len(client.Stats().Peers) == 0 }, time.Minute, time.Millisecond)
	require.NoError(t, client.WaitPeers(within(t), 0), "it looks who is there")
	close(gate)
	assert.NoError(t, <-replied)
	assert.ErrorIs(t, <-forsaken, socket.ErrPeerGone)
}

func TestServiceShutdownFinishesCallsInHand(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, patterns.WithConcurrency(2))
	begun, gate := make(chan struct{}), make(chan struct{})
	require.NoError(t, reqrep.Handle(s, "gate", func(ctx context.Context, q Question) (Answer, error) {
		begun <- struct{}{}
		<-gate
		return Answer(q), ctx.Err()
	}))
	client := dial(t, nil, addr)
	called := make(chan error, 1)
	go func() { // ended by gate
		got, err := ask(t, client, "gate", "in hand")
		assert.Equal(t, "in hand", got)
		called <- err
	}()
	<-begun
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(within(t)) }() // ended by gate
	require.Eventually(t, func() bool {
		_, err := ask(t, client, "echo", "")
		answer, ok := errors.AsType[*reqrep.Error](err)
		return ok && answer.Code == reqrep.CodeUnavailable
	}, time.Minute, time.Millisecond)
	select {
	case err := <-down:
		t.Error("Shutdown returned before the call in hand was answered:", err)
	default:
	}
	close(gate)
	assert.NoError(t, <-called)
	assert.NoError(t, <-down)
	assert.NoError(t, s.Shutdown(within(t)), "a second time does nothing")
}

func TestServiceShutdownDeadline(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	begun := make(chan struct{})
	require.NoError(t, reqrep.Handle(s, "hang", func(ctx context.Context, _ Question) (Answer, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return Answer{}, nil
	}))
	client := dial(t, nil, addr)
	called := make(chan error, 1)
	go func() { // ended by the end of the service
		_, err := reqrep.Call[Question, Answer](context.Background(), client, "hang", Question{})
		called <- err
	}()
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Shutdown(ctx)
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorContains(t, err, "1 messages in hand")
	assert.ErrorIs(t, <-called, socket.ErrPeerGone)
}

func TestClientShutdownAndClose(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent())
	begun, gate := make(chan struct{}), make(chan struct{})
	require.NoError(t, reqrep.Handle(s, "gate", func(_ context.Context, q Question) (Answer, error) {
		begun <- struct{}{}
		<-gate
		return Answer(q), nil
	}))
	tests := map[string]struct {
		end         func(*reqrep.Client) error
		wantEnd     error
		wantCall    error
		openThenEnd bool
	}{
		"close":    {end: func(c *reqrep.Client) error { return c.Close() }, wantCall: socket.ErrClosed},
		"deadline": {end: func(c *reqrep.Client) error { return c.Shutdown(soon(t)) }, wantEnd: context.DeadlineExceeded, wantCall: socket.ErrClosed},
		"shutdown": {end: func(c *reqrep.Client) error { return c.Shutdown(within(t)) }, openThenEnd: true},
	}
	for _, name := range []string{"close", "deadline", "shutdown"} { // the last opens the gate
		test := tests[name]
		client := dial(t, nil, addr)
		called := make(chan error, 1)
		go func() { _, err := ask(t, client, "gate", ""); called <- err }() // ended by end
		<-begun
		if test.openThenEnd {
			time.AfterFunc(20*time.Millisecond, func() { close(gate) })
		}
		assert.ErrorIs(t, test.end(client), test.wantEnd, name)
		assert.ErrorIs(t, <-called, test.wantCall, name)
		_, err := ask(t, client, "echo", "")
		assert.ErrorIs(t, err, socket.ErrClosed, name)
		assert.NoError(t, client.Close(), name)
	}
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
