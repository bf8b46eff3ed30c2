package monitor_test

import (
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/monitor"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the files in testdata")

// fill makes every field something.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint64:
		v.SetUint(2)
	case reflect.Float64:
		v.SetFloat(0.5)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("text"), reflect.ValueOf(uint64(2)))
	case reflect.Struct:
		if at, ok := v.Addr().Interface().(*time.Time); ok {
			*at = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	}
}

// times may come back in another zone.
var times = regexp.MustCompile(`"2026-11-2[345]T[^"]*"`)

// The names in JSON, which programs rely on, are those of testdata/snapshot.json; and nothing is lost on the way, whatever the codec.
func TestNamesStay(t *testing.T) {
	t.Parallel()
	var s monitor.Snapshot
	fill(reflect.ValueOf(&s).Elem())
	text, err := json.MarshalIndent(s, "", " ")
	require.NoError(t, err)
	const path = "testdata/snapshot.json"
	if *rewrite {
		require.NoError(t, os.WriteFile(path, append(text, '\n'), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), string(text)+"\n")
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		b, err := c.Append(nil, s)
		require.NoError(t, err)
		var back monitor.Snapshot
		require.NoError(t, c.Unmarshal(b, &back))
		again, err := json.MarshalIndent(back, "", " ")
		require.NoError(t, err)
		assert.Equal(t, times.ReplaceAllString(string(text), "time"), times.ReplaceAllString(string(again), "time"), c.Name())
	}
}
