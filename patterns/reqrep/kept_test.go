package reqrep_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// The memory of requests and replies serves again, for those that come later, but what handlers and callers were given is theirs to keep.
func TestWhatWasGivenMayBeKept(t *testing.T) {
	t.Parallel()
	const callers, each = 50, 40
	type given struct {
		in []byte
		e  *codec.Envelope
	}
	var mu sync.Mutex
	ids := map[string]codec.ID{}
	var handled []given
	s, addr := serve(t)
	require.NoError(t, reqrep.Handle(s, "keep", func(ctx context.Context, in []byte) ([]byte, error) {
		e := patterns.FromContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		handled = append(handled, given{in, e})
		ids[string(in)] = e.ID
		return in, nil
	}))
	c := dial(t, nil, addr)
	text := func(caller, n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%d/%d ", caller, n), 1+n*n) } // up to 9 KiB
	var replies [callers][each][]byte
	var calls sync.WaitGroup
	for i := range callers {
		calls.Go(func() {
			for n := range each {
				var err error
				replies[i][n], err = reqrep.Call[[]byte, []byte](t.Context(), c, "keep", text(i, n))
				assert.NoError(t, err)
			}
		})
	}
	calls.Wait()
	for i := range callers {
		for n := range each {
			require.Equal(t, text(i, n), replies[i][n], "%d of caller %d", n, i)
		}
	}
	require.Len(t, handled, callers*each)
	for _, g := range handled {
		require.Equal(t, ids[string(g.in)], g.e.ID)
		require.Equal(t, "keep", g.e.Type)
		require.Nil(t, g.e.Body)
	}
}
