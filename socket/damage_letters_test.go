package socket_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// rejected returns what makes a log of which all messages were given up, the last of them "the last".
func rejected(kind spool.Kind) func(t *testing.T, dir string) io.Closer {
	return func(t *testing.T, dir string) io.Closer {
		o := smallSpool
		o.Kind = kind
		log, err := spool.Open(dir, o)
		require.NoError(t, err)
		from, err := socket.SpoolOf(log).Consumer(map[spool.Kind]string{spool.Topic: "name"}[kind], spool.Beginning())
		require.NoError(t, err)
		for _, message := range []string{"the first", "the second", "the last"} {
			n, err := log.Append(limit(t), text(message))
			require.NoError(t, err)
			r := from.Reader(n)
			rec, err := r.TryNext()
			require.NoError(t, err)
			require.NoError(t, from.Bury(limit(t), rec, "no good"))
			require.NoError(t, r.Close())
		}
		require.NoError(t, log.Flush(limit(t)))
		return log
	}
}

// TestDamage_OfALetter: a dead letter that cannot be read is told by the socket that opens its spool, as that; the messages beside it are sound.
func TestDamage_OfALetter(t *testing.T) {
	t.Parallel()
	for _, kind := range []spool.Kind{spool.Queue, spool.Topic} {
		dir := filepath.Join(t.TempDir(), "log")
		require.NoError(t, rejected(kind)(t, dir).Close())
		segment := filepath.Join(dir, "dead", fmt.Sprintf("%020d.seg", 1))
		b, err := os.ReadFile(segment)
		require.NoError(t, err)
		b[bytes.Index(b, []byte("the second"))] ^= 1
		require.NoError(t, os.WriteFile(segment, b, 0o600))

		events, option := troubles(socket.SpoolTrouble)
		var s spoolSocket
		if kind == spool.Topic {
			s, _ = logged(t, dir, option)
		} else {
			s = spooled(t, dir, option)
		}
		e := nextOf(t, events)
		require.ErrorIs(t, e.Err, spool.ErrDamaged)
		assert.ErrorContains(t, e.Err, "dead/00000000000000000001.seg: bytes ")
		assert.ErrorContains(t, e.Err, "messages 2 to 2 lost")
		r := s.Stats().Spool.Recovery
		assert.Len(t, r.Damage, 1)
		assert.False(t, r.AcksLost())
		assert.Zero(t, r.Torn+r.TornLetters)
		require.NoError(t, s.Close())
		assert.Empty(t, events, "it is said once")
	}
}
