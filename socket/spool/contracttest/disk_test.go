package contracttest_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/contracttest"
)

// TestDisk runs the contract for the log of package spool.
func TestDisk(t *testing.T) {
	t.Parallel()
	var logs sync.Map // by their spools
	contracttest.Run(t, contracttest.Backend{
		Place: func(t *testing.T) func(spool.Kind) (socket.Spool, error) {
			dir := filepath.Join(t.TempDir(), "spool")
			return func(kind spool.Kind) (socket.Spool, error) {
				log, err := spool.Open(dir, spool.Options{Kind: kind, SegmentSize: 256 << 10})
				if err != nil {
					return nil, err
				}
				s := socket.SpoolOf(log)
				logs.Store(s, log)
				return s, nil
			}
		},
		Letters: func(t *testing.T, s socket.Spool) (all []spool.Letter) {
			log, _ := logs.Load(s)
			dead, err := log.(*spool.Log).Dead()
			require.NoError(t, err)
			for l, err := range dead.Letters() {
				require.NoError(t, err)
				l.Frames = spool.Record{Frames: l.Frames}.Clone().Frames
				all = append(all, l)
			}
			return all
		},
		Replay: func(t *testing.T, s socket.Spool, l spool.Letter) error {
			log, _ := logs.Load(s)
			dead, err := log.(*spool.Log).Dead()
			if err != nil {
				return err
			}
			_, err = dead.Replay(t.Context(), l)
			return err
		},
		TooLarge: 65 << 20,
	})
}
