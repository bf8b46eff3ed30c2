package reqrep

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

type scopeKey struct{}

// A request is a context like any other: it ends with its handler, its work or its deadline, or when it is forsaken, whenever it is asked, and with it
// those made of it.
func TestRequestIsAContext(t *testing.T) {
	t.Parallel()
	ended := map[string]struct {
		end  func(r *request, stop context.CancelFunc)
		want error
	}{
		"handler":  {func(r *request, _ context.CancelFunc) { r.end() }, context.Canceled},
		"forsaken": {func(r *request, _ context.CancelFunc) { r.forsake() }, context.Canceled},
		"work":     {func(_ *request, stop context.CancelFunc) { stop() }, context.Canceled},
		"deadline": {func(r *request, _ context.CancelFunc) { <-r.Done() }, context.DeadlineExceeded},
	}
	for name, c := range ended {
		for _, early := range []bool{false, true} { // whether somebody asks before
			work, stop := context.WithCancel(context.WithValue(t.Context(), scopeKey{}, "v"))
			e := &codec.Envelope{Type: "method"}
			r := &request{Context: work, e: e}
			if name == "deadline" {
				r.deadline = time.Now().Add(10 * time.Millisecond)
			}
			assert.Equal(t, "v", r.Value(scopeKey{}))
			assert.NoError(t, r.Err())
			r.begin()
			_, limited := r.Deadline()
			assert.Equal(t, name == "deadline", limited)
			assert.Same(t, e, patterns.FromContext(r))
			var within context.Context
			var others sync.WaitGroup
			if early {
				assert.Equal(t, "v", r.Value(scopeKey{}))
				var cancel context.CancelFunc
				within, cancel = context.WithCancel(r)
				defer cancel()
				for range 3 {
					others.Go(func() { <-r.Done() })
				}
			}
			c.end(r, stop)
			<-r.Done()
			others.Wait()
			assert.Equal(t, c.want, r.Err(), name)
			assert.Equal(t, c.want, context.Cause(r), name)
			if early {
				<-within.Done()
				assert.Equal(t, c.want, within.Err(), name)
			}
			late, cancel := context.WithCancel(r)
			assert.Equal(t, c.want, late.Err(), name)
			cancel()
			r.end()
			stop()
		}
	}
}

// One that is forsaken before a handler has it has ended when one does.
func TestForsakenBeforeItsHandler(t *testing.T) {
	t.Parallel()
	r := &request{Context: t.Context()}
	r.forsake()
	require.NoError(t, r.Err(), "it is the work's yet")
	r.begin()
	assert.Equal(t, context.Canceled, r.Err())
}
