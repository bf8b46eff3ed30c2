package watch_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/monitor"
)

// What a stranger says in place of a Snapshot, once and again, is shown without harm, and goes as JSON.
func FuzzSnapshot(f *testing.F) {
	for n := range 2 {
		for _, s := range []monitor.Snapshot{desk(n), bench(n)} {
			b, err := codec.Msgpack.Append(nil, s)
			require.NoError(f, err)
			f.Add(b, b)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var tracker watch.Tracker
		var view watch.View
		for n, b := range [][]byte{first, second} {
			a := watch.Answer{Endpoint: "tcp://anna:1", Connected: true}
			a.Err = codec.Msgpack.Unmarshal(b, &a.Snapshot)
			view = tracker.Note(noon.Add(time.Duration(n)*time.Second), []watch.Answer{a})
		}
		_, err := json.Marshal(view)
		require.NoError(t, err)
		var b strings.Builder
		require.NoError(t, watch.WriteTable(&b, view, watch.Layout{Sort: "queue", Parts: true}))
		harmless(t, b.String())
		harmless(t, shown(100, 30, view).Render())
	})
}
