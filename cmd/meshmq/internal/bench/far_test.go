package bench

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// dyingPeer is a far side that is killed at work.
func dyingPeer(what string) {
	var p Peer
	if err := json.Unmarshal([]byte(what), &p); err != nil {
		panic(err)
	}
	time.AfterFunc(100*time.Millisecond, func() {
		self, _ := os.FindProcess(os.Getpid())
		_ = self.Kill()
	})
	_ = p.Run(context.Background(), os.Stdin, os.Stdout)
}

func TestRun_SaysThatTheFarSideDied(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	for _, pattern := range Patterns {
		t.Run(pattern, func(t *testing.T) {
			t.Parallel()
			c := quick()
			c.Patterns, c.Transport, c.Sizes, c.Duration, c.Self = []string{pattern}, "tcp", []int{100}, time.Hour, self
			assert.ErrorContains(t, Run(t.Context(), c, nil), "the far side ended: ")
		})
	}
}

// TestFar_FailureEndsTheNearSide: who waits for messages of a far side that failed does not wait for ever.
func TestFar_FailureEndsTheNearSide(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull()
	other, err := quick().startFar(t.Context(), pull, Peer{Kind: kindPush, Endpoint: "nowhere"})
	require.NoError(t, err)
	_, err = pull.Recv(t.Context())
	assert.ErrorIs(t, err, socket.ErrClosed)
	assert.ErrorContains(t, other.end(), "nowhere")
}

// TestFar_AnswersThatNobodyWaitsFor do not keep it from ending.
func TestFar_AnswersThatNobodyWaitsFor(t *testing.T) {
	t.Parallel()
	outR, outW := io.Pipe()
	other := watch(socket.NewPull(), struct {
		io.Writer
		io.Closer
	}{io.Discard, outW}, outR, func() error { return nil }, func() {})
	_, err := io.WriteString(outW, `{"error":"it is broken"} {"messages":1} {"messages":2} {"messages":3}`)
	require.NoError(t, err)
	<-other.over
	assert.EqualError(t, other.end(), "it is broken")
}
