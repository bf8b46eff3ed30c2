package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// The tests of this file are about time. They run meshmq in a bubble, where it passes only when there is nothing
// else to do, with peers in the same process, which are no network that a bubble would wait for. Who waits for a message
// has two peers: with a sole one its connection waits for it at a mutex, which is something to do for a bubble.
const name = "inproc://meshmq"

var bubbles atomic.Int64

// bubble runs a test in a bubble, with a name of its own.
func bubble(t *testing.T, test func(t *testing.T, name string)) {
	t.Helper()
	own := fmt.Sprint(name, bubbles.Add(1))
	synctest.Test(t, func(t *testing.T) { test(t, own) })
}

// twice returns two endpoints instead of one.
func twice(endpoint string) []string { return []string{endpoint + "/1", endpoint + "/2"} }

// background is a run of meshmq in this process.
type background struct {
	stdout, stderr *capture
	code           chan int
}

func execution(t *testing.T, stdin io.Reader, args ...string) *background {
	b := &background{newCapture(), newCapture(), make(chan int, 1)}
	go func() { b.code <- execute(t.Context(), args, stdin, b.stdout, b.stderr) }() // ends by itself: see wait
	return b
}

func (b *background) wait() result { return result{<-b.code, b.stdout.String(), b.stderr.String()} }

// TestWait: what moves puts off the end, and an open standard input does not.
func TestWait(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, name string) {
		router := socket.NewRouter()
		for _, ep := range twice(name) {
			_, err := router.Bind(ep)
			require.NoError(t, err)
		}
		go func() { // ends with the router
			for m := range router.Messages(context.Background()) {
				_ = router.Send(context.Background(), m.Frames...)
			}
		}()
		stdin, typed := io.Pipe()
		dealer := execution(t, stdin, "dealer", "-c", twice(name)[0], "-c", twice(name)[1], "--wait", "2s", "--verbose")
		var last time.Time
		for _, line := range []string{"first", "second", "third"} {
			<-time.After(1999 * time.Millisecond)
			last = time.Now()
			_, err := io.WriteString(typed, line+"\n")
			require.NoError(t, err)
			synctest.Wait()
			require.True(t, strings.HasSuffix(dealer.stdout.String(), line+"\n"), dealer.stdout)
		}
		r := dealer.wait()
		assert.Equal(t, 2*time.Second, time.Since(last))
		assert.Zero(t, r.code, r.stderr)
		assert.Equal(t, "first\nsecond\nthird\n", r.stdout)
		assert.Contains(t, r.stderr, "3 messages sent, 3 received")
		require.NoError(t, typed.Close())
		require.NoError(t, router.Close())
	})
}

// TestWaitWithoutCount: silence is the end, and no failure.
func TestWaitWithoutCount(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, name string) {
		pull := execution(t, strings.NewReader(""), "pull", "-b", name, "--wait", "2s")
		push := execution(t, strings.NewReader(""), "push", "-c", name, "one")
		assert.Equal(t, result{0, "", ""}, push.wait())
		assert.Equal(t, result{0, "one\n", "listening " + name + "\n"}, pull.wait())
	})
}

// TestExitCodes of what takes too long, or ends early.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	const peer, mute = "PEER", "MUTE" // one that takes everything and says nothing, and one that has nothing to say
	tests := []struct {
		args string
		code int
		says string
	}{
		{"push -c " + nobody + " --timeout 300ms a b", 4, "2 accepted but not handed over"},
		{"push -b " + name + " --timeout 300ms a", 4, "no peer"},
		{"pull -b " + name + " --timeout 300ms", 4, "no peer (none was ever connected)"},
		{"pull -c " + mute + " --timeout 300ms", 3, "timeout after 300ms: 0 messages sent, 0 received"},
		{"pull -c " + mute + " --wait 300ms", 0, ""},
		{"pull -c " + mute + " --wait 300ms --count 1", 3, "no message for 300ms"},
		{"pull -b " + name + " --wait 300ms --count 1", 4, "no peer"},
		{"sub -c " + nobody + " --timeout 300ms", 4, "connection refused"},
		{"sub -c " + mute + " --timeout 300ms", 4, "handshake"},
		{"pub -b " + name + " --topic t --wait-subscribers 1 --timeout 300ms x", 4, "no peer"},
		{"pub -b " + name + " --topic t x", 0, ""},
		{"pub -b " + name + " --topic t --interval 10ms --timeout 300ms x", 4, "messages sent"},
		{"req -c " + nobody + " --timeout 300ms x", 4, "no peer"},
		{"req -c " + peer + " --timeout 300ms x", 3, "1 message sent, 0 received"},
		{"rep -b " + name + " --echo --timeout 300ms", 4, "no peer"},
		{"pair -c " + nobody + " --timeout 300ms x", 4, "1 accepted but not handed over"},
		{"pair -b " + name + " --wait 300ms x", 4, "no message for 300ms"},
		{"dealer -c " + peer + " --count 1 --timeout 300ms x", 3, "1 message sent"},
		{"dealer -c " + peer + " x", 0, ""},
		{"router -b " + name + " --echo --timeout 300ms", 4, "no peer"},
		{"push -c " + nobody + " -q --timeout 300ms a", 4, "no peer"},
		{"proxy --type queue --frontend " + name + " --connect-backend " + nobody + " --timeout 100ms", 4, "timeout after 100ms: no peer (connect " + nobody},
		{"proxy --type streamer --connect-frontend " + mute + " --backend " + name + " --timeout 2s", 3, "frontend 1 in (1 bytes)"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, own string) {
				silent, pusher := socket.NewRouter(), socket.NewPush()
				args := strings.Fields(strings.ReplaceAll(tt.args, name, own))
				for ep, s := range map[string]interface{ Bind(string) (string, error) }{peer: silent, mute: pusher} {
					if i := slices.Index(args, ep); i > 0 {
						args = slices.Replace(args, i, i+1, twice(own)[0], args[i-1], twice(own)[1])
						for _, ep := range twice(own) {
							_, err := s.Bind(ep)
							require.NoError(t, err)
						}
					}
				}
				if args[0] == "proxy" {
					go func() { _ = pusher.Send(t.Context(), []byte("x")) }() // ends when the proxy has it, or with the test
				}
				r := execution(t, strings.NewReader(""), args...).wait()
				assert.Equal(t, tt.code, r.code, r.stderr)
				assert.Contains(t, r.stderr, tt.says)
				assert.Empty(t, r.stdout)
				if slices.Contains(args, "-q") {
					assert.Len(t, lines(r.stderr), 1, r.stderr)
				}
				require.NoError(t, silent.Close())
				require.NoError(t, pusher.Close())
			})
		})
	}
}

// TestUnknownHost is said, for it may be a slip.
func TestUnknownHost(t *testing.T) {
	t.Parallel()
	start(t, "push", "-c", "tcp://nohost.invalid:1", "a").says("connect tcp://nohost.invalid:1: lookup nohost.invalid")
}
