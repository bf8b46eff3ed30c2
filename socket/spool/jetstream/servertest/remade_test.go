package servertest

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool/jetstream"
)

// TestOpen_WhileItIsMade: a request that was given up, or another process, makes the stream at the moment when it is asked for. The spool is looked for again, and one is there.
func TestOpen_WhileItIsMade(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for answer, passedOn := range map[string]bool{
		`{"code":400,"err_code":10058,"description":"stream name already in use"}`:      true, // what the first request made
		`{"code":500,"err_code":10049,"description":"error creating store for stream"}`: false,
	} {
		for _, stream := range []string{"orders", "orders_state"} {
			t.Run(fmt.Sprint(stream, passedOn), func(t *testing.T) {
				nc, domain := connect(t, n), fmt.Sprint(stream, passedOn) // the server has none: what is asked of it comes through here
				var refused atomic.Bool
				_, err := nc.Subscribe("$JS."+domain+".API.>", func(m *nats.Msg) {
					_, subject, _ := strings.Cut(m.Subject, "."+domain)
					reply := m.Reply
					if subject == ".API.STREAM.CREATE."+stream && refused.CompareAndSwap(false, true) {
						assert.NoError(t, m.Respond([]byte(`{"error":`+answer+`}`)))
						if !passedOn {
							return
						}
						reply = ""
					}
					assert.NoError(t, nc.PublishMsg(&nats.Msg{Subject: "$JS" + subject, Reply: reply, Data: m.Data, Header: m.Header}))
				})
				require.NoError(t, err)
				s := open(t, nc, "orders", jetstream.Options{Domain: domain})
				_, err = s.Append(bounded(t), []byte("x"))
				require.NoError(t, err)
				assert.True(t, refused.Load())
				require.NoError(t, s.Close())
				js := streamsOf(t, nc)
				require.NoError(t, js.DeleteStream(bounded(t), "orders"))
				require.NoError(t, js.DeleteStream(bounded(t), "orders_state"))
			})
		}
	}
}
