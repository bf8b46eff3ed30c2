package socket_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
)

// What Recv returns is the caller's to change, also where large bodies are passed on within the process: neither what was
// given to Send nor what another subscriber gets is the same memory.
func TestRecv_LargeBodiesAreTheCallers(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		const size = 200 << 10
		pub := socket.NewPub()
		closing(t, pub)
		endpoint := bind(t, pub, fresh(t, transport))
		subs := []*socket.Sub{socket.NewSub(), socket.NewSub()}
		for _, sub := range subs {
			closing(t, sub)
			require.NoError(t, sub.Subscribe(""))
			require.NoError(t, sub.Connect(endpoint))
		}
		require.NoError(t, pub.WaitSubscribers(limit(t), "", len(subs)))
		body := bytes.Repeat([]byte("a"), size)
		require.NoError(t, pub.Send(limit(t), []byte("topic"), body, []byte("tail")))
		clear(body)
		for _, sub := range subs {
			m := recv(t, sub)
			require.Len(t, m.Frames, 3)
			assert.True(t, bytes.Equal(bytes.Repeat([]byte("a"), size), m.Frames[1]))
			assert.Equal(t, "tail", m.String())
			assert.Equal(t, size, cap(m.Frames[1]), "appending to a frame must not touch what is not its own")
			clear(m.Frames[1])
		}
	})
}

// SendOwned passes a large body on without a copy, as far as one process goes; what other sockets share is still copied.
func TestSendOwned_IsNotCopied(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(), socket.NewPull()
	closing(t, push, pull)
	require.NoError(t, push.Connect(bind(t, pull, fresh(t, "inproc"))))
	require.NoError(t, push.WaitPeers(limit(t), 1))
	body := make([]byte, 100<<10)
	require.NoError(t, push.SendOwned(limit(t), body, []byte("end")))
	m := recv(t, pull)
	require.Len(t, m.Frames, 2)
	assert.Same(t, &body[0], &m.Frames[0][0])
}

// SendOwned is Send in all else: every type delivers what was sent, small frames and large ones, and refuses what has no frames.
func TestSendOwned_DeliversAsSend(t *testing.T) {
	eachTransport(t, func(t *testing.T, transport string) {
		large := bytes.Repeat([]byte("x"), 70<<10)
		check := func(m socket.Msg, err error) {
			t.Helper()
			require.NoError(t, err)
			assert.True(t, bytes.Equal(bytes.Repeat([]byte("x"), 70<<10), m.Bytes()))
		}
		clone := func() []byte { return bytes.Clone(large) }

		t.Run("pub-sub", func(t *testing.T) {
			pub, sub := socket.NewPub(), socket.NewSub()
			other := socket.NewSub()
			closing(t, pub, sub, other)
			join(t, transport, pub, sub)
			require.NoError(t, other.Connect(pub.Stats().Endpoints[0]))
			require.NoError(t, sub.Subscribe(""))
			require.NoError(t, other.Subscribe(""))
			require.NoError(t, pub.WaitSubscribers(limit(t), "topic", 2))
			require.NoError(t, pub.SendOwned(limit(t), []byte("topic"), clone()))
			check(sub.Recv(limit(t)))
			check(other.Recv(limit(t)))
		})

		t.Run("req-rep", func(t *testing.T) {
			req, rep := socket.NewReq(), socket.NewRep()
			closing(t, req, rep)
			join(t, transport, rep, req)
			require.NoError(t, req.SendOwned(limit(t), clone()))
			check(rep.Recv(limit(t)))
			require.NoError(t, rep.SendOwned(limit(t), clone()))
			check(req.Recv(limit(t)))
		})

		t.Run("router-dealer", func(t *testing.T) {
			router, dealer := socket.NewRouter(), socket.NewDealer()
			closing(t, router, dealer)
			join(t, transport, router, dealer)
			require.NoError(t, dealer.SendOwned(limit(t), clone()))
			asked, err := router.Recv(limit(t))
			check(asked, err)
			require.NoError(t, router.SendOwned(limit(t), asked.Frames[0], clone()))
			check(dealer.Recv(limit(t)))
			require.ErrorIs(t, router.SendOwned(limit(t), clone()), socket.ErrState)
			require.ErrorIs(t, dealer.SendOwned(limit(t)), socket.ErrState)
		})

		t.Run("server-client", func(t *testing.T) {
			server, client := socket.NewServer(), socket.NewClient()
			closing(t, server, client)
			join(t, transport, server, client)
			require.NoError(t, client.SendOwned(limit(t), clone()))
			got, err := server.Recv(limit(t))
			check(got, err)
			require.NoError(t, server.SendOwned(limit(t), got.RoutingID(), clone()))
			check(client.Recv(limit(t)))
		})

		t.Run("radio-dish", func(t *testing.T) {
			radio, dish := socket.NewRadio(), socket.NewDish()
			closing(t, radio, dish)
			join(t, transport, radio, dish)
			require.NoError(t, dish.Join("g"))
			require.NoError(t, radio.WaitSubscribers(limit(t), "g", 1))
			require.NoError(t, radio.SendOwned(limit(t), "g", clone()))
			check(dish.Recv(limit(t)))
		})
	})
}

// A message is passed around in registers as long as it has at most four words; beyond, each call copies it through memory.
func TestMsg_FitsRegisters(t *testing.T) {
	t.Parallel()
	assert.LessOrEqual(t, unsafe.Sizeof(socket.Msg{}), 4*unsafe.Sizeof(uintptr(0)))
}

// The envelope of a reply is that of the request, also when the request was released before: its memory serves other messages by then.
func TestRep_ReleaseKeepsTheEnvelope(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, 100 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			releaseKeepsEnvelope(t, size)
		})
	}
}

func releaseKeepsEnvelope(t *testing.T, size int) {
	t.Helper()
	rep, dealer, push, pull := socket.NewRep(), socket.NewDealer(), socket.NewPush(), socket.NewPull()
	closing(t, rep, dealer, push, pull)
	require.NoError(t, dealer.Connect(bind(t, rep, "tcp://127.0.0.1:0")))
	require.NoError(t, push.Connect(bind(t, pull, "tcp://127.0.0.1:0")))
	envelope, secret := bytes.Repeat([]byte("e"), size), bytes.Repeat([]byte("s"), size)
	for range 10 {
		require.NoError(t, dealer.Send(limit(t), envelope, nil, envelope))
		m := recv(t, rep)
		m.Release()
		for range 3 {
			require.NoError(t, push.Send(limit(t), secret))
			m := recv(t, pull)
			m.Release()
		}
		send(t, rep, "reply")
		m = recv(t, dealer)
		require.True(t, bytes.Equal(envelope, m.Frames[0]))
		require.Equal(t, "reply", m.String())
	}
}

// Messages that are given back make room for others, of one peer or of several, and the ones that are kept stay as they are.
func TestRelease_SmallMessages(t *testing.T) {
	t.Parallel()
	eachTransport(t, func(t *testing.T, transport string) {
		for _, peers := range []int{1, 3} {
			t.Run(fmt.Sprint(peers), func(t *testing.T) {
				t.Parallel()
				const messages = 6000
				pull := socket.NewPull()
				closing(t, pull)
				at := bind(t, pull, fresh(t, transport))
				body := func(peer, n int) []byte { return bytes.Repeat([]byte{byte(peer), byte(n), byte(n >> 8)}, 1+n%300) }
				var sending sync.WaitGroup
				for peer := range peers {
					push := socket.NewPush()
					closing(t, push)
					require.NoError(t, push.Connect(at))
					sending.Go(func() {
						for n := range messages {
							if !assert.NoError(t, push.Send(limit(t), body(peer, n), []byte{byte(peer)})) {
								return
							}
						}
					})
				}
				next, kept := make([]int, peers), map[int][]socket.Msg{}
				for range peers * messages {
					m := recv(t, pull)
					peer := int(m.Bytes()[0])
					require.True(t, bytes.Equal(body(peer, next[peer]), m.Frames[0]), "message %d of %d", next[peer], peer)
					if next[peer]++; next[peer]%500 == 0 {
						kept[peer] = append(kept[peer], m)
						continue
					}
					clear(m.Frames[0])
					again := m
					m.Release()
					again.Release()
				}
				sending.Wait()
				for peer, all := range kept {
					for i, m := range all {
						require.True(t, bytes.Equal(body(peer, 500*(i+1)-1), m.Frames[0]))
					}
				}
			})
		}
	})
}

// A message that is too large for its peer is dropped after some connections that ended with it, counted, and what is behind it arrives.
func TestConnect_MessageTooLargeForPeer(t *testing.T) {
	t.Parallel()
	push, pull := socket.NewPush(swift()), socket.NewPull(socket.WithMaxMessageSize(1<<20))
	closing(t, push, pull)
	require.NoError(t, push.Connect(bind(t, pull, fresh(t, "tcp"))))
	for _, body := range [][]byte{[]byte("a"), make([]byte, 9<<20), []byte("b")} {
		require.NoError(t, push.Send(limit(t), body))
	}
	assert.Equal(t, "a", recv(t, pull).String())
	assert.Equal(t, "b", recv(t, pull).String())
	assert.Equal(t, map[socket.DropReason]uint64{socket.DropRefused: 1}, push.Stats().Dropped)
}
