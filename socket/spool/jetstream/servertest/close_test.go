package servertest

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// TestClose_BesideCalls: calls of all kinds that are under way when the spool is closed end, as if it had been before or after them; what was confirmed is there.
func TestClose_BesideCalls(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	s := open(t, nc, "orders", quick)
	c, err := s.Consumer("audit", spool.Beginning()) // acknowledges nothing but what it buries
	require.NoError(t, err)
	confirmed, all := write(t, s, "one", 4, 1<<20)
	confirmed.await(t, 10)
	rec := next(t, func() socket.SpoolReader { r := c.Reader(0); t.Cleanup(func() { _ = r.Close() }); return r }())
	var ends sync.Map
	for name, call := range map[string]func() error{
		"flush": func() error { return s.Flush(bounded(t)) },
		"enqueue": func() error {
			n, err := s.Enqueue(bounded(t), []byte("two"))
			if err == nil {
				err = s.Wait(bounded(t), n)
			}
			return err
		},
		"consumer": func() error {
			_, err := s.Consumer("other", spool.End())
			return errors.Join(err, s.RemoveConsumer("other"))
		},
		"bury": func() error { return c.Bury(bounded(t), rec, "bad") },
		"letters": func() (err error) {
			for _, err = range s.Letters(bounded(t)) {
			}
			return err
		},
		"read": func() error {
			r := c.Reader(0)
			defer r.Close()
			for range 100 {
				if _, err := r.TryNext(); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
			}
			return s.Flush(bounded(t)) // what is at hand may be read for ever
		},
	} {
		all.Go(func() { // ends with the spool
			for err := error(nil); ; err = call() {
				if err != nil {
					ends.Store(name, err)
					return
				}
			}
		})
	}
	confirmed.await(t, 50)
	require.NoError(t, s.Close())
	all.Wait()
	ends.Range(func(name, err any) bool {
		return assert.ErrorIs(t, err.(error), spool.ErrClosed, name)
	})
	s = open(t, nc, "orders", quick)
	stored := map[uint64]string{}
	r := reader(t, s, 0)
	for n, end := uint64(1), s.State().Next; n < end; n++ {
		rec := next(t, r)
		stored[rec.Number] = string(rec.Frames[0])
	}
	for number, body := range confirmed.given {
		require.Equal(t, body, stored[number])
	}
}
