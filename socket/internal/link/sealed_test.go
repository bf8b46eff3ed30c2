package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// traffic is what seals on one side and opens on the other, once they have agreed upon keys.
func traffic(t testing.TB) (seal *zmtp.Sealer, open *zmtp.Opener, back *zmtp.Sealer, there *zmtp.Opener) {
	t.Helper()
	keys := zmtp.CurveKeys{Secret: [32]byte{1}}
	keys.Public = zmtp.CurvePublic(keys.Secret)
	random := rand.NewChaCha8([32]byte{})
	m, err := zmtp.CurveClient(keys, keys.Public, random)
	require.NoError(t, err)
	client, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.Push, Mechanism: m})
	require.NoError(t, err)
	server, err := zmtp.NewHandshake(zmtp.Config{SocketType: zmtp.Pull, Mechanism: zmtp.CurveServer(keys, random)})
	require.NoError(t, err)
	toServer, toClient := client.Start(), server.Start()
	for len(toServer)+len(toClient) > 0 {
		_, out, err := server.Step(toServer)
		require.NoError(t, err)
		if _, asked := server.Pending(); asked {
			out, err = server.Answer(zmtp.Verdict{Decision: zmtp.Allow})
			require.NoError(t, err)
		}
		_, toServer, err = client.Step(toClient)
		require.NoError(t, err)
		toClient = out
	}
	seal, there = client.Traffic()
	back, open = server.Traffic()
	return seal, open, back, there
}

// sluggish is a connection that takes and gives a few octets at a time, and now and then none.
type sluggish struct {
	net.Conn
	random  *rand.Rand
	in, out bytes.Buffer
	breaks  int // after that many octets written it is no more; 0 for never
}

var errBroken = errors.New("broken")

func (c *sluggish) TryWrite(p []byte) (int, error) {
	n := min(c.random.IntN(200), len(p))
	if n == 0 {
		return 0, transport.ErrWouldBlock
	}
	return c.Write(p[:n])
}

func (c *sluggish) Write(p []byte) (int, error) {
	if c.breaks > 0 && c.out.Len()+len(p) > c.breaks {
		n, _ := c.out.Write(p[:c.breaks-c.out.Len()])
		return n, errBroken
	}
	return c.out.Write(p)
}

func (c *sluggish) TryRead(p []byte) (int, error) {
	n := c.random.IntN(200)
	if n == 0 && c.in.Len() > 0 {
		return 0, transport.ErrWouldBlock
	}
	return c.in.Read(p[:min(n+1, len(p))])
}

func (c *sluggish) Read(p []byte) (int, error) { return c.in.Read(p) }

// someFrames are frames of all sizes that make a difference.
func someFrames() (frames []byte) {
	for i, size := range []int{0, 1, 200, 255, 256, 3000, 40000, 5, 70000, 2, 300000, 0} {
		frames = zmtp.AppendFrame(frames, byte(i)&zmtp.FlagMore, bytes.Repeat([]byte{byte(i)}, size))
	}
	return zmtp.AppendPing(frames, 0, []byte("x"))
}

// Whatever is written in what pieces arrives, when the connection takes what it likes, tried and not in turn.
func TestSealed_PiecesArrive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		seal, open, back, there := traffic(t)
		near, far := &sluggish{random: random}, &sluggish{random: random}
		w, r := NewSealedConn(near, seal, there, nil, 1<<20), NewSealedConn(far, back, open, nil, 1<<20)
		frames := someFrames()
		for rest := frames; len(rest) > 0; {
			piece := rest[:min(len(rest), 1+random.IntN(100000))]
			for len(piece) > 0 {
				write := w.try.TryWrite
				if random.IntN(3) == 0 {
					write = w.Write
				}
				n, err := write(piece)
				if err != nil {
					require.ErrorIs(t, err, transport.ErrWouldBlock)
				}
				piece, rest = piece[n:], rest[n:]
			}
		}
		far.in.Write(near.out.Bytes())
		var got []byte
		for p := make([]byte, 100000); len(got) < len(frames); {
			read := r.try.TryRead
			if random.IntN(3) == 0 {
				read = r.Read
			}
			n, err := read(p[:1+random.IntN(len(p))])
			if err != nil {
				require.ErrorIs(t, err, transport.ErrWouldBlock)
			}
			got = append(got, p[:n]...)
		}
		require.True(t, bytes.Equal(frames, got))
		_, err := r.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	}
}

// When the connection breaks, what Write counts are the frames that reached it whole: they are not sent again, the others are.
func TestSealed_CountsWhatLanded(t *testing.T) {
	t.Parallel()
	var frames []byte
	for range 100 {
		frames = zmtp.AppendFrame(frames, 0, make([]byte, 98)) // 100 octets, sealed 133
	}
	for breaks := 1; breaks < 1000; breaks += 37 {
		seal, _, _, there := traffic(t)
		near := &sluggish{random: rand.New(rand.NewPCG(1, 1)), breaks: breaks}
		n, err := NewSealedConn(near, seal, there, nil, 1<<20).Write(frames)
		require.ErrorIs(t, err, errBroken)
		assert.Equal(t, breaks/133*100, n, "of %d octets", breaks)
	}
}

// A peer pays for the memory that its claims take, and a frame that is too large is refused at its first octets.
func TestSealed_Bounds(t *testing.T) {
	t.Parallel()
	seal, open, back, _ := traffic(t)
	far := &sluggish{random: rand.New(rand.NewPCG(1, 1))}
	claim, _, err := seal.Append(nil, zmtp.AppendFrame(nil, 0, make([]byte, 10<<20)), 1)
	require.NoError(t, err)
	r := NewSealedConn(far, back, open, nil, 64<<20)
	far.in.Write(claim[:1000])
	_, err = r.Read(make([]byte, 100))
	require.ErrorIs(t, err, io.EOF)
	assert.LessOrEqual(t, len(r.Conn.(*sealed).raw), firstBody)

	_, open, back, _ = traffic(t)
	r = NewSealedConn(far, back, open, claim[:10], 1<<20)
	_, err = r.Read(make([]byte, 100))
	require.ErrorIs(t, err, ErrTooLarge)
	assert.ErrorContains(t, err, "sealed frame of 10485793 bytes, at most 1048609")
}

// A frame as large as one that arrived has room for all of it when it begins, and behind each the connection keeps no more than others do.
func TestSealed_LargeFrameAgain(t *testing.T) {
	t.Parallel()
	const body = 3 << 20
	seal, open, back, _ := traffic(t)
	far := &sluggish{random: rand.New(rand.NewPCG(1, 1))}
	r := NewSealedConn(far, back, open, nil, 64<<20)
	s, plain := r.Conn.(*sealed), make([]byte, body+zmtp.MaxHeaderSize)
	for range 3 {
		frame := zmtp.AppendFrame(nil, 0, bytes.Repeat([]byte{7}, body))
		sealed, _, err := seal.Append(nil, frame, 1)
		require.NoError(t, err)
		begun := s.paid > 0
		far.in.Write(sealed[:1000])
		_, err = r.Read(plain)
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, begun, len(s.raw) == len(sealed))
		far.in.Write(sealed[1000:])
		_, err = io.ReadFull(r, plain[:len(frame)])
		require.NoError(t, err)
		assert.True(t, bytes.Equal(frame, plain[:len(frame)]))
		_, err = r.Read(plain)
		require.ErrorIs(t, err, io.EOF)
		assert.LessOrEqual(t, len(s.raw), maxKept)
		assert.Nil(t, s.body)
	}
}

// A peer that seals whatever it likes, cuts it anywhere and then says something in the clear is read as one that does not seal, up to there.
func FuzzSealedIn(f *testing.F) {
	small := stream([]int{0}, []int{1, 2, 3}, []int{255}, []int{256}, []int{0, 0, 0})
	f.Add(small, []byte{}, []byte{0}, uint8(5), 1<<20)
	f.Add(small, []byte("in the clear"), []byte{}, uint8(200), 1<<20)
	f.Add(stream([]int{40}, []int{inlineBody + 1}), []byte{0, 0x29, 7}, []byte{1, 200}, uint8(0), 1<<20)
	f.Add(small, []byte("\x02\x3f\xff\xff\xff\xff\xff\xff\xff\x07MESSAGE"), []byte{0, 1}, uint8(3), 100)
	f.Add([]byte("\x04\x06\x05HELLO\x01\x01a\x04\x01\x09"), []byte("\x04\x21\x07MESSAGE"), []byte{0}, uint8(1), 100)
	sealer, opener, back, _ := traffic(f)
	f.Fuzz(func(t *testing.T, data, clear, steps []byte, early uint8, max int) {
		if max < 0 || max > 1<<30 {
			return
		}
		seal, open := *sealer, *opener
		sealed, used, err := seal.Append(nil, data, 1<<30)
		data = data[:used-seal.Held()]
		if err != nil { // frames that nobody could seal
			clear = nil
		}
		sealed = append(sealed, clear...)
		now := min(int(early), len(sealed))
		conn := NewSealedConn(&scripted{data: sealed[now:], steps: steps}, back, &open, sealed[:now], max)
		checkDrained(t, conn, nil, data, max)
	})
}
