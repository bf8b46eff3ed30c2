package socket_test

import (
	"context"
	"errors"
	"maps"
	"net"
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
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
	"github.com/meshmq/meshmq/transport/zmtp"
)

var receives = sockettest.Property{Name: "X-Mesh-Ack", Value: "1 receive"}

// TestDurable_RefusesInWordsWhoeverResumes: ERROR in place of RESUMED goes to clients of other makers, too (DURABLE.md, 4).
func TestDurable_RefusesInWordsWhoeverResumes(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"), socket.WithMaxDurables(1))
	defer pub.Close()
	resume := func(flags, name string) *sockettest.RawPeer {
		raw := sockettest.DialRaw(t, endpoint)
		raw.Handshake("SUB", 1, receives)
		raw.Subscribe("t")
		raw.SendCommand("RESUME", []byte(flags+"\x00\x04"+name))
		return raw
	}
	resume("\x00", "jobs").ExpectCommand("RESUMED")
	for why, raw := range map[string]*sockettest.RawPeer{
		`"logs": there are 1, WithMaxDurables allows no more`: resume("\x00", "logs"), "WithKeyOrder all, or none": resume("\x01", "jobs"),
	} {
		reason := raw.ExpectCommand("ERROR")
		assert.Equal(t, len(reason)-1, int(reason[0]))
		assert.Contains(t, strings.ReplaceAll(string(reason), "_", " "), why)
		raw.ExpectClosed()
	}
}

// TestDurable_HostileSubscribers: what breaks the rules ends the connection, is counted, makes no name and moves no position.
func TestDurable_HostileSubscribers(t *testing.T) {
	t.Parallel()
	pub, endpoint := logged(t, filepath.Join(t.TempDir(), "log"))
	defer pub.Close()
	publish(t, pub, 0, 3)
	good := "\x00\x00\x04name"
	for name, commands := range map[string][]string{
		"nothing": {""}, "flags": {"\x02\x00\x01a"}, "start": {"\x00\x04\x01a"}, "path": {"\x00\x00\x05../ab"}, "no name": {"\x00\x00\x00"},
		"long name": {"\x00\x00\x81" + strings.Repeat("a", 129)}, "more": {"\x00\x00\x01aa"}, "number": {"\x00\x02\x00\x01a"}, "twice": {good, good},
	} {
		raw := sockettest.DialRaw(t, endpoint)
		raw.Handshake("SUB", 1, receives)
		raw.Subscribe("t")
		for _, c := range commands {
			raw.SendCommand("RESUME", []byte(c))
		}
		raw.ExpectClosed()
		known := 0
		if name == "twice" || len(pub.Durables()) > 0 {
			known = 1
		}
		assert.Len(t, pub.Durables(), known, name)
	}
	raw := sockettest.DialRaw(t, endpoint) // acknowledges what it was not sent
	raw.Handshake("SUB", 1, receives)
	raw.Subscribe("t")
	raw.SendCommand("RESUME", []byte(good))
	raw.ExpectCommand("RESUMED")
	raw.Write(zmtp.AppendAck(nil, 3, nil))
	raw.ExpectClosed()
	awaitLag(t, pub, "name", 3)
	want := map[socket.Refusal]uint64{socket.RefusedProtocol: 9, socket.RefusedAck: 1}
	require.Eventually(t, func() bool { return maps.Equal(want, pub.Stats().Refused) }, time.Minute, time.Millisecond, "want %v", want)

	raw = sockettest.DialRaw(t, endpoint) // does not resume: gets nothing, of the log or live
	raw.Handshake("SUB", 1, receives)
	raw.Subscribe("t")
	raw.Write(zmtp.AppendCredit(nil, 100, 1<<20))
	require.NoError(t, pub.WaitSubscribers(limit(t), "t", 1))
	publish(t, pub, 3, 5)
	raw.ExpectSilence(20 * time.Millisecond)
	raw.SendCommand("RESUME", []byte(good))
	raw.ExpectCommand("RESUMED")
	raw.ExpectCommand("STREAM")
	assert.Equal(t, ordinal(0, 8), []byte(raw.ReadMessage()[1]))

	plain := sockettest.DialRaw(t, endpoint) // has not negotiated it: RESUME is an unknown command
	plain.Handshake("SUB", 1)
	plain.Subscribe("t")
	plain.SendCommand("RESUME", []byte{2})
	require.NoError(t, pub.WaitSubscribers(limit(t), "t", 2))
	publish(t, pub, 5, 6)
	assert.Equal(t, ordinal(5, 8), []byte(plain.ReadMessage()[1]))
}

// TestDurable_LyingSubscribers: what a member lies about acknowledgements and credit costs its connection, is counted, and moves no position: the others of its name keep what they have and get what
// it had, and other names are served meanwhile.
func TestDurable_LyingSubscribers(t *testing.T) {
	t.Parallel()
	const handled, sent, fellows = 2, 3, 2
	const all = handled + sent + fellows
	for _, typ := range publishers {
		for name, told := range receiverLies(sent) {
			t.Run(typ+"/"+name, func(t *testing.T) {
				t.Parallel()
				s := makers[typ](socket.WithSpool(filepath.Join(t.TempDir(), "log"), spool.Options{Policy: spool.OS}))
				closing(t, s)
				pub := s.(interface {
					sender
					Durables() []socket.DurableStats
				})
				endpoint := bind(t, s, "tcp://127.0.0.1:0")
				publish(t, pub, 0, all)
				handles(t, s, endpoint, "SUB", handled)
				bad := enlist(t, endpoint, "SUB", handled+1, sent)
				fellow := durable(t, endpoint, "name", spool.Beginning(), socket.WithAckCredit(fellows, 1<<20), socket.WithManualAck())
				closing(t, fellow)
				held := [fellows]socket.Msg{recv(t, fellow), recv(t, fellow)}
				other := durable(t, endpoint, "other", spool.Beginning())
				closing(t, other)
				requireOrdinals(t, other, 0, 1)

				expectRefused(t, s, bad, told)
				d := pub.Durables()[0]
				assert.Equal(t, [4]uint64{handled, all - handled, handled, 0}, [4]uint64{d.Position, d.Lag, d.Acked, d.DeadLettered}, d.Name)
				requireOrdinals(t, other, 1, all)
				for i, m := range held {
					require.Equal(t, handled+sent+i, ordinalOf(socket.Msg{Frames: m.Frames[1:]}))
					require.NoError(t, m.Ack())
				}
				for i := range sent {
					m := recv(t, fellow)
					require.Equal(t, [2]int{handled + i, 2}, [2]int{ordinalOf(socket.Msg{Frames: m.Frames[1:]}), m.Attempt()})
					require.NoError(t, m.Ack())
				}
				awaitLag(t, pub, "name", 0)
			})
		}
	}
}

// TestDurable_HostilePublishers: what breaks the rules ends the connection and is counted; other publishers are heard. What they lie about their messages is in TestAck_HostileSender.
func TestDurable_HostilePublishers(t *testing.T) {
	t.Parallel()
	resumed := zmtp.AppendResumed(nil, &zmtp.Resumed{New: true, Next: 10})
	lost := zmtp.AppendLost(nil, &zmtp.Lost{First: 1, Last: 2})
	for name, octets := range map[string][]byte{
		"RESUMED twice": slices.Concat(resumed, resumed), "LOST before": lost,
		"bad RESUMED": zmtp.AppendCommand(nil, "RESUMED", []byte{0, 1, 1}), "bad LOST": slices.Concat(resumed, zmtp.AppendCommand(nil, "LOST", []byte{0, 0, 1})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, endpoint := sockettest.Listen(t)
			sub := durable(t, endpoint, "x", spool.Beginning())
			defer sub.Close()
			good, endpoint := sockettest.Listen(t)
			require.NoError(t, sub.Connect(endpoint))
			enter := func(ln net.Listener) *sockettest.RawPeer {
				raw := sockettest.AcceptRaw(t, ln)
				raw.Handshake("PUB", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
				raw.ExpectCommand("CREDIT")
				raw.ExpectCommand("SUBSCRIBE")
				assert.Equal(t, []byte("\x00\x00\x01x"), raw.ExpectCommand("RESUME"))
				return raw
			}
			await := watch(t, sub)
			liar, publisher := enter(bad), enter(good)
			liar.Write(octets)
			liar.ExpectClosed()
			e := await(socket.Disconnected)
			assert.Equal(t, socket.RefusedProtocol, e.Refusal, "%v", e.Err)
			assert.Equal(t, map[socket.Refusal]uint64{socket.RefusedProtocol: 1}, sub.Stats().Refused)
			assert.Zero(t, sub.Stats().Missed)
			publisher.Write(resumed)
			publisher.SendMessage("t", "still here")
			assert.Equal(t, "still here", recv(t, sub).String())
		})
	}
	ln, endpoint := sockettest.Listen(t)
	sub := durable(t, endpoint, "x", spool.Beginning())
	defer sub.Close()
	raw := sockettest.AcceptRaw(t, ln)
	raw.Handshake("PUB", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
	const floods = 1000 // of LOST: they are added up
	flood := slices.Clone(resumed)
	for i := range uint64(floods) {
		flood = zmtp.AppendLost(flood, &zmtp.Lost{First: 2*i + 1, Last: 2*i + 1})
	}
	raw.Write(flood)
	require.Eventually(t, func() bool { return sub.Stats().Missed == floods }, time.Minute, time.Millisecond)
	count := 0
	for {
		_, err := sub.Recv(try())
		if !errors.Is(err, socket.ErrMissed) {
			break
		}
		count++
	}
	assert.Equal(t, 64, count)
}

// TestDurable_AnswersBeforeTheQuestion: RESUMED and LOST end a connection on which there was no RESUME yet, since nothing is subscribed to (DURABLE.md, 7).
func TestDurable_AnswersBeforeTheQuestion(t *testing.T) {
	t.Parallel()
	for name, said := range map[string][]byte{
		"RESUMED": zmtp.AppendResumed(nil, &zmtp.Resumed{New: true, Next: 10}), "LOST": zmtp.AppendLost(nil, &zmtp.Lost{First: 1, Last: 2}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := socket.NewSub(socket.WithDurable("x", spool.Beginning()))
			closing(t, sub)
			raw := sockettest.DialRaw(t, bind(t, sub, "tcp://127.0.0.1:0"))
			raw.Handshake("PUB", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
			raw.ExpectCommand("CREDIT")
			raw.Write(said)
			raw.ExpectClosed()
			require.Eventually(t, func() bool { return sub.Stats().Refused[socket.RefusedProtocol] == 1 }, sockettest.Timeout, time.Millisecond)
			assert.Zero(t, sub.Stats().Missed)
			_, err := sub.Recv(try())
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// TestDurable_ResumesOnceItHasSaidWhatItWants: RESUME comes behind all topics of the first Subscribe, and once on a connection, whatever is subscribed to later (DURABLE.md, 3).
func TestDurable_ResumesOnceItHasSaidWhatItWants(t *testing.T) {
	t.Parallel()
	ln, endpoint := sockettest.Listen(t)
	sub := socket.NewSub(socket.WithDurable("x", spool.Beginning()), swift(), socket.WithHeartbeat(0, 0))
	closing(t, sub)
	require.NoError(t, sub.Connect(endpoint))
	enter := func() *sockettest.RawPeer {
		raw := sockettest.AcceptRaw(t, ln)
		raw.Handshake("PUB", 1, sockettest.Property{Name: "X-Mesh-Ack", Value: "1 send"})
		raw.ExpectCommand("CREDIT")
		require.NoError(t, sub.WaitPeers(limit(t), 1))
		return raw
	}
	said := func(raw *sockettest.RawPeer, n int) (all []string) {
		for range n {
			name, data := raw.ReadCommand()
			all = append(all, name+" "+strings.TrimPrefix(string(data), "\x00\x00\x01"))
		}
		return all
	}
	raw := enter()
	require.NoError(t, sub.Subscribe("a", "b"))
	assert.Equal(t, []string{"SUBSCRIBE a", "SUBSCRIBE b", "RESUME x"}, said(raw, 3))
	require.NoError(t, sub.Unsubscribe("a", "b"))
	require.NoError(t, sub.Subscribe("c"))
	raw.SendCommand("PING", []byte{0, 0, 'p'})
	assert.Equal(t, []string{"CANCEL a", "CANCEL b", "SUBSCRIBE c", "PONG p"}, said(raw, 4))
	raw.Reset()
	assert.Equal(t, []string{"SUBSCRIBE c", "RESUME x"}, said(enter(), 2))
}

// TestDurable_WaitsForNobodyWhoLeaves: a subscriber that takes its topics back before it has said which subscription it is for is waited for no longer.
func TestDurable_WaitsForNobodyWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, err := spool.OpenFS(spooltest.NewMem(), ways["PUB"].options())
		require.NoError(t, err)
		pub := socket.NewPub(socket.WithSpoolOn(socket.SpoolOf(log)), socket.WithHeartbeat(0, 0))
		defer pub.Close()
		endpoint, err := pub.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		raw := dialInproc(t, endpoint)
		defer raw.Close()
		raw.Handshake("SUB", 1, receives)
		raw.Write(zmtp.AppendSubscribe(nil, 1, []byte("t")))
		synctest.Wait()
		done := make(chan error, 1)
		go func() { done <- pub.WaitAcked(t.Context()) }()
		synctest.Wait()
		require.Empty(t, done)
		raw.Write(zmtp.AppendCancel(nil, 1, []byte("t")))
		synctest.Wait()
		require.Len(t, done, 1)
		require.NoError(t, <-done)
	})
}
