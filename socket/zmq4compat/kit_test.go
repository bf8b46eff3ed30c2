package zmq4_test

import (
	"context"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	zmq4 "github.com/meshmq/meshmq/socket/zmq4compat"
)

func TestMain(m *testing.M) {
	if args := os.Getenv(programEnv); args != "" {
		os.Exit(runProgram(args, os.Stdout))
	}
	sockettest.LeakCheck(m)
}

// patience bounds every wait of a test.
const patience = time.Minute

// brief is the timeout of calls that are expected to fail by it.
const brief = 50 * time.Millisecond

// closing closes sockets at the end of the test.
func closing[S io.Closer](t *testing.T, sockets ...S) {
	for _, s := range sockets {
		t.Cleanup(func() {
			if err := s.Close(); err != nil { // some tests leave messages that nobody takes
				assert.ErrorContains(t, err, "messages were not sent")
			}
		})
	}
}

type constructor func(context.Context, ...zmq4.Option) zmq4.Socket

// open opens a socket for the test. Its calls are bounded.
func open(t *testing.T, construct constructor, opts ...zmq4.Option) zmq4.Socket {
	s := construct(context.Background(), append([]zmq4.Option{zmq4.WithTimeout(patience)}, opts...)...)
	closing(t, s)
	return s
}

// listen binds s and returns the endpoint for Dial.
func listen(t *testing.T, s zmq4.Socket) string {
	t.Helper()
	require.NoError(t, s.Listen("tcp://127.0.0.1:0"))
	return "tcp://" + s.Addr().String()
}

// join has the others dial s.
func join(t *testing.T, s zmq4.Socket, others ...zmq4.Socket) (endpoint string) {
	t.Helper()
	endpoint = listen(t, s)
	for _, o := range others {
		require.NoError(t, o.Dial(endpoint))
	}
	return endpoint
}

func send(t *testing.T, s zmq4.Socket, frames ...string) {
	t.Helper()
	require.NoError(t, s.Send(zmq4.NewMsgFromString(frames)))
}

func recv(t *testing.T, s zmq4.Socket, frames ...string) {
	t.Helper()
	require.Equal(t, frames, strings(t, s))
}

// strings receives a message.
func strings(t *testing.T, s zmq4.Socket) (frames []string) {
	t.Helper()
	m, err := s.Recv()
	require.NoError(t, err)
	for _, f := range m.Frames {
		frames = append(frames, string(f))
	}
	return frames
}

// subscribed waits until the subscribers of a PUB or XPUB want just these topics.
func subscribed(t *testing.T, pub zmq4.Socket, topics ...string) {
	t.Helper()
	require.Eventually(t, func() bool {
		return slices.Equal(pub.(zmq4.Topics).Topics(), topics)
	}, patience, time.Millisecond)
}

// unused is an endpoint that nobody listens on, nor will by chance.
func unused(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return "tcp://" + ln.Addr().String()
}
