package socket_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// RFC 27: who asks again after a 300 may come in later. A libzmq server tells its client nothing: it closes the connection if its handler had answered at
// once, and else keeps it in silence until ZMQ_HANDSHAKE_IVL, half a minute unless it is set, as its engine looks for errors only where the
// answer was no surprise. So all that we can know is that it does not answer, and all there is to do is to try again, less and less often.
func TestInteropLater(t *testing.T) {
	t.Parallel()
	process := startLibzmq(t)
	for _, l := range []lock{curveServerIsTheirs(), plainServerIsTheirs()} {
		l.theirs["ZAP"], l.theirs["HANDSHAKE_IVL"] = "300 300 200", 2000
		ours, theirs := openWith(t, process, pairing{ours: "PUSH", theirs: "PULL"}, l.theirs, append(l.ours, socket.WithReconnect(time.Millisecond, time.Hour))...)
		ours.connect(theirs.bind(freshEndpoint(t, "tcp")))
		for range 2 {
			requireReason(t, ours.awaitEvent(socket.HandshakeFailed).Err, zmtp.Unanswered, "300")
			assert.Less(t, ours.awaitEvent(socket.Retrying).RetryIn, 10*time.Millisecond, "the pause of who will not be let in is half an hour")
		}
		ours.awaitEvent(socket.Connected)
		ours.send(text("at last"))
		requireFrames(t, bodies("at last"), theirs.recv())
	}
}

// A server that has our password and neither answers nor closes is a timeout, which says what may be behind it.
func TestAuth_Unanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := &events{}
		push := socket.NewPush(socket.WithPlainClient("user", "password"), ev.option())
		defer push.Close()
		near, far := net.Pipe()
		require.NoError(t, push.Attach(near))
		p := sockettest.NewRaw(t, far)
		p.SendGreeting(1, "PLAIN")
		p.ReadGreeting()
		p.ExpectCommand(zmtp.CommandHello)
		p.ExpectClosed()
		synctest.Wait()
		failed := ev.of(socket.HandshakeFailed)
		require.Len(t, failed, 1)
		assert.EqualError(t, failed[0].Err, "no handshake within WithHandshakeTimeout: no answer to our credentials: a libzmq whose ZAP handler has us try later (300) says nothing")
		assert.Equal(t, socket.RefusedTimeout, failed[0].Refusal)
		assert.Equal(t, map[socket.Refusal]uint64{socket.RefusedTimeout: 1}, push.Stats().Refused)
	})
}
