package patterns_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

func TestExpiry(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	e := &codec.Envelope{Time: time.Now()}
	assert.NoError(t, patterns.Expired(e, made))
	patterns.WithTime(made)(e)
	patterns.WithTTL(time.Second)(e)
	assert.NoError(t, patterns.Expired(e, made.Add(999*time.Millisecond)))
	assert.ErrorIs(t, patterns.Expired(e, made.Add(time.Second)), patterns.ErrExpired)
	patterns.WithExpiry(made.Add(time.Hour))(e)
	assert.NoError(t, patterns.Expired(e, made.Add(time.Minute)))
	assert.EqualError(t, patterns.Expired(e, made.Add(61*time.Minute)), "message expired 1m0s ago")
	patterns.WithHeader(patterns.HeaderExpires, "soon")(e)
	assert.ErrorIs(t, patterns.Expired(e, made), patterns.ErrMalformed)
	patterns.WithKey("7")(e)
	assert.Equal(t, "7", e.Header(patterns.HeaderKey))
}
