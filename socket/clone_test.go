package socket_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/transport/transporttest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// Row 23 of the fault plan, where the receiver has no window: a copy of a spool is at work beside it. The one that comes second is refused, with
// an event and the reason to it, as long as the first is connected, whichever end connects, and whether the copy was made while the spool was in use, or closed, so that both go on with the
// same incarnation; nothing of the first is lost or held up.
func TestClone_SecondIsRefused(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		for end, meet := range map[string]func(t *testing.T, s, receiver connector){
			"the sender connects":   func(t *testing.T, s, r connector) { require.NoError(t, s.Connect(bind(t, r, "tcp://127.0.0.1:0"))) },
			"the receiver connects": func(t *testing.T, s, r connector) { require.NoError(t, r.Connect(bind(t, s, "tcp://127.0.0.1:0"))) },
		} {
			for _, made := range []cloneMade{whileInUse, whenClosed} {
				t.Run(string(made)+", "+end, func(t *testing.T) {
					t.Parallel()
					refusesClone(t, w, made, meet)
				})
			}
		}
	})
}

// cloneMade is when a copy of a spool was made.
type cloneMade string

const (
	whileInUse cloneMade = "in use"
	whenClosed cloneMade = "closed"
)

func refusesClone(t *testing.T, w way, made cloneMade, meet func(t *testing.T, s, receiver connector)) {
	dir, copied := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "copy")
	ev, told := &events{}, &events{}
	receiver := w.receiver(socket.WithManualAck(), socket.WithAckDelay(0), swift(), ev.option())
	original := w.open(t, dir)
	sendLetters(t, original, 1, 1) // both have it
	require.NoError(t, original.Flush(limit(t)))
	if made == whenClosed {
		_ = original.Close() // a queue says that a message stays
	}
	require.NoError(t, os.CopyFS(copied, os.DirFS(dir)))
	if made == whenClosed {
		original = w.open(t, dir)
	}
	clone := w.open(t, copied, told.option())
	require.Equal(t, original.log.ID(), clone.log.ID())
	require.Equal(t, made == whenClosed, original.log.Incarnation() == clone.log.Incarnation())
	require.NoError(t, clone.Send(limit(t), letter(2, cloneLife)))
	closing(t, receiver, original, clone)

	meet(t, original, receiver)
	meet(t, original, receiver)
	require.Eventually(t, func() bool { return len(ev.of(socket.Connected)) == 2 }, sockettest.Timeout, time.Millisecond, "more connections of one sender are no copies")
	requireLetter(t, recv(t, receiver), 1)
	meet(t, clone, receiver)
	require.Eventually(t, func() bool {
		all := append(told.of(socket.HandshakeFailed), told.of(socket.Disconnected)...) // by how far its handshake was
		return slices.ContainsFunc(all, func(e socket.Event) bool {
			return e.Err != nil && tells(e.Err.Error())
		})
	}, sockettest.Timeout, time.Millisecond, "the clone is told")
	for _, e := range ev.of(socket.HandshakeFailed) {
		require.ErrorIs(t, e.Err, socket.ErrStream)
		require.Equal(t, socket.RefusedStream, e.Refusal)
	}
	require.Eventually(t, func() bool { return receiver.Stats().Refused[socket.RefusedStream] >= 2 }, sockettest.Timeout, time.Millisecond)
	sendLetters(t, original, 2, 2)
	requireLetter(t, recv(t, receiver), 2)
	assert.Empty(t, ev.of(socket.Disconnected))

	require.NoError(t, original.waitSettled(limit(t), 2))
	require.NoError(t, original.Close())
	requireLetter(t, recv(t, receiver), 1) // nothing tells the receiver that it is the same: for that there are windows
	m := recv(t, receiver)
	number, life, _ := openLetterOf(m)
	require.Equal(t, [2]uint64{2, cloneLife}, [2]uint64{number, life})
	require.NoError(t, m.Ack())
	require.NoError(t, clone.waitSettled(limit(t), 2))
}

// cloneLife marks the letters of a clone.
const cloneLife = 23

// tells reports whether a peer is told why: in an ERROR command there are no spaces.
func tells(s string) bool {
	return strings.Contains(strings.ReplaceAll(s, "_", " "), socket.ErrStream.Error())
}

const (
	oneLife     = "1 send stream=000102030405060708090a0b0c0d0e0f-0000000000000001"
	anotherLife = "1 send stream=000102030405060708090a0b0c0d0e0f-0000000000000002"
)

// rawSender is a PUSH that connects within a bubble and offers this in READY.
func rawSender(t *testing.T, endpoint, offer string, more ...sockettest.Property) *sockettest.RawPeer {
	raw := dialInproc(t, endpoint)
	raw.SendGreeting(1, "NULL")
	raw.ReadGreeting()
	raw.SendReady(append(more, sockettest.Property{Name: "Socket-Type", Value: "PUSH"}, sockettest.Property{Name: "X-Mesh", Value: "1"},
		sockettest.Property{Name: "X-Mesh-Ack", Value: offer})...)
	synctest.Wait()
	return raw
}

// A sender that began anew while its old connection is not known to have ended gets in when that has been silent for a while; if it answers, that was no old connection, and
// the sender is told so.
func TestClone_OldConnectionsOfOneThatBeganAnew(t *testing.T) {
	for name, answers := range map[string]bool{"gone": false, "there": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ev := &events{}
				pull := socket.NewPull(socket.WithAck(), socket.WithHeartbeat(0, 0), ev.option())
				defer pull.Close()
				endpoint, err := pull.Bind("inproc://" + t.Name())
				require.NoError(t, err)
				enter := func(offer string) *sockettest.RawPeer { return rawSender(t, endpoint, offer) }
				old := enter(oneLife)
				require.Len(t, ev.of(socket.Connected), 1)
				enter(oneLife).Close()
				synctest.Wait()
				require.Len(t, ev.of(socket.Connected), 2, "a second connection of one life")

				assert.NotContains(t, string(enter(anotherLife).ExpectClosed()), "ERROR", "not a word, so that it comes back soon")
				old.ReadReady()
				old.ExpectCommand("CREDIT")
				old.ExpectCommand("PING")
				if answers {
					old.SendCommand("PONG", nil)
				}
				after(11 * time.Second)
				second := enter(anotherLife)
				if answers {
					assert.True(t, tells(string(second.ExpectClosed())))
					assert.Len(t, ev.of(socket.Disconnected), 1, "the old one is there")
					old.Close()
				} else {
					assert.NotContains(t, string(second.ExpectClosed()), "ERROR")
					assert.Len(t, ev.of(socket.Disconnected), 2, "the old one is not")
				}
				synctest.Wait()
				enter(anotherLife).Close()
				synctest.Wait()
				assert.Len(t, ev.of(socket.Connected), 3)
				assert.EqualValues(t, 2, pull.Stats().Refused[socket.RefusedStream])
			})
		})
	}
}

// That a sender was there when it was asked says nothing of later: it, too, may begin anew and leave an old connection behind.
func TestClone_WasThereOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := &events{}
		pull := socket.NewPull(socket.WithAck(), socket.WithHeartbeat(0, 0), ev.option())
		defer pull.Close()
		endpoint, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		enter := func(offer string) *sockettest.RawPeer { return rawSender(t, endpoint, offer) }
		old := enter(oneLife)
		enter(anotherLife).Close()
		old.ReadReady()
		old.ExpectCommand("CREDIT")
		old.ExpectCommand("PING")
		old.SendCommand("PONG", nil)
		after(time.Hour)
		for range 2 { // it is asked again, and ended
			require.Len(t, ev.of(socket.Connected), 1)
			enter(anotherLife).Close()
			after(11 * time.Second)
		}
		enter(anotherLife).Close()
		synctest.Wait()
		require.Len(t, ev.of(socket.Connected), 2)
	})
}

// ACK.md, 5: a stream that a peer of another user claims to send, in another life, is another one. Neither is refused, asked for a sign of life, or ended for its silence.
func TestClone_OfAnotherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ev := &events{}
		pull := socket.NewPull(socket.WithAck(), socket.WithHeartbeat(0, 0), byName(), ev.option())
		defer pull.Close()
		endpoint, err := pull.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		enter := func(user, offer string) *sockettest.RawPeer {
			return rawSender(t, endpoint, offer, sockettest.Property{Name: "X-Name", Value: user})
		}
		joe := enter("joe", oneLife)
		for range 2 {
			ann := enter("ann", anotherLife)
			after(11 * time.Second)
			ann.SendMessage("of ann")
			synctest.Wait()
			m, err := pull.Recv(ended())
			require.NoError(t, err)
			assert.Equal(t, "ann", m.Peer().UserID())
		}
		assert.Empty(t, ev.of(socket.HandshakeFailed))
		assert.Empty(t, ev.of(socket.Disconnected))
		assert.Empty(t, pull.Stats().Refused)
		enter("joe", anotherLife).Close()
		assert.Len(t, ev.of(socket.HandshakeFailed), 1, "one of the same user is refused")
		joe.Close()
	})
}

// Nor is one of a peer whose certificate is of another name, where no authenticator gives peers names.
func TestClone_OfAnotherCertificate(t *testing.T) {
	t.Parallel()
	ca := transporttest.NewAuthority(t)
	pull := socket.NewPull(socket.WithAck(), socket.WithTLS(ca.Mutual("queue.example")), socket.WithHeartbeat(0, 0))
	closing(t, pull)
	await := watch(t, pull)
	at := hostPort(bind(t, pull, tlsAnywhere))
	enter := func(name, offer string) error {
		conn, err := net.Dial("tcp", at)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, err = enterWith(tls.Client(conn, clientOf(ca.Mutual(name))), "PUSH", nil, zmtp.Property{Name: zmtp.PropertyAck, Value: []byte(offer)})
		return err
	}
	require.NoError(t, enter("joe.example", oneLife))
	require.NoError(t, pull.WaitPeers(limit(t), 1))
	require.NoError(t, enter("ann.example", anotherLife))
	require.NoError(t, pull.WaitPeers(limit(t), 2))
	_ = enter("joe.example", anotherLife) // it may be refused before or after its handshake is done on its side
	assert.ErrorIs(t, await(socket.HandshakeFailed).Err, socket.ErrStream)
}
