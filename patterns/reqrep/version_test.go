package reqrep_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// version is what knows one version of everything.
type version uint32

func (version) Name(reflect.Type) string { return "" }

func (v version) Encode(dst []byte, c codec.Codec, e *codec.Envelope, value any) ([]byte, error) {
	e.SchemaVersion = uint32(v)
	return c.Append(dst, value)
}

func (v version) Decode(c codec.Codec, e *codec.Envelope, value any) error {
	if e.SchemaVersion != uint32(v) {
		return fmt.Errorf("%w %d, want %d", patterns.ErrVersion, e.SchemaVersion, v)
	}
	return c.Unmarshal(e.Body, value)
}

// A version that the service does not know is an error of the caller's, and so is that of a reply that the caller does not know; no handler sees it.
func TestUnsupportedVersion(t *testing.T) {
	t.Parallel()
	s, addr := serve(t, silent(), patterns.WithSchemas(version(1)))
	called := false
	require.NoError(t, reqrep.Handle(s, "mark", func(context.Context, Question) (Answer, error) { called = true; return Answer{}, nil }))
	newer := dial(t, []patterns.Option{patterns.WithSchemas(version(2))}, addr)
	_, err := ask(t, newer, "mark", "")
	answer, _ := errors.AsType[*reqrep.Error](err)
	require.NotNil(t, answer, "%v", err)
	assert.Equal(t, reqrep.CodeUnsupportedVersion, answer.Code)
	assert.False(t, answer.Retryable)
	assert.ErrorIs(t, err, patterns.ErrVersion)
	assert.False(t, called)
	settles(t, s, patterns.Counts{Malformed: 1})

	got, err := ask(t, dial(t, []patterns.Option{patterns.WithSchemas(version(1))}, addr), "echo", "same")
	assert.NoError(t, err)
	assert.Equal(t, "same", got)

	_, plain := serve(t) // its replies have no version
	_, err = ask(t, dial(t, []patterns.Option{patterns.WithSchemas(version(1))}, plain), "echo", "")
	assert.ErrorIs(t, err, patterns.ErrVersion)
	_, typed := errors.AsType[*reqrep.Error](err)
	assert.False(t, typed, "it is the caller who cannot read it")
}
