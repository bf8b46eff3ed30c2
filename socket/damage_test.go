package socket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// hurt flips a bit of the first byte in which the only segment in dir differs after change from what it was before; done closes what has it open.
func hurt(t *testing.T, dir string, change func(), done func() error) {
	t.Helper()
	name := filepath.Join(dir, fmt.Sprintf("%020d.seg", 1))
	was, err := os.ReadFile(name)
	require.NoError(t, err)
	change()
	is, err := os.ReadFile(name)
	require.NoError(t, err)
	at := 0
	for was[at] == is[at] {
		at++
	}
	require.NoError(t, done())
	b, err := os.ReadFile(name)
	require.NoError(t, err)
	b[at] ^= 1
	require.NoError(t, os.WriteFile(name, b, 0o600))
}

// troubles collects the events of a kind.
func troubles(kind socket.EventKind) (<-chan socket.Event, socket.Option) {
	events := make(chan socket.Event, 10)
	return events, socket.WithEventHandler(func(e socket.Event) {
		if e.Kind == kind {
			events <- e
		}
	})
}

// nextOf returns the next event.
func nextOf(t *testing.T, events <-chan socket.Event) socket.Event {
	t.Helper()
	select {
	case e := <-events:
		return e
	case <-limit(t).Done():
		require.Fail(t, "no event")
		return socket.Event{}
	}
}

// TestDamage_PositionsThatGoBack: when what a log knew of acknowledgements cannot be read, the socket that opens it says so, before what was acknowledged is sent again. One that
// opens a sound log says nothing.
func TestDamage_PositionsThatGoBack(t *testing.T) {
	t.Parallel()
	for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			dir, o := filepath.Join(t.TempDir(), "log"), smallSpool
			o.Kind = kind
			log, err := spool.Open(dir, o)
			require.NoError(t, err)
			consumer := log.Queue()
			if kind == spool.Topic {
				consumer, err = log.Consumer("name", spool.Beginning())
				require.NoError(t, err)
			}
			for i := range 6 {
				_, err := log.Append(limit(t), text("t"), ordinal(i, 8))
				require.NoError(t, err)
			}
			acknowledge := func(n uint64) func() {
				return func() {
					require.NoError(t, consumer.Ack(1, n))
					require.NoError(t, log.Flush(limit(t)))
				}
			}
			acknowledge(1)()
			open := func(events socket.Option) (s spoolSocket, got func(from int)) {
				if kind == spool.Topic {
					pub, endpoint := logged(t, dir, events)
					return pub, func(from int) {
						sub := durable(t, endpoint, "name", spool.Beginning(), socket.WithManualAck())
						closing(t, sub)
						requireOrdinals(t, sub, from, 6)
					}
				}
				push, pull := spooled(t, dir, socket.WithAck(), socket.WithLinger(0), events), socket.NewPull(socket.WithAck(), socket.WithManualAck())
				return push, func(from int) {
					join(t, "tcp", pull, push)
					requireOrdinals(t, pull, from, 6)
				}
			}
			hurt(t, dir, acknowledge(4), log.Close)
			events, option := troubles(socket.SpoolTrouble)
			s, got := open(option)
			e := nextOf(t, events)
			require.ErrorIs(t, e.Err, spool.ErrDamaged)
			assert.ErrorContains(t, e.Err, "00000000000000000001.seg: bytes ")
			assert.True(t, s.Stats().Spool.Recovery.AcksLost())
			got(1)
			require.NoError(t, s.Flush(limit(t)))
			_ = s.Close() // ErrSpooled
			assert.Empty(t, events, "it is said once")

			_, err = spool.Repair(dir)
			require.NoError(t, err)
			events, option = troubles(socket.SpoolTrouble)
			s, got = open(option)
			assert.False(t, s.Stats().Spool.Recovery.AcksLost())
			got(1)
			_ = s.Close()
			assert.Empty(t, events, "it is sound now")
		})
	}
}

type spoolSocket interface {
	Flush(ctx context.Context) error
	Stats() socket.Stats
	Close() error
}

// TestDamage_MarksThatAreMissing: a socket says how many of the marks of its window cannot be read. What those stand for is handled again, and nothing else.
func TestDamage_MarksThatAreMissing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "window")
	w, err := spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err)
	mark := func(numbers ...uint64) func() {
		return func() {
			for _, n := range numbers {
				m := spool.Mark{Incarnation: 3, Number: n}
				copy(m.Stream[:], "s")
				require.NoError(t, w.Mark(limit(t), m))
			}
		}
	}
	mark(1)()
	hurt(t, dir, mark(2, 3), w.Close)
	w, err = spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err)
	events, option := troubles(socket.WindowTrouble)
	closing(t, windowed(t, w, option))
	assert.EqualValues(t, 1, nextOf(t, events).Count, "also of one that is open already")
	require.NoError(t, w.Close())

	events, option = troubles(socket.WindowTrouble)
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckDelay(0), socket.WithWindow(dir, spool.WindowOptions{}), option)
	e := nextOf(t, events)
	require.ErrorIs(t, e.Err, spool.ErrDamaged)
	assert.ErrorContains(t, e.Err, "marks missing: 1")
	assert.EqualValues(t, 1, e.Count)
	assert.EqualValues(t, 1, pull.Stats().Window.Recovery.Missing)
	raw := source(t, pull, 32768, 8<<20)
	deliver(raw, "s", 1, 1, "1", "2", "3", "4")
	for _, want := range []string{"2", "4"} {
		m := recv(t, pull)
		requireMsg(t, m, want)
		require.NoError(t, m.Ack())
	}
	awaitAck(t, raw, 4)
	raw.Close()
	require.NoError(t, pull.Close())
	assert.Empty(t, events, "it is said once")
}

// TestDamage_TornEnd: a write that a crash cut short is told as that, and not as damage, by the socket that opens the spool or window first, once.
func TestDamage_TornEnd(t *testing.T) {
	t.Parallel()
	type opened interface {
		Stats() socket.Stats
		Close() error
	}
	queue := func(t *testing.T, dir string, o socket.Option) opened { return spooled(t, dir, o) }
	topic := func(t *testing.T, dir string, o socket.Option) opened { pub, _ := logged(t, dir, o); return pub }
	window := func(_ *testing.T, dir string, o socket.Option) opened {
		return socket.NewPull(socket.WithAck(), socket.WithWindow(dir, spool.WindowOptions{}), o)
	}
	ofSpool := func(s socket.Stats) *spool.Recovery { return s.Spool.Recovery }
	ofLetters := func(s socket.Stats) *spool.Recovery {
		r := *s.Spool.Recovery
		r.Torn, r.TornLetters = r.TornLetters, r.Torn
		return &r
	}
	for name, c := range map[string]struct {
		open     func(t *testing.T, dir string, o socket.Option) opened
		fill     func(t *testing.T, dir string) io.Closer
		recovery func(socket.Stats) *spool.Recovery
		torn     socket.EventKind
		told     string
		log      string // inside that of the socket
	}{
		"queue":                   {queue, filled(spool.Queue), ofSpool, socket.SpoolTorn, "torn end of the spool", ""},
		"topic":                   {topic, filled(spool.Topic), ofSpool, socket.SpoolTorn, "torn end of the spool", ""},
		"dead letters of a queue": {queue, rejected(spool.Queue), ofLetters, socket.SpoolTorn, "torn end of the spool", "dead"},
		"dead letters of a topic": {topic, rejected(spool.Topic), ofLetters, socket.SpoolTorn, "torn end of the spool", "dead"},
		"window":                  {window, twice, func(s socket.Stats) *spool.Recovery { return s.Window.Recovery }, socket.WindowTorn, "torn end of the window", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			log := c.fill(t, filepath.Join(dir, "open"))
			left := filepath.Join(dir, "left") // as by SIGKILL
			require.NoError(t, os.CopyFS(left, os.DirFS(filepath.Join(dir, "open"))))
			require.NoError(t, log.Close())
			segment := filepath.Join(left, c.log, fmt.Sprintf("%020d.seg", 1))
			b, err := os.ReadFile(segment)
			require.NoError(t, err)
			b[bytes.LastIndex(b, []byte("the last"))] ^= 1
			require.NoError(t, os.WriteFile(segment, b, 0o600))

			told := &events{}
			s := c.open(t, left, told.option())
			r := c.recovery(s.Stats())
			require.NoError(t, s.Close())
			require.NoError(t, r.Err())
			require.Positive(t, r.Torn)
			require.Zero(t, r.TornLetters)
			all := told.of(c.torn)
			require.Len(t, all, 1)
			assert.EqualValues(t, r.Torn, all[0].Count)
			assert.Equal(t, c.log, all[0].Name)
			inText, inLog := "", ""
			if c.log != "" {
				inText, inLog = " ("+c.log+")", " log="+c.log
			}
			assert.Equal(t, fmt.Sprintf("%s: %d bytes cut off%s", c.told, r.Torn, inText), all[0].String())
			var line bytes.Buffer
			socket.LogTo(slog.New(slog.NewTextHandler(&line, nil)))(all[0])
			assert.Contains(t, line.String(), fmt.Sprintf("level=INFO msg=%q bytes=%d%s\n", c.told, r.Torn, inLog))

			again := &events{}
			s = c.open(t, left, again.option())
			assert.Zero(t, c.recovery(s.Stats()).Torn)
			require.NoError(t, s.Close())
			for _, e := range []*events{told, again} {
				assert.Empty(t, append(e.of(socket.SpoolTrouble), e.of(socket.WindowTrouble)...), "it is no damage")
			}
			assert.Empty(t, again.of(c.torn))
		})
	}
}

// filled returns what makes a log that ends with a message of its own commit, "the last".
func filled(kind spool.Kind) func(t *testing.T, dir string) io.Closer {
	return func(t *testing.T, dir string) io.Closer {
		o := smallSpool
		o.Kind = kind
		log, err := spool.Open(dir, o)
		require.NoError(t, err)
		_, err = log.Append(limit(t), text("t"))
		require.NoError(t, err)
		if kind == spool.Queue {
			require.NoError(t, log.Queue().Ack(1, 1))
		}
		require.NoError(t, log.Flush(limit(t)))
		_, err = log.Append(limit(t), text("the last"))
		require.NoError(t, err)
		return log
	}
}

// twice makes a window that ends with a mark of its own commit, "the last".
func twice(t *testing.T, dir string) io.Closer {
	w, err := spool.OpenWindow(dir, spool.WindowOptions{})
	require.NoError(t, err)
	require.NoError(t, w.Mark(limit(t), spool.Mark{ID: "the first"}))
	require.NoError(t, w.Mark(limit(t), spool.Mark{ID: "the last"}))
	return w
}

// TestDamage_OfAMessage: of what is damaged in a segment that is not read at opening exactly that message is lost, and told: by the socket whose spool it is, or, where it is a publisher's
// log, to those who subscribe. Its neighbours come, in order, and nobody waits for it.
func TestDamage_OfAMessage(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, _ string, w way) {
		const messages, lost = 60, 7
		dir := filepath.Join(t.TempDir(), "log")
		log, err := spool.Open(dir, w.options())
		require.NoError(t, err)
		for n := range messages {
			_, err := log.Append(limit(t), fmt.Appendf(make([]byte, 0, 4<<10), "message %2d%4000d", n+1, 0))
			require.NoError(t, err)
		}
		require.NoError(t, log.Close())
		segments, err := filepath.Glob(filepath.Join(dir, "*.seg"))
		require.NoError(t, err)
		require.Greater(t, len(segments), 2)
		b, err := os.ReadFile(segments[0])
		require.NoError(t, err)
		at := bytes.Index(b, fmt.Appendf(nil, "message %2d", lost))
		require.Positive(t, at)
		b[at] ^= 1
		require.NoError(t, os.WriteFile(segments[0], b, 0o600))

		events, option := troubles(socket.Dropped)
		sender := w.open(t, dir, option)
		receiver := w.receiver(socket.WithManualAck(), swift())
		closing(t, receiver)
		join(t, "tcp", sender, receiver)
		var got, missed []int
		for len(got) < messages-1 {
			m, err := receiver.(interface {
				Recv(context.Context) (socket.Msg, error)
			}).Recv(limit(t))
			if gone, some := errors.AsType[*socket.MissedError](err); some {
				assert.True(t, gone.Damaged)
				missed = append(missed, int(gone.From), int(gone.To))
				continue
			}
			require.NoError(t, err)
			var n int
			_, err = fmt.Sscanf(m.String(), "message %d", &n)
			require.NoError(t, err)
			got = append(got, n)
			require.NoError(t, m.Ack())
		}
		var want []int
		for n := 1; n <= messages; n++ {
			if n != lost {
				want = append(want, n)
			}
		}
		assert.Equal(t, want, got)
		require.NoError(t, sender.waitSettled(limit(t), messages))
		if w.kind == spool.Topic {
			assert.Equal(t, []int{lost, lost}, missed)
		} else {
			e := nextOf(t, events)
			assert.Equal(t, [2]uint64{uint64(socket.DropDamaged), 1}, [2]uint64{uint64(e.Reason), e.Count})
			assert.EqualValues(t, 1, sender.Stats().Dropped[socket.DropDamaged])
		}
		require.NoError(t, sender.Close())
		require.NoError(t, sender.log.Close())
	})
}
