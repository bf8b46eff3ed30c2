package demo

import (
	"bytes"
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
	}
}

func TestBooksAddUp(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	require.NoError(t, balanced(t).print(&out))
	assert.Regexp(t, `│ total +│ +10 │ +10 │ +10 │ +10 │ +20 │ +20 │`, out.String())
	assert.Contains(t, out.String(), "orders  10 a second")
	assert.Contains(t, out.String(), "p50 1000 us")
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
	} {
		b := balanced(t)
		spoil(b)
		err := b.print(&bytes.Buffer{})
		require.ErrorIs(t, err, ErrCheck, want)
		assert.ErrorContains(t, err, want)
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
