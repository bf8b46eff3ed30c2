package schematest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/schema"
	"github.com/meshmq/meshmq/patterns/schema/schematest"
)

type (
	order struct{ Item string }
	grown struct {
		Item string
		Note *string
	}
	other struct{ Article string }
)

// judge is a test that says how it ended.
type judge struct {
	testing.TB
	verdict string
}

func (j *judge) Helper() {}
func (j *judge) Fatal(args ...any) {
	j.verdict = fmt.Sprint(args...)
	panic(j)
}
func (j *judge) Fatalf(format string, args ...any) { j.Fatal(fmt.Sprintf(format, args...)) }

// recorded returns what Recorded fails with, "" for nothing.
func recorded[T any](t *testing.T, path string) string {
	j := &judge{TB: t}
	func() {
		defer func() {
			if v := recover(); v != nil && v != any(j) {
				panic(v)
			}
		}()
		schematest.Recorded[T](j, path, codec.JSON, schema.Full)
	}()
	return j.verdict
}

// Not parallel: it sets an environment variable.
func TestRecorded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "order.json")
	assert.Contains(t, recorded[order](t, path), "run this test with MESHMQ_RECORD_SCHEMAS=1")
	t.Setenv(schematest.RecordVariable, "1")
	assert.Empty(t, recorded[order](t, path))
	t.Setenv(schematest.RecordVariable, "")
	assert.Empty(t, recorded[order](t, path))
	assert.Contains(t, recorded[grown](t, path), "does not describe schematest_test.grown as it is")
	first, err := os.ReadFile(path)
	require.NoError(t, err)

	t.Setenv(schematest.RecordVariable, "1")
	assert.Contains(t, recorded[other](t, path), "breaking change: Item: old readers need it")
	still, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, first, still, "what breaks is not recorded")
	assert.Empty(t, recorded[grown](t, path))
	assert.Empty(t, recorded[grown](t, path))

	assert.Contains(t, recorded[chan int](t, path), "nothing to send")
	require.NoError(t, os.WriteFile(path, []byte("{"), 0o600))
	assert.Contains(t, recorded[order](t, path), "unexpected end of JSON input")
}

// A type as it was recorded, kept beside the test.
func TestRecordedFile(t *testing.T) {
	t.Parallel()
	schematest.Recorded[order](t, "testdata/order.json", codec.JSON, schema.Full)
}
