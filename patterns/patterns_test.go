package patterns_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
)

func TestFromContext(t *testing.T) {
	t.Parallel()
	assert.Nil(t, patterns.FromContext(t.Context()))
	e := &codec.Envelope{ID: codec.NewID()}
	assert.Same(t, e, patterns.FromContext(patterns.NewContext(t.Context(), e)))
}

func TestErrorSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	cause := errors.New("sold out")
	id, err := codec.ParseID("0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6")
	require.NoError(t, err)
	for want, e := range map[string]*patterns.Error{
		"decode: sold out":                  patterns.NewError("decode", nil, "", cause),
		"decode from 10.0.0.7:80: sold out": patterns.NewError("decode", nil, "10.0.0.7:80", cause),
		"handle Order 0192f0c1-2b3c-7d4e-8f90-a1b2c3d4e5f6 from x: sold out": patterns.NewError("handle",
			&codec.Envelope{ID: id, Type: "Order"}, "x", cause),
	} {
		assert.EqualError(t, e, want)
		assert.ErrorIs(t, e, cause)
	}
}

// Not parallel: it changes the default logger.
func TestLogError(t *testing.T) {
	var out bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(old)
	patterns.LogError(context.Background(), errors.New("sold out"))
	assert.Contains(t, out.String(), `level=ERROR msg="sold out"`)
	assert.NotContains(t, out.String(), "stack")
	patterns.LogError(context.Background(), patterns.NewError("handle", nil, "", &patterns.PanicError{Value: "oh", Stack: []byte("line 7")}))
	assert.Contains(t, out.String(), `msg="handle: handler panicked: oh" stack="line 7"`)
}

// Each test that FAULTS.md names is there, and each of a row of the fault plan is named.
func TestFaultPlan(t *testing.T) {
	t.Parallel()
	plan, err := os.ReadFile("FAULTS.md")
	require.NoError(t, err)
	named := make(map[string]bool)
	for _, name := range regexp.MustCompile(`TestFault\d+_\w+`).FindAllString(string(plan), -1) {
		named[name] = true
	}
	there := make(map[string]bool)
	require.NoError(t, filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		code, err := os.ReadFile(path)
		for _, match := range regexp.MustCompile(`(?m)^func (TestFault\d+_\w+)\(`).FindAllSubmatch(code, -1) {
			if name := string(match[1]); !strings.HasSuffix(name, "_Child") {
				there[name] = true
			}
		}
		return err
	}))
	assert.Equal(t, named, there)
}
