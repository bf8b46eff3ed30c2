package servertest

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/contracttest"
	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// TestContract runs what the log on disk has to do, too.
func TestContract(t *testing.T) {
	t.Parallel()
	nc := connect(t, startNode(t, nil))
	var places atomic.Uint64
	contracttest.Run(t, contracttest.Backend{
		Place: func(t *testing.T) func(spool.Kind) (socket.Spool, error) {
			name := fmt.Sprint("place-", places.Add(1))
			return func(kind spool.Kind) (socket.Spool, error) {
				s, err := jetstream.Open(bounded(t), nc, name, jetstream.Options{Kind: kind})
				if err != nil {
					return nil, err // and no spool that is not nil
				}
				return s, nil
			}
		},
		Letters: func(t *testing.T, s socket.Spool) (all []spool.Letter) {
			for l, err := range s.(*jetstream.Spool).Letters(bounded(t)) {
				require.NoError(t, err)
				all = append(all, l)
			}
			return all
		},
		Replay: func(t *testing.T, s socket.Spool, l spool.Letter) error {
			_, err := s.(*jetstream.Spool).Replay(bounded(t), l)
			return err
		},
		TooLarge: 1 << 20,
	})
}
