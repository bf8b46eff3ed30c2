package spool_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// model is what a queue should be: messages that are sure to be there, or may be, and those acknowledged for sure, or
// perhaps.
type model struct {
	t     *testing.T
	disk  *spooltest.Mem
	log   *spool.Log
	rng   *rand.Rand
	next  uint64
	sure  uint64          // all up to this number are on disk
	acked map[uint64]bool // true: on disk, too
}

const modelBody = 60

// sizeOf is the size of message n.
func sizeOf(n uint64) int { return modelBody + int(n*37%900) }

// play does what script says, each byte an operation, and compares the log with the model all the way.
func play(t *testing.T, script []byte) {
	t.Helper()
	m := &model{t: t, disk: spooltest.NewMem(), rng: rand.New(rand.NewPCG(1, uint64(len(script)))), next: 1, acked: make(map[uint64]bool)}
	m.open()
	for _, b := range script {
		m.step(b)
	}
	m.compare()
	require.NoError(t, m.log.Close())
}

func (m *model) open() {
	l, err := spool.OpenFS(m.disk, small)
	require.NoError(m.t, err)
	m.log = l
}

func (m *model) step(b byte) {
	k := uint64(b >> 4)
	switch b & 15 {
	case 0, 1, 2:
		m.append(k*4 + 1)
		require.NoError(m.t, m.log.Wait(bounded(m.t), m.next-1))
		m.sure = m.next - 1
	case 3, 4:
		m.append(k + 1)
	case 5:
		m.flush()
	case 6, 7, 8:
		m.ack(k)
	case 9:
		require.NoError(m.t, m.log.Release(bounded(m.t)))
	case 10:
		m.compare()
	case 11:
		m.crash(m.rng)
	case 12:
		m.crash(nil)
	case 13:
		m.reopen(func() {})
	case 14:
		m.reopen(m.flip)
	case 15:
		m.bury()
	}
}

func (m *model) append(n uint64) {
	for range n {
		got, err := m.log.Enqueue(bounded(m.t), body(m.next, sizeOf(m.next)))
		require.NoError(m.t, err)
		require.Equal(m.t, m.next, got)
		m.next++
	}
}

func (m *model) flush() {
	require.NoError(m.t, m.log.Flush(bounded(m.t)))
	m.sure = m.next - 1
	for n := range m.acked {
		m.acked[n] = true
	}
}

// ack acknowledges a few messages, near the beginning or anywhere.
func (m *model) ack(k uint64) {
	m.flush()
	if m.next == 1 {
		return
	}
	lo := m.rng.Uint64N(m.next-1) + 1
	if k%2 == 0 {
		lo = min(m.log.Queue().Floor()+1, m.next-1)
	}
	hi := min(lo+k*k, m.next-1)
	require.NoError(m.t, m.log.Queue().Ack(lo, hi))
	for n := lo; n <= hi; n++ {
		if _, already := m.acked[n]; !already {
			m.acked[n] = false
		}
	}
}

// compare reads all that is not acknowledged.
func (m *model) compare() {
	m.flush()
	var want []uint64
	for n := uint64(1); n < m.next; n++ {
		if _, acked := m.acked[n]; !acked {
			want = append(want, n)
		}
	}
	got, gaps := m.pending()
	require.Empty(m.t, gaps)
	require.Equal(m.t, want, got)
	require.Equal(m.t, m.next, m.log.Next())
	require.Equal(m.t, uint64(len(want)), m.log.Queue().Pending())
}

func (m *model) pending() (numbers []uint64, gaps []*spool.Gap) {
	r := m.log.Queue().Reader()
	defer r.Close()
	return readSized(m.t, r, sizeOf)
}

// crash loses power, or with a nil rng the process, and takes for true what is left, if that can be.
func (m *model) crash(rng *rand.Rand) {
	left := m.disk.Crash(rng)
	_ = m.log.Close()
	m.disk = left
	m.open()
	require.Greater(m.t, m.log.Next(), m.sure)
	require.LessOrEqual(m.t, m.log.Next(), m.next)
	m.next = m.log.Next()
	got, gaps := m.pending()
	require.Empty(m.t, gaps)
	there := make(map[uint64]bool)
	for _, n := range got {
		there[n] = true
		require.False(m.t, m.acked[n], "message %d is back", n)
	}
	for n := uint64(1); n < m.next; n++ {
		_, acked := m.acked[n]
		require.True(m.t, there[n] || acked, "message %d is lost", n)
		if there[n] {
			delete(m.acked, n)
		}
	}
	maps.DeleteFunc(m.acked, func(n uint64, _ bool) bool { return n >= m.next })
	m.flush()
}

// reopen closes the log, which says that all is on disk.
func (m *model) reopen(between func()) {
	require.NoError(m.t, m.log.Close())
	m.sure = m.next - 1
	between()
	m.open()
	m.compare()
}

// flip inverts a bit and repairs: one message may be gone, which is then taken for acknowledged.
func (m *model) flip() {
	names := segments(m.t, m.disk)
	slices.Sort(names)
	name := names[m.rng.IntN(len(names))]
	size := int64(len(m.disk.Bytes(name)))
	m.disk.Flip(name, m.rng.Int64N(size*8))
	report, err := spool.RepairFS(m.disk)
	require.NoError(m.t, err)
	m.open()
	_, gaps := m.pending()
	lost := uint64(0)
	for _, g := range gaps {
		require.True(m.t, g.Damaged)
		for n := g.From; n <= g.To; n++ {
			if _, before := m.acked[n]; !before { // else it was gone, and with the state it is lost that this is known
				lost++
			}
			m.acked[n] = true
		}
		require.NoError(m.t, m.log.Queue().Ack(g.From, g.To))
	}
	require.LessOrEqual(m.t, lost, uint64(1), "%v", report.Damage)
	for n := range m.acked { // state may have been lost: messages come again
		require.NoError(m.t, m.log.Queue().Ack(n, n))
	}
	require.Equal(m.t, m.next, m.log.Next())
	require.NoError(m.t, m.log.Close())
}

// bury gives the first message up that is pending.
func (m *model) bury() {
	m.flush()
	r := m.log.Queue().Reader()
	defer r.Close()
	rec, err := r.TryNext()
	if err != nil {
		return
	}
	dead, err := m.log.Dead()
	require.NoError(m.t, err)
	before := dead.Len()
	require.NoError(m.t, dead.Bury(bounded(m.t), m.log.Queue(), rec, "no good"))
	require.Equal(m.t, before+1, dead.Len())
	m.acked[rec.Number] = false
}

// TestModel plays scripts at random. One that fails becomes a line of FuzzModel's corpus.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(rounds(20, 3000)) {
		script := make([]byte, 60)
		rng := rand.New(rand.NewPCG(seed, 48))
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		if !t.Run("", func(t *testing.T) { play(t, script) }) {
			t.Fatalf("seed %d: %q", seed, script)
		}
	}
}

// FuzzModel looks for a script that makes log and model differ.
func FuzzModel(f *testing.F) {
	f.Add([]byte("\xf0\xf6\x0b\x0a\xfe\x0d\xf0\xf1\x09\x0c"))
	f.Fuzz(func(t *testing.T, script []byte) {
		play(t, script[:min(len(script), 100)])
	})
}
