package socket_test

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestSoakTopic: row 43 of the fault plan, for a publisher's log with two names, of which one is shared by two members.
func TestSoakTopic(t *testing.T) {
	t.Parallel()
	soakNames(t, spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Retention: spool.Retention{Bytes: 2 << 20}}, map[string]int{"alone": 1, "shared": 2})
}

// TestSoakRouter: row 43 of the fault plan, for a DEALER that sends to a ROUTER.
func TestSoakRouter(t *testing.T) {
	t.Parallel()
	soakNames(t, smallSpool, map[string]int{"": 1})
}

// soakNames sends through a log on a disk to receivers with windows on one, while connections are cut or swallow what goes one way, messages are refused, for good or for
// now, dead letters are replayed, and sender and receivers are closed and opened again: at random, as a seed has it, which is printed and may be given (SEED). That is a second, or as long as SOAK
// says (make soak). What was sent is handled by each name, with the bytes it was sent with, in the end without dead letters, once by a name of one member; its first deliveries are in order. And memory, files and
// disk are as after the first rounds.
func soakNames(t *testing.T, options spool.Options, names map[string]int) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	long := err == nil
	seed := soakSeed()
	t.Logf("seed %d", seed)
	l := newSoakLine(t, rand.New(rand.NewPCG(seed, 434343)), options, names)
	use := flat{warm: 20} // when windows and retention forget as much as they are told
	for end := time.Now().Add(length); l.round < 2 || long && (l.round < 3*use.warm || time.Now().Before(end)); {
		l.storm(t)
		l.calm(t)
		keepLoad()
		use.look(t, l.round, diskUse(t, l.dir))
	}
	l.end(t)
	t.Logf("%d rounds, %d messages, %+v, %+v", l.round, l.sent, l.tally, use)
}

// diskUse returns how many bytes the files below a directory have.
func diskUse(t *testing.T, dir string) (bytes int64) {
	require.NoError(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) { // a segment that was let go meanwhile
			return nil
		}
		bytes += info.Size()
		return err
	}))
	return bytes
}

// soakSender is a DEALER or a PUB.
type soakSender interface {
	Connect(endpoint string) error
	Enqueue(ctx context.Context, frames ...[]byte) (uint64, error)
	Stats() socket.Stats
	Close() error
}

// soakLine is a sender with a log, and the names that it is for.
type soakLine struct {
	r       *rand.Rand
	dir     string
	options spool.Options
	sender  soakSender
	names   []*soakName
	round   uint64
	sent    uint64 // the messages are numbered up to it
	tally   struct{ cuts, senders, receivers, replayed int }
}

func newSoakLine(t *testing.T, r *rand.Rand, options spool.Options, names map[string]int) *soakLine {
	l := &soakLine{r: r, dir: t.TempDir(), options: options}
	for _, name := range []string{"", "alone", "shared"} { // in the same order each time
		if names[name] > 0 {
			l.names = append(l.names, newSoakName(t, name, filepath.Join(l.dir, "window"+name), names[name]))
		}
	}
	l.open(t)
	t.Cleanup(func() { _ = l.sender.Close() }) // of a test that fails
	return l
}

// open opens the sender with what is in its log.
func (l *soakLine) open(t *testing.T) {
	with := []socket.Option{socket.WithSpool(l.log(), l.options), socket.WithAttempts(5), swift(), swiftRetry(), socket.WithLinger(0)}
	if l.options.Kind == spool.Topic {
		l.sender = socket.NewPub(with...)
	} else {
		l.sender = socket.NewDealer(append(with, socket.WithAck())...)
	}
	for _, n := range l.names {
		for _, m := range n.members {
			require.NoError(t, l.sender.Connect(m.chaos.Endpoint))
		}
	}
}

func (l *soakLine) log() string { return filepath.Join(l.dir, "log") }

// reopen closes the sender, puts its dead letters back, and opens it again.
func (l *soakLine) reopen(t *testing.T) {
	if err := l.sender.Close(); err != nil {
		require.ErrorIs(t, err, socket.ErrSpooled)
	}
	log, err := spool.Open(l.log(), l.options)
	require.NoError(t, err)
	require.Empty(t, log.Recovery().Damage)
	dead, err := log.Dead()
	require.NoError(t, err)
	for _, letter := range letters(t, dead) {
		number, _, ok := openLetter(letter.Frames[len(letter.Frames)-1])
		require.True(t, ok && number <= l.sent, "letter %d", number)
		for _, n := range l.names {
			n.replay(number)
		}
		_, err := dead.Replay(t.Context(), letter)
		require.NoError(t, err)
		l.tally.replayed++
	}
	require.Zero(t, dead.Len())
	require.NoError(t, log.Close())
	l.open(t)
}

// storm sends messages while things go wrong.
func (l *soakLine) storm(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), sockettest.Timeout) // limit(t) would be kept until the test ends
	defer cancel()
	l.round++
	l.refuse(true)
	for range 3 + l.r.IntN(5) {
		l.tally.cuts++
		l.network(func() sockettest.Fate { return randomFate(l.r) })
		switch l.r.IntN(4) {
		case 0:
			l.tally.senders++
			l.reopen(t)
		case 1:
			l.tally.receivers++
			l.names[l.r.IntN(len(l.names))].reopen(t, l.r)
		}
		for range l.r.IntN(200) {
			l.sent++
			frames := [][]byte{letter(l.sent, l.round)}
			if l.options.Kind == spool.Topic {
				frames = [][]byte{text("t"), frames[0]}
			}
			_, err := l.sender.Enqueue(ctx, frames...)
			require.NoError(t, err)
		}
	}
}

// calm waits, in peace, until all is handled or a dead letter, and then, with those replayed, handled.
func (l *soakLine) calm(t *testing.T) {
	l.network(func() sockettest.Fate { return sockettest.Fate{} })
	l.settled(t)
	l.refuse(false)
	l.reopen(t)
	l.settled(t)
	require.Zero(t, l.sender.Stats().Acks.DeadLettered+l.sender.Stats().Spool.DeadLettered)
	for _, n := range l.names {
		n.check(t, l.sent)
	}
}

// settled waits until nobody is behind.
func (l *soakLine) settled(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := l.sender.Stats().Spool
		behind := s.Messages
		for _, d := range s.Durables {
			behind += d.Lag
		}
		return behind == 0 && (l.options.Kind != spool.Topic || len(s.Durables) == len(l.names))
	}, sockettest.Timeout, time.Millisecond)
}

// end closes everything, looks that nothing is damaged, and that the disk is given back: of a queue, and of dead letters, to two segments, of a topic and of windows to what they are told to keep.
func (l *soakLine) end(t *testing.T) {
	require.NoError(t, l.sender.Close())
	requireSound(t, l.log())
	keeps := 2 * l.options.SegmentSize
	if l.options.Kind == spool.Topic {
		keeps += l.options.Retention.Bytes
	}
	log, err := spool.Open(l.log(), l.options)
	require.NoError(t, err)
	_, err = log.Dead()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return log.Stats().Bytes <= keeps && diskUse(t, filepath.Join(l.log(), "dead")) < 3*l.options.SegmentSize // with what is no segment
	}, sockettest.Timeout, time.Millisecond)
	require.NoError(t, log.Close())
	for _, n := range l.names {
		require.NoError(t, n.close())
		requireSound(t, n.dir)
	}
}

func (l *soakLine) refuse(is bool) {
	for _, n := range l.names {
		n.mu.Lock()
		n.refusing = is
		n.mu.Unlock()
	}
}

// network ends all connections, and sets what becomes of those to come.
func (l *soakLine) network(fate func() sockettest.Fate) {
	for _, n := range l.names {
		for _, m := range n.members {
			m.chaos.Next(fate(), fate())
			m.chaos.Cut()
		}
	}
}
