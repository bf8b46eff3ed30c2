package socket

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// lateDetach takes its time to let go of the first peer.
type lateDetach struct {
	pattern
	begun, goOn chan struct{}
}

func (l *lateDetach) detach(p *pipe) {
	select {
	case <-l.begun:
	default:
		close(l.begun)
		<-l.goOn
	}
	l.pattern.detach(p)
}

// A receiver that connects anew while we see the end of its connection before is given nothing until what is open on that is back: it goes out before anything newer.
func TestWays_ReceiverThatConnectsWhileItsEndIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		push := NewPush(WithAck(), WithAttempts(0), WithHeartbeat(0, 0))
		defer push.Close()
		late := &lateDetach{push.pat, make(chan struct{}), make(chan struct{})}
		push.pat = late
		at, err := push.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		connect := func() *sockettest.RawPeer {
			endpoint, err := transport.ParseConnect(at)
			require.NoError(t, err)
			conn, err := endpoint.Dial(t.Context())
			require.NoError(t, err)
			raw := sockettest.NewRaw(t, conn)
			raw.Handshake("PULL", 1, sockettest.Property{Name: zmtp.PropertyAck, Value: "1 receive way=00000000000000ff"})
			raw.Write(zmtp.AppendCredit(nil, 10, 1<<20))
			synctest.Wait()
			return raw
		}
		send := func(body string) { require.NoError(t, push.Send(t.Context(), []byte(body))) }
		old := connect()
		send("1")
		send("2")
		old.Close()
		<-late.begun
		anew := connect()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			send("3")
		}()
		synctest.Wait()
		close(late.goOn)
		<-sent
		var got []string
		for len(got) < 3 {
			if f := anew.ReadFrame(); f.Flags&zmtp.FlagCommand == 0 {
				got = append(got, string(f.Body))
			}
		}
		assert.Equal(t, []string{"1", "2", "3"}, got)
		anew.Write(zmtp.AppendAck(nil, 3, nil))
		require.NoError(t, push.WaitAcked(t.Context()))
	})
}
