package reqrep_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// count streams the numbers from 1 to its question, and notes how far it has come and how its context ended.
type count struct {
	yielded atomic.Int64
	ended   chan error
	err     error // after the last
	pad     int
}

func (c *count) handle(ctx context.Context, to int) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		defer func() { c.ended <- ctx.Err() }()
		for i := range to {
			if !yield(Answer{fmt.Sprint(i+1) + strings.Repeat(" ", c.pad)}, nil) {
				return
			}
			c.yielded.Add(1)
		}
		if c.err != nil {
			yield(Answer{}, c.err)
		}
	}
}

func counting(t *testing.T, opts ...patterns.Option) (*count, *reqrep.Service, string) {
	c := &count{ended: make(chan error, 9)}
	s, addr := serve(t, append(opts, silent())...)
	require.NoError(t, reqrep.HandleStream(s, "count", c.handle))
	return c, s, addr
}

// collect returns what came, and the error.
func collect(ctx context.Context, c *reqrep.Client, to int, opts ...reqrep.CallOption) (items []string, err error) {
	for a, e := range reqrep.Stream[int, Answer](ctx, c, "count", to, opts...) {
		if e != nil {
			err = e
		} else {
			items = append(items, strings.TrimSpace(a.Text))
		}
	}
	return items, err
}

func numbers(n int) (want []string) {
	for i := range n {
		want = append(want, fmt.Sprint(i+1))
	}
	return want
}

func TestStream(t *testing.T) {
	t.Parallel()
	note := func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			if *d.Value.(*int) == 13 {
				return reqrep.Errorf("unlucky", "not 13")
			}
			return next(ctx, d)
		}
	}
	c, s, addr := counting(t, patterns.WithMiddleware(note), patterns.WithConcurrency(1))
	client := dial(t, nil, addr)
	for _, n := range []int{0, 1, 63, 64, 65, 1000} {
		items, err := collect(within(t), client, n)
		assert.NoError(t, err)
		assert.Equal(t, numbers(n), items)
		assert.NoError(t, <-c.ended)
	}
	c.pad = 100
	for _, w := range [][2]int{{1, 1}, {1, 1 << 20}, {1 << 20, 1}, {7, 300}} {
		items, err := collect(within(t), client, 50, reqrep.WithStreamWindow(w[0], w[1]))
		assert.NoError(t, err)
		assert.Equal(t, numbers(50), items)
		<-c.ended
	}
	items, err := collect(within(t), client, 13)
	assert.Empty(t, items)
	assert.EqualError(t, err, "stream count: unlucky: not 13")
	c.err = reqrep.Errorf("dry", "no more")
	items, err = collect(within(t), client, 5)
	assert.Equal(t, numbers(5), items)
	assert.EqualError(t, err, "stream count: dry: no more")
	assert.Equal(t, "count", s.Info().Methods[0].Name)
	assert.True(t, s.Info().Methods[0].Streams)
	assert.Zero(t, client.Counts().InHand)
}

// A method that does not stream has one item; one that does cannot be called.
func TestStreamOfWhatDoesNot(t *testing.T) {
	t.Parallel()
	_, _, addr := counting(t)
	client := dial(t, nil, addr)
	var got []string
	for a, err := range reqrep.Stream[Question, Answer](within(t), client, "echo", Question{"one"}) {
		require.NoError(t, err)
		got = append(got, a.Text)
	}
	assert.Equal(t, []string{"one"}, got)
	_, err := reqrep.Call[int, Answer](within(t), client, "count", 3)
	answer, _ := errors.AsType[*reqrep.Error](err)
	require.NotNil(t, answer, "%v", err)
	assert.Equal(t, reqrep.CodeBadRequest, answer.Code)
	for _, err := range reqrep.Stream[int, Answer](within(t), client, "no such", 3) {
		assert.ErrorContains(t, err, "unknown_method")
	}
	for _, err := range reqrep.Stream[int, Answer](within(t), dial(t, nil), "count", 3) {
		assert.ErrorIs(t, err, socket.ErrNoPeer)
	}
}

// While the loop takes nothing, no more than the window is under way, and the handler waits.
func TestStreamWaitsForItsCaller(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		opt   reqrep.CallOption
		pad   int
		ahead int64
	}{
		"items": {opt: reqrep.WithStreamWindow(10, 1<<20), ahead: 10},
		"bytes": {opt: reqrep.WithStreamWindow(1000, 1000), pad: 100, ahead: 10},
		"one":   {opt: reqrep.WithStreamWindow(1, 1), ahead: 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _, addr := counting(t)
			c.pad = test.pad
			client := dial(t, nil, addr)
			taken := int64(0)
			for _, err := range reqrep.Stream[int, Answer](within(t), client, "count", 200, test.opt) {
				require.NoError(t, err)
				taken++
				if taken == 50 {
					_, err := reqrep.Ping(within(t), client)
					require.NoError(t, err)
				}
				assert.LessOrEqual(t, c.yielded.Load(), taken+test.ahead, "after %d", taken)
			}
			assert.EqualValues(t, 200, taken)
		})
	}
}

func TestStreamEndsForTheService(t *testing.T) {
	t.Parallel()
	const endless = 1 << 30
	c, s, addr := counting(t)
	client := dial(t, nil, addr)

	for range reqrep.Stream[int, Answer](within(t), client, "count", endless) {
		break
	}
	assert.ErrorIs(t, <-c.ended, context.Canceled, "the loop was left")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var last error
	for _, err := range reqrep.Stream[int, Answer](ctx, client, "count", endless) {
		cancel()
		last = err
	}
	assert.ErrorIs(t, last, context.Canceled)
	assert.ErrorIs(t, <-c.ended, context.Canceled)

	untilReached(t, c.ended, func(ctx context.Context) {
		_, err := collect(ctx, client, endless)
		assert.ErrorIs(t, err, socket.ErrTimeout)
	})

	gone := reqrep.NewClient()
	require.NoError(t, gone.Connect(addr))
	for _, err := range reqrep.Stream[int, Answer](within(t), gone, "count", endless) {
		require.NoError(t, err)
		break
	}
	<-c.ended
	left := make(chan error, 1)
	for _, err := range reqrep.Stream[int, Answer](within(t), gone, "count", endless) {
		if err != nil {
			left <- err
			break
		}
		gone.Close()
	}
	assert.ErrorIs(t, <-left, socket.ErrClosed)
	assert.ErrorIs(t, <-c.ended, context.Canceled, "its caller has gone")
	require.Eventually(t, func() bool { return s.Counts().InHand == 0 }, time.Minute, time.Millisecond)
}

// The context of a handler has ended wherever yield returns false, whatever ended the stream, and the caller is told what did.
func TestStreamsThatEndThemselves(t *testing.T) {
	t.Parallel()
	dry := reqrep.Errorf("dry", "no more")
	for _, last := range []struct {
		text string
		err  error
		code reqrep.Code
	}{{strings.Repeat("x", 3000), nil, reqrep.CodeTooLarge}, {"", dry, dry.Code}} {
		s, addr := serve(t, silent())
		ended := make(chan error, 1)
		require.NoError(t, reqrep.HandleStream(s, "pour", func(ctx context.Context, _ Question) iter.Seq2[Answer, error] {
			return func(yield func(Answer, error) bool) {
				assert.True(t, yield(Answer{"first"}, nil))
				assert.NoError(t, ctx.Err())
				assert.False(t, yield(Answer{last.text}, last.err))
				ended <- ctx.Err()
			}
		}))
		client := dial(t, []patterns.Option{patterns.WithSocketOptions(socket.WithMaxMessageSize(2000))}, addr)
		var answer *reqrep.Error
		for _, err := range reqrep.Stream[Question, Answer](within(t), client, "pour", Question{}) {
			errors.As(err, &answer)
		}
		require.NotNil(t, answer)
		assert.Equal(t, last.code, answer.Code)
		assert.ErrorIs(t, <-ended, context.Canceled)
	}
}

func TestStreamOfAnInstanceThatDies(t *testing.T) {
	t.Parallel()
	_, s, addr := counting(t)
	client := dial(t, nil, addr)
	n := 0
	var last error
	for _, err := range reqrep.Stream[int, Answer](within(t), client, "count", 1<<30) {
		if n++; n == 10 {
			s.Close()
		}
		last = err
	}
	assert.ErrorIs(t, last, socket.ErrPeerGone)
	assert.GreaterOrEqual(t, n, 10)
}

// What a service may do wrong in a stream ends it with an error, and the service is told, also while it goes on.
func TestHostileStream(t *testing.T) {
	t.Parallel()
	item := func(n string) []codec.Header { return []codec.Header{{Key: "stream-item", Value: n}} }
	end := func(n string) []codec.Header { return []codec.Header{{Key: "stream-end", Value: n}} }
	tests := map[string]struct {
		replies [][]codec.Header
		want    error
		items   int
	}{
		"a gap":              {[][]codec.Header{item("1"), item("3")}, reqrep.ErrGap, 1},
		"twice":              {[][]codec.Header{item("1"), item("1")}, reqrep.ErrGap, 1},
		"the end is missing": {[][]codec.Header{item("1"), end("2")}, reqrep.ErrGap, 1},
		"no number":          {[][]codec.Header{item("-1")}, patterns.ErrMalformed, 0},
		"no number of items": {[][]codec.Header{end("x")}, patterns.ErrMalformed, 0},
		"a plain reply":      {[][]codec.Header{item("1"), nil}, patterns.ErrMalformed, 1},
		"more than wanted":   {[][]codec.Header{item("1"), item("2"), item("3"), item("4")}, patterns.ErrMalformed, 3}, // one may have been taken
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := reqrep.NewClient(silent())
			defer client.Close()
			addr, err := client.Bind("tcp://127.0.0.1:0")
			require.NoError(t, err)
			service := socket.NewDealer(socket.WithProperty("X-Mesh-Calls", "1"))
			defer service.Close()
			require.NoError(t, service.Connect(addr))
			require.NoError(t, client.WaitPeers(within(t), 1))
			replied := make(chan struct{})
			go func() { // ends with its replies
				defer close(replied)
				m, err := service.Recv(within(t))
				if !assert.NoError(t, err) {
					return
				}
				var request codec.Envelope
				assert.NoError(t, request.Decode(m.Bytes()))
				assert.Equal(t, "2/1048576", request.Header("window"))
				body, _ := codec.Msgpack.Append(nil, Answer{})
				for _, headers := range test.replies {
					e := codec.Envelope{CausationID: request.ID, Codec: "msgpack", Body: body, Headers: headers}
					frame, err := e.Append(nil)
					assert.NoError(t, err)
					assert.NoError(t, service.Send(within(t), frame))
				}
			}()
			var last error
			n := 0
			for _, err := range reqrep.Stream[int, Answer](within(t), client, "count", 5, reqrep.WithStreamWindow(2, 1<<20)) {
				<-replied // and arrived, so that it is ahead of the loop
				require.Eventually(t, func() bool { return client.Counts().Malformed == 1 }, time.Minute, time.Millisecond)
				if err != nil {
					last = err
				} else {
					n++
				}
			}
			assert.ErrorIs(t, last, test.want)
			assert.LessOrEqual(t, n, test.items)
			for {
				m, err := service.Recv(within(t))
				require.NoError(t, err)
				var e codec.Envelope
				require.NoError(t, e.Decode(m.Bytes()))
				if e.Type == "$cancel" {
					break
				}
				assert.Equal(t, "$taken", e.Type)
			}
		})
	}
}

// Where a middleware lets a stream's handler run on, what that sends goes to who asked still, also if the request had no body.
func TestStreamAfterItsMiddleware(t *testing.T) {
	t.Parallel()
	begun, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	leave := func(next patterns.Handler) patterns.Handler {
		return func(ctx context.Context, d *patterns.Delivery) error {
			if d.Name != "late" {
				return next(ctx, d)
			}
			go func() { // ended below
				err := errors.New("it panicked")
				defer func() { _ = recover(); ended <- err }()
				err = next(context.WithoutCancel(ctx), d)
			}()
			<-begun
			return nil
		}
	}
	s, addr := serve(t, patterns.WithMiddleware(leave), patterns.WithConcurrency(1))
	require.NoError(t, reqrep.HandleStream(s, "late", func(context.Context, []byte) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			close(begun)
			<-goOn
			yield([]byte("item"), nil)
		}
	}))
	client := socket.NewDealer()
	defer client.Close()
	require.NoError(t, client.Connect(addr))
	request := codec.Envelope{ID: codec.NewID(), Type: "late", Codec: "raw", Headers: []codec.Header{{Key: "window", Value: "1/1"}}}
	frame, err := request.Append(nil)
	require.NoError(t, err)
	frame[0]--                   // one element less than it had:
	frame = frame[:len(frame)-2] // the body, of no bytes
	require.NoError(t, client.Send(within(t), frame))
	_, err = client.Recv(within(t)) // the end of the stream
	require.NoError(t, err)
	_, err = ask(t, dial(t, nil, addr), "echo", "") // for which there was no handler before that of the stream was done with
	require.NoError(t, err)
	close(goOn)
	require.NoError(t, <-ended)
	m, err := client.Recv(within(t))
	require.NoError(t, err)
	var item codec.Envelope
	require.NoError(t, item.Decode(m.Bytes()))
	assert.Equal(t, "item", string(item.Body))
}
