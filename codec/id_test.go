package codec

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewIDIncreasesAndIsUnique(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 2000
	lists := make([][]ID, workers)
	var wg sync.WaitGroup
	for w := range lists {
		wg.Go(func() {
			for range each {
				lists[w] = append(lists[w], NewID())
			}
		})
	}
	wg.Wait()
	seen := make(map[ID]bool)
	for _, ids := range lists {
		assert.True(t, slices.IsSortedFunc(ids, func(a, b ID) int { return bytes.Compare(a[:], b[:]) }))
		for _, id := range ids {
			seen[id] = true
		}
	}
	assert.Len(t, seen, workers*each)
}

// RFC 9562, 5.7: milliseconds of Unix time, then version 7 and the variant.
func TestNewIDIsUUIDVersion7(t *testing.T) {
	t.Parallel()
	before := time.Now().UnixMilli()
	id := NewID()
	var millis int64
	for _, b := range id[:6] {
		millis = millis<<8 | int64(b)
	}
	// Other tests may have drawn IDs ahead of the clock, by 4096 a millisecond.
	assert.InDelta(t, before, millis, 5000)
	assert.Equal(t, byte(0x70), id[6]&0xf0)
	assert.Equal(t, byte(0x80), id[8]&0xc0)
}

// The layout of RFC 9562, appendix A.6: its example of version 7.
func TestMakeIDMatchesRFC(t *testing.T) {
	t.Parallel()
	stamp, random := uint64(0x017F22E279B0)<<12|0xCC3, uint64(0x18C4DC0C0C07398F)<<2
	assert.Equal(t, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", makeID(stamp, random).String())
}

func TestIDText(t *testing.T) {
	t.Parallel()
	id := NewID()
	parsed, err := ParseID(id.String())
	require.NoError(t, err)
	assert.Equal(t, id, parsed)
	upper, err := ParseID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
	require.NoError(t, err)
	assert.Equal(t, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", upper.String())

	data, err := json.Marshal(id)
	require.NoError(t, err)
	assert.Equal(t, `"`+id.String()+`"`, string(data))
	var back ID
	require.NoError(t, json.Unmarshal(data, &back))
	assert.Equal(t, id, back)
	assert.Error(t, json.Unmarshal([]byte(`"x"`), &back))
	assert.Equal(t, id, back, "unchanged by an error")
	assert.True(t, ID{}.IsZero())
	assert.False(t, id.IsZero())
}

func TestParseIDErrors(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "017f22e2", "017f22e279b07cc398c4dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
		"017f22e2+79b0-7cc3-98c4-dc0c0c07398f", "g17f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017f22e2-79b0-7cc3-98c4dc0c0c07398f-",
	} {
		id, err := ParseID(s)
		assert.ErrorContains(t, err, "message id", s)
		assert.True(t, id.IsZero(), s)
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			NewID()
		}
	})
}

func TestStamp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var e Envelope
		for _, pause := range []time.Duration{0, time.Nanosecond, anchorAge - 1, anchorAge, time.Hour} {
			time.Sleep(pause)
			was := e.ID
			e.Stamp()
			assert.True(t, e.Time.Equal(time.Now()), "%v after the stamp before", pause)
			if pause > 0 {
				assert.Equal(t, was, e.ID, "an ID stays")
			}
		}
		other := e
		other.ID = ID{}
		other.Stamp()
		assert.Positive(t, bytes.Compare(other.ID[:], e.ID[:]))
	})
}
