package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

const (
	closedMessages = 20
	closedBody     = 300
	closedSegment  = "00000000000000000001.seg"
	endMark        = 32 // bytes
)

// closedLog returns a closed log in which a name was made behind ten messages and acknowledged five.
func closedLog(t *testing.T, o spool.Options) *spooltest.Mem {
	t.Helper()
	disk := spooltest.NewMem()
	l := open(t, disk, o)
	fill(t, l, closedMessages/2, closedBody)
	audit, err := l.Consumer("audit", spool.Beginning())
	require.NoError(t, err)
	for range closedMessages / 2 {
		fill(t, l, 1, closedBody)
	}
	require.NoError(t, audit.Ack(1, 5))
	require.NoError(t, l.Close())
	return disk
}

// endsOf calls try with each of many ends that the last segment of a closed log may have: cut off, turned to zeros, overwritten. Intact says that nothing but the mark of the end is gone.
func endsOf(t *testing.T, whole *spooltest.Mem, name string, from int, try func(disk *spooltest.Mem, what string, intact bool)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 4))
	all := ended(whole.Bytes(name), 0)
	for at := from; at < len(all); at += rounds(67, 1) {
		for how, hurt := range map[string]func(b []byte) []byte{
			"cut":     func(b []byte) []byte { return b[:at] },
			"cleared": func(b []byte) []byte { clear(b[at:]); return b },
			"garbage": func(b []byte) []byte {
				for i := at; i < len(b); i++ {
					b[i] = byte(rng.Uint32())
				}
				return b
			},
		} {
			disk := whole.Crash(nil)
			disk.Put(name, hurt(disk.Bytes(name)))
			end := len(all) - endMark
			left := append(disk.Bytes(name), make([]byte, end)...) // padding may be missing
			try(disk, fmt.Sprintf("%s at %d of %d", how, at, len(all)), bytes.Equal(left[:end], all[:end]))
		}
	}
}

// missingIn returns the numbers that gaps name.
func missingIn(t *testing.T, gaps []*spool.Gap, what string) (missing []uint64) {
	t.Helper()
	for _, g := range gaps {
		require.True(t, g.Damaged, what)
		missing = append(missing, fromTo(g.From, g.To)...)
	}
	return missing
}

// requireAllSaid checks that verify says whatever opening does.
func requireAllSaid(t *testing.T, report spool.Report, r spool.Recovery, what string) {
	t.Helper()
	for _, d := range r.Damage {
		require.Contains(t, report.Damage, d, what)
	}
}

// TestClosedEndMissing takes the end of a log that was closed: what it held is damage, with the numbers that are lost, whoever looks. Numbers go on behind them, and after Repair the spool is sound.
func TestClosedEndMissing(t *testing.T) {
	t.Parallel()
	for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			o := small
			o.Kind = kind
			endsOf(t, closedLog(t, o), closedSegment, spool.DataStart, func(disk *spooltest.Mem, what string, intact bool) {
				closedEndMissing(t, disk, o, what, intact)
			})
		})
	}
}

func closedEndMissing(t *testing.T, disk *spooltest.Mem, o spool.Options, what string, intact bool) {
	t.Helper()
	report, err := spool.VerifyFS(disk)
	require.NoError(t, err, what)
	require.Equal(t, intact, len(report.Damage) == 0, what)
	v, err := spool.OpenViewFS(disk)
	require.NoError(t, err, what)
	viewed, gaps := read(t, v.Reader(spool.Beginning()), closedBody)
	lost := missingIn(t, gaps, what)
	require.Equal(t, lostIn(report), lost, what)
	require.Equal(t, upTo(closedMessages), slices.Concat(viewed, lost), what)
	repaired := disk.Crash(nil)

	l := openOneOfMany(t, disk, o)
	r := l.Recovery()
	require.Equal(t, v.Stats().Recovery, r, what)
	requireAllSaid(t, report, r, what)
	require.Equal(t, r.Err() != nil, r.AcksLost(), what)
	fill(t, l, 2, closedBody)
	require.NoError(t, l.Close())
	continued(t, disk, o, lost, what)

	_, err = spool.RepairFS(repaired)
	require.NoError(t, err, what)
	again, err := spool.VerifyFS(repaired)
	require.NoError(t, err, what)
	require.Empty(t, again.Damage, what)
	l = openOneOfMany(t, repaired, o)
	require.NoError(t, l.Recovery().Err(), what)
	fill(t, l, 2, closedBody)
	require.NoError(t, l.Close())
	continued(t, repaired, o, lost, what)
}

// continued wants a log to lack what is lost and nothing else, with two messages behind it all.
func continued(t *testing.T, disk *spooltest.Mem, o spool.Options, lost []uint64, what string) {
	t.Helper()
	l := openOneOfMany(t, disk, o)
	numbers, gaps := read(t, l.Reader(spool.Beginning()), closedBody)
	require.Equal(t, lost, missingIn(t, gaps, what), what)
	require.Equal(t, slices.Concat(upTo(closedMessages-uint64(len(lost))), fromTo(closedMessages+1, closedMessages+2)), numbers, what)
	require.NoError(t, l.Close())
}

// TestClosedEndMissing_Letters is the same for dead letters: no message is lost with them.
func TestClosedEndMissing_Letters(t *testing.T) {
	t.Parallel()
	const buried = 5
	disk := spooltest.NewMem()
	l := open(t, disk, small)
	bury(t, l, buried)
	require.NoError(t, l.Close())
	endsOf(t, disk, "dead/"+closedSegment, spool.DataStart, func(disk *spooltest.Mem, what string, intact bool) {
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err, what)
		require.Equal(t, intact, len(report.Damage) == 0, what)
		v, err := spool.OpenViewFS(disk)
		require.NoError(t, err, what)
		l := openOneOfMany(t, disk, small)
		require.Equal(t, v.Stats().Recovery, l.Recovery(), what)
		requireAllSaid(t, report, l.Recovery(), what)
		dead, err := l.Dead()
		require.NoError(t, err, what)
		var there, lost []uint64
		for letter, err := range dead.Letters() {
			if gap, ok := errors.AsType[*spool.Gap](err); ok {
				lost = append(lost, fromTo(gap.From, gap.To)...)
				continue
			}
			require.NoError(t, err, what)
			there = append(there, letter.Number)
		}
		require.Equal(t, lostIn(report), lost, what)
		require.Equal(t, upTo(buried), slices.Concat(there, lost), what)
		require.NoError(t, l.Close())
	})
}

// TestClosedEndMissing_Window is the same for a window: it says how many marks are missing.
func TestClosedEndMissing_Window(t *testing.T) {
	t.Parallel()
	_, disk := threeOfAWindow(t)
	endsOf(t, disk, slices.Max(segments(t, disk)), spool.DataStart, func(disk *spooltest.Mem, what string, intact bool) {
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err, what)
		require.Equal(t, intact, len(report.Damage) == 0, what)
		w, err := spool.OpenWindowFS(disk, bitWindow)
		require.NoError(t, err, what)
		requireAllSaid(t, report, w.Recovery(), what)
		require.Equal(t, windowCount, w.Len()+int(w.Recovery().Missing), what)
		require.NoError(t, w.Close())
	})
}

// TestShortFile: what is left of a segment that is shorter than what each begins with is told in one line, and that nobody knows what was in it if nobody does.
func TestShortFile(t *testing.T) {
	t.Parallel()
	known := closedLog(t, small).Synced() // by Close
	unknown := known.Crash(nil)
	require.NoError(t, unknown.Remove("newest"))
	for what, c := range map[string]struct {
		disk *spooltest.Mem
		at   int
		want string
	}{
		"a header, closed":      {known, 100, "bytes 8192 to 19176: the file ends at byte 100: messages 1 to 20 lost, and acknowledgements may be"},
		"no records, closed":    {known, 8192, "bytes 8192 to 19176: the file ends at byte 8192: messages 1 to 20 lost, and acknowledgements may be"},
		"no checkpoint, closed": {known, 9000, "bytes 8192 to 19176: no readable checkpoint: messages 1 to 20 lost, and acknowledgements may be"},
		"a header":              {unknown, 100, "bytes 100 to 100: the file ends at byte 100: messages from 1 on lost"},
		"no records":            {unknown, 8192, "bytes 8192 to 8192: the file ends at byte 8192: messages from 1 on lost"},
		"no checkpoint":         {unknown, 9000, "bytes 8192 to 8192: no readable checkpoint: messages from 1 on lost"},
	} {
		disk := c.disk.Crash(nil)
		disk.Put(closedSegment, disk.Bytes(closedSegment)[:c.at])
		report, err := spool.VerifyFS(disk)
		require.NoError(t, err)
		require.Len(t, report.Damage, 1, what)
		assert.Equal(t, closedSegment+": "+c.want, report.Damage[0].String(), what)
		v, err := spool.OpenViewFS(disk)
		require.NoError(t, err)
		assert.Equal(t, report.Damage, v.Stats().Recovery.Damage, what)
		_, err = spool.RepairFS(disk)
		require.NoError(t, err)
		require.NoError(t, open(t, disk, small).Recovery().Err(), what)
	}
	sealed := threeSegments(t)
	sealed.Put("00000000000000000002.seg", sealed.Bytes("00000000000000000002.seg")[:100])
	report, err := spool.VerifyFS(sealed)
	require.NoError(t, err)
	require.Len(t, report.Damage, 1)
	assert.Equal(t, "00000000000000000002.seg: bytes 100 to 100: the file ends at byte 100: messages 6 to 10 lost", report.Damage[0].String())
}

// TestClosingLosesNothing opens and closes a log again and again, and loses power before each call of that, and again in the recovery: nothing is damage then.
func TestClosingLosesNothing(t *testing.T) {
	t.Parallel()
	disk, rng := spooltest.NewMem(), rand.New(rand.NewPCG(5, 6))
	var sent, confirmed atomic.Uint64
	var one sync.Mutex // calls come from several goroutines
	calls := 0
	fs := &spooltest.Faulty{FS: disk}
	fs.Before = func(int64, string, string) error {
		one.Lock()
		defer one.Unlock()
		if calls++; !thorough && calls%7 != 0 {
			return nil
		}
		for range rounds(2, 20) {
			must := confirmed.Load()
			left := disk.Crash(rng)
			tried := sent.Load()
			nothingLost(t, crashAgain(left, rng), must, tried)
			nothingLost(t, left, must, tried)
		}
		return nil
	}
	for range 8 {
		l := openOneOfMany(t, fs, small)
		for range 5 {
			n, err := l.Append(bounded(t), body(sent.Add(1), closedBody))
			require.NoError(t, err)
			confirmed.Store(n)
		}
		require.NoError(t, l.Queue().Ack(confirmed.Load(), confirmed.Load()))
		require.NoError(t, l.Close())
	}
	one.Lock()
	defer one.Unlock()
	assert.Greater(t, calls, 150)
}

// nothingLost wants no damage, and all that was confirmed.
func nothingLost(t *testing.T, disk *spooltest.Mem, must, tried uint64) {
	t.Helper()
	report, err := spool.VerifyFS(disk)
	require.True(t, err == nil || errors.Is(err, spool.ErrNotSpool), err)
	require.Empty(t, report.Damage)
	l, err := spool.OpenFS(disk, small)
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, l.Recovery().Err())
	numbers, gaps := read(t, l.Reader(spool.Beginning()), closedBody)
	require.Empty(t, gaps)
	require.Equal(t, upTo(uint64(len(numbers))), numbers)
	require.True(t, must <= l.Next()-1 && l.Next()-1 <= tried, "%d of %d to %d", len(numbers), must, tried)
}

// TestClosedEndMissing_Recovery lets each call of opening a log that lost its end fail, and power be lost before it: the next opening finds the same, and no number is given twice.
func TestClosedEndMissing_Recovery(t *testing.T) {
	t.Parallel()
	whole, rng := closedLog(t, small), rand.New(rand.NewPCG(7, 8))
	whole.Put(closedSegment, whole.Bytes(closedSegment)[:15000])
	report, err := spool.VerifyFS(whole)
	require.NoError(t, err)
	lost := lostIn(report)
	require.Greater(t, len(lost), 10)
	for at := int64(1); at < 50; at++ {
		disk, left := whole.Crash(nil), (*spooltest.Mem)(nil)
		var one sync.Mutex
		l, err := spool.OpenFS(&spooltest.Faulty{FS: disk, Before: func(call int64, _, _ string) error {
			one.Lock()
			defer one.Unlock()
			if call == at {
				left = disk.Crash(rng)
				return spooltest.ErrInjected
			}
			return nil
		}}, small)
		if err == nil {
			_ = l.Close()
		}
		for _, fs := range []*spooltest.Mem{disk, left} {
			if fs == nil {
				continue
			}
			report, err := spool.VerifyFS(fs)
			require.NoError(t, err, "call %d", at)
			require.Equal(t, lost, lostIn(report), "call %d", at)
			l := openOneOfMany(t, fs, small)
			fill(t, l, 2, closedBody)
			require.NoError(t, l.Close())
			continued(t, fs, small, lost, fmt.Sprint("call ", at))
		}
	}
}
