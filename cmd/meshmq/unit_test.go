package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"runtime/debug"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/socket"
)

// collect returns the messages of a sequence, with frames joined, and its error.
func collect(messages iter.Seq2[[][]byte, error]) (all []string, err error) {
	for frames, err := range messages {
		if err != nil {
			return all, err
		}
		var text []string
		for _, f := range frames {
			text = append(text, string(f))
		}
		all = append(all, strings.Join(text, "|"))
	}
	return all, nil
}

func TestInputErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	var in input
	all, err := collect(in.all(t.Context(), iotest.TimeoutReader(strings.NewReader("a\nb")), 0))
	assert.ErrorIs(t, err, iotest.ErrTimeout)
	assert.ErrorContains(t, err, "standard input")
	assert.Equal(t, []string{"a", "b"}, all)
	_, err = collect(in.all(t.Context(), iotest.ErrReader(broken), 0))
	assert.ErrorIs(t, err, broken)
}

// zeros is an endless line.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestInputLongestLine: a line may be as long as a message, without its line feed; the error for a longer one says so.
func TestInputLongestLine(t *testing.T) {
	t.Parallel()
	const longest = 100000
	lines := readLines(io.MultiReader(io.LimitReader(zeros{}, longest), strings.NewReader("\nnext\n")), longest)
	l := <-lines
	assert.NoError(t, l.err)
	assert.Len(t, l.text, longest)
	assert.Equal(t, "next", string((<-lines).text))
	assert.Equal(t, io.EOF, (<-lines).err)
	assert.ErrorContains(t, (<-readLines(zeros{}, longest)).err, "a line is longer than 100000 bytes")
}

// TestInputInterval: messages are spaced, and repeated until ctx ends.
func TestInputInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 3500*time.Millisecond, errTimeout)
		defer cancel()
		in := input{interval: time.Second, messages: [][][]byte{{[]byte("a")}, {[]byte("b"), []byte("c")}}}
		all, err := collect(in.all(ctx, nil, 0))
		assert.Equal(t, []string{"a", "b|c", "a", "b|c"}, all)
		assert.ErrorIs(t, err, errTimeout)
		assert.Equal(t, 3500*time.Millisecond, time.Since(start))
	})
}

// TestEvents: each trouble is told once until it is over or another.
func TestEvents(t *testing.T) {
	t.Parallel()
	refused, unknown := errors.New("dial tcp://a:1: connection\nrefused"), errors.New("no such host")
	retry := func(ep string, err error) socket.Event {
		return socket.Event{Kind: socket.Retrying, Endpoint: ep, Err: err, RetryIn: time.Second}
	}
	seq := []struct {
		event socket.Event
		want  string
	}{
		{socket.Event{Kind: socket.Listening, Endpoint: "tcp://b:2"}, "listening tcp://b:2\n"},
		{retry("tcp://a:1", refused), "connect tcp://a:1: connection refused, retrying\n"},
		{retry("tcp://a:1", refused), ""},
		{retry("tcp://c:3", unknown), "connect tcp://c:3: no such host, retrying\n"},
		{retry("tcp://a:1", unknown), "connect tcp://a:1: no such host, retrying\n"},
		{socket.Event{Kind: socket.Connected, Endpoint: "tcp://a:1"}, ""},
		{retry("tcp://a:1", nil), ""},
		{retry("tcp://a:1", refused), "connect tcp://a:1: connection refused, retrying\n"},
		{socket.Event{Kind: socket.Dropped, Endpoint: "tcp://a:1", Count: 3, Reason: socket.DropPeerGone}, "dropped tcp://a:1 3 (peer gone)\n"},
		{socket.Event{Kind: socket.Unbound, Endpoint: "tcp://b:2"}, ""},
	}
	var out strings.Builder
	ev := events{w: &out}
	seen, _ := ev.peerSeen()
	assert.False(t, seen)
	for _, step := range seq {
		out.Reset()
		ev.handle(step.event)
		assert.Equal(t, step.want, out.String())
	}
	seen, last := ev.peerSeen()
	assert.True(t, seen)
	assert.Equal(t, "connect tcp://a:1: connection refused, retrying", last)

	quiet := events{w: &out, quiet: true}
	out.Reset()
	quiet.handle(seq[1].event)
	assert.Empty(t, out.String())
	loud := events{w: &out, verbose: true}
	loud.handle(seq[6].event)
	assert.Equal(t, "retrying tcp://a:1 in 1s\n", out.String())
}

func TestVersionText(t *testing.T) {
	t.Parallel()
	info := &debug.BuildInfo{GoVersion: "go1.26", Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.modified", Value: "true"},
	}}
	assert.Equal(t, "meshmq v1.2.3\ncommit abc with changes\ngo1.26\nZMTP 3.1\n", versionText(info))
}
