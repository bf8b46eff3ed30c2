package spool_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// What goes while a view looks at it was dropped, not damaged, or needs no word where it was acknowledged. What is there comes behind it, up to where the view ends.
func TestViewWhoseSegmentsGo(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]spool.Options{
		"queue, dropped":      {Full: spool.DropOldest},
		"topic, dropped":      {Kind: spool.Topic, Full: spool.DropOldest},
		"queue, acknowledged": {},
	} {
		o.SegmentSize, o.Quota = 64<<10, 512<<10
		for _, far := range []bool{false, true} { // all of the view goes
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				fs := spooltest.NewMem()
				l := open(t, fs, o)
				fill(t, l, 600, 500)
				v, err := spool.OpenViewFS(fs)
				require.NoError(t, err)
				end := v.Stats().Next - 1
				r := v.Reader(spool.Beginning())
				begun, err := r.TryNext()
				require.NoError(t, err)
				require.Equal(t, v.Stats().First, begun.Number)
				ended := v.Reader(spool.At(end)) // it has the last segment open
				_, err = ended.TryNext()
				require.NoError(t, err)

				more := 300
				if far {
					more = 3000
				}
				for range more {
					if l.Queue() != nil && o.Full != spool.DropOldest {
						require.NoError(t, l.Queue().Ack(1, l.Next()-1))
					}
					fill(t, l, 1, 500)
				}
				require.NoError(t, l.Release(t.Context()))
				first := l.First()
				dropped := o.Full == spool.DropOldest
				require.Equal(t, far || !dropped, first > end)

				numbers, gaps := read(t, v.Reader(spool.Beginning()), 500)
				assert.Equal(t, fromTo(first, end), numbers)
				if dropped {
					assert.Equal(t, []*spool.Gap{{From: v.Stats().First, To: min(first-1, end)}}, gaps)
				} else {
					assert.Empty(t, gaps)
				}
				_, err = ended.TryNext()
				require.ErrorIs(t, err, io.EOF)
				_, err = ended.Next(t.Context())
				require.ErrorIs(t, err, spool.ErrClosed)
				require.NoError(t, errors.Join(r.Close(), ended.Close()))
			})
		}
	}
}

// goneFS is a spool of which the oldest segments go as soon as they have been listed.
type goneFS struct {
	spool.FS
	names []string
}

func (g *goneFS) List(dir string) ([]string, error) {
	names, err := g.FS.List(dir)
	for _, name := range g.names {
		_ = g.Remove(name)
	}
	return names, err
}

// A view is of what is there: segments that go while it is opened are neither errors nor damage.
func TestViewOfASpoolThatMoves(t *testing.T) {
	t.Parallel()
	fs := spooltest.NewMem()
	l := open(t, fs, spool.Options{Kind: spool.Topic, SegmentSize: 64 << 10, Full: spool.DropOldest, Quota: 512 << 10})
	fill(t, l, 2000, 500)
	s := l.Stats()
	v, err := spool.OpenViewFS(&goneFS{fs, []string{s.Segments[0].Name, s.Segments[1].Name}})
	require.NoError(t, err)
	assert.Equal(t, s.Segments[2].From, v.Stats().First)
	assert.Empty(t, v.Stats().Recovery.Damage)
	numbers, gaps := read(t, v.Reader(spool.Beginning()), 500)
	assert.Equal(t, fromTo(s.Segments[2].From, 2000), numbers)
	assert.Empty(t, gaps)

	_, err = spool.OpenView(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
