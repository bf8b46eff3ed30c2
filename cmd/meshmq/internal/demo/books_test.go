package demo

import (
	"bytes"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// timed returns an encoded histogram of n values.
func timed(t *testing.T, n int64) []byte {
	h := newHistogram()
	require.NoError(t, h.RecordValues(int64(time.Millisecond), n))
	b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	require.NoError(t, err)
	return b
}

// balanced returns books that add up.
func balanced(t *testing.T) *books {
	worker := func(name string, n, sum uint64) report {
		return report{Name: name, Received: n, Asked: n, Published: n, Sum: sum, Waits: timed(t, int64(n)), Latency: timed(t, int64(n))}
	}
	return &books{
		desk:    report{Name: "desk", Sent: 10, Published: 10, Sum: 77, Seconds: 1},
		workers: []report{worker("a", 6, 40), worker("b", 4, 37)},
		price:   report{Name: "price", Answered: 10},
		auditor: report{Name: "auditor", Heard: 20},
		parcels: parcelBooks{
			desk:      report{Sent: 10, Sum: 99, SentAgain: 3, Seconds: 2},
			killed:    report{Received: 5},
			successor: report{Found: 4, Received: 7, ReceivedAgain: 3, Sent: 11},
			carrier:   report{Received: 12, ReceivedAgain: 2, Sum: 99},
			outage:    time.Second,
		},
	}
}

func TestBooksAddUp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, balanced(t).print(&out))
	assert.Regexp(t, `│ total +│ +10 │ +10 │ +10 │ +10 │ +20 │ +20 │`, out.String())
	assert.Contains(t, out.String(), "orders  10 a second")
	assert.Contains(t, out.String(), "p50 1000 us")
	assert.Regexp(t, `│ packing desk +│ +13 │ +3 │`, out.String())
	assert.Regexp(t, `│ different parcels +│ +10 │ +│ +│ +10 │`, out.String())
	assert.Contains(t, out.String(), "parcels 10 a second, each on disk before it was acknowledged, but for 1000 ms without a shipper")
}

func TestBooksDoNotAddUp(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(b *books){
		"orders sent and received: 10 and 9":               func(b *books) { b.workers[1].Received-- },
		"orders sent and received: 10 and 11":              func(b *books) { b.workers[1].Received++ },
		"checksums of orders sent and received: 77 and 76": func(b *books) { b.workers[0].Sum-- },
		"quotes asked for and answered: 10 and 9":          func(b *books) { b.price.Answered-- },
		"orders received and quoted: 10 and 9":             func(b *books) { b.workers[0].Asked-- },
		"orders and quotes timed: 10 and 4":                func(b *books) { b.workers[0].Latency = []byte("?") },
		"events published and heard: 20 and 19":            func(b *books) { b.auditor.Heard-- },
		"failures of b: 0 and 1":                           func(b *books) { b.workers[1].Failed++ },
		"a received no orders":                             func(b *books) { b.workers[0].Received = 0 },
		"nothing was sent":                                 func(b *books) { *b = books{} },
		"parcels sent and arrived: 10 and 9":               func(b *books) { b.parcels.carrier.Received-- },
		"parcels sent and arrived: 10 and 11":              func(b *books) { b.parcels.carrier.ReceivedAgain-- },
		"checksums of parcels sent and arrived: 99 and 98": func(b *books) { b.parcels.carrier.Sum-- },
		"received again by the shipper: 3 and 2":           func(b *books) { b.parcels.successor.ReceivedAgain-- },
		"and sent on: 11 and 10":                           func(b *books) { b.parcels.successor.Sent-- },
		"parcels taken in: 9, where 10 were sent":          func(b *books) { b.parcels.killed.Received = 2 },
		"parcels taken in: 14, where 10 were sent":         func(b *books) { b.parcels.killed.Received = 7 },
		"sent on and carried: 13 and only 12":              func(b *books) { b.parcels.successor.Sent = 13 },
		"nobody was killed at work":                        func(b *books) { b.parcels.desk.SentAgain = 0 },
		"spool was empty":                                  func(b *books) { b.parcels.successor.Found = 0 },
	} {
		b := balanced(t)
		spoil(b)
		err := b.print(&bytes.Buffer{})
		require.ErrorIs(t, err, ErrCheck, want)
		assert.ErrorContains(t, err, want)
	}
}

// TestKillNobody: a child that ended of itself was not killed, however it ended.
func TestKillNobody(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"true", "false"} {
		self, err := exec.LookPath(name)
		if err != nil {
			t.Skip("no ", name, " here")
		}
		d := &director{Config: Config{Self: self, Stderr: io.Discard}}
		c, err := d.start(t.Context(), "shipper", "shipper")
		require.NoError(t, err)
		_, err = c.next(t.Context())
		require.ErrorContains(t, err, "shipper ended without a report")
		assert.ErrorContains(t, c.kill(), "shipper was to be killed and ended of itself")
		d.readers.Wait()
	}
}

func TestReadOrders(t *testing.T) {
	t.Parallel()
	orders, err := readOrders()
	require.NoError(t, err)
	assert.GreaterOrEqual(t, len(orders), 100)
	seen := map[string]bool{}
	for _, o := range orders {
		assert.False(t, seen[o.ID], "order %s is there twice", o.ID)
		seen[o.ID] = true
		assert.NotEmpty(t, o.Customer, o.ID)
		assert.NotEmpty(t, o.Region, o.ID)
		assert.NotEmpty(t, o.Item, o.ID)
		assert.Positive(t, o.Quantity, o.ID)
		assert.Positive(t, cents(Quote{o.Item, o.Quantity}), o.ID)
	}
}
