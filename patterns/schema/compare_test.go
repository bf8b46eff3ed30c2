package schema_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/schema"
)

type (
	base struct {
		ID     codec.ID
		Amount int32
		Tags   []string           `msgpack:"tags"`
		Prices map[string]float32 `msgpack:"prices"`
		Note   string             `msgpack:"note,omitempty"`
		Parent *base
		secret int
		Never  func() `msgpack:"-"`
	}
	wider struct {
		ID     codec.ID
		Amount int64
		Tags   []string           `msgpack:"tags"`
		Prices map[string]float64 `msgpack:"prices"`
		Note   string             `msgpack:"note,omitempty"`
		Parent *wider
	}
	optional struct {
		base
		Colour *string
		When   time.Time `msgpack:",omitempty"`
	}
	required struct {
		base
		Colour string
	}
	renamed struct {
		base
		Shade *string
		When  time.Time `msgpack:",omitempty"`
	}
	cased struct {
		base
		COLOUR *string
		When   time.Time `msgpack:",omitempty"`
	}
	without struct {
		ID     codec.ID
		Amount int32
	}
	retyped struct {
		ID     string
		Amount string
	}
)

func TestCompatible(t *testing.T) {
	t.Parallel()
	c := codec.Msgpack
	for name, s := range map[string]struct {
		check             func(mode schema.Mode) error
		backward, forward string // what is said; "" for nothing
	}{
		"none": {func(m schema.Mode) error { return schema.Compatible[base, base](c, m) }, "", ""},
		"wider": {func(m schema.Mode) error { return schema.Compatible[base, wider](c, m) }, "",
			"breaking change: Amount: old readers want int32, new writers write int64\n" +
				"breaking change: prices[]: old readers want float32, new writers write float64"},
		"optional field added":   {func(m schema.Mode) error { return schema.Compatible[base, optional](c, m) }, "", ""},
		"optional field removed": {func(m schema.Mode) error { return schema.Compatible[optional, base](c, m) }, "", ""},
		"required field added": {func(m schema.Mode) error { return schema.Compatible[base, required](c, m) },
			"breaking change: Colour: new readers need it, old writers do not write it", ""},
		"required field removed": {func(m schema.Mode) error { return schema.Compatible[required, base](c, m) }, "",
			"breaking change: Colour: old readers need it, new writers do not write it"},
		"optionality tightened": {func(m schema.Mode) error { return schema.Compatible[optional, required](c, m) },
			"breaking change: Colour: new readers need it, old writers may leave it out", ""},
		"optionality loosened": {func(m schema.Mode) error { return schema.Compatible[required, optional](c, m) }, "",
			"breaking change: Colour: old readers need it, new writers may leave it out"},
		"renamed": {func(m schema.Mode) error { return schema.Compatible[optional, renamed](c, m) },
			"breaking change: Shade: looks like what old writers call Colour: rename by two changes, or by a version",
			"breaking change: Colour: looks like what new writers call Shade: rename by two changes, or by a version"},
		"cased": {func(m schema.Mode) error { return schema.Compatible[optional, cased](c, m) },
			"breaking change: COLOUR: old writers call it Colour", "breaking change: Colour: new writers call it COLOUR"},
		"retyped": {func(m schema.Mode) error { return schema.Compatible[without, retyped](c, m) },
			"breaking change: Amount: new readers want string, old writers write int32\n" +
				"breaking change: ID: new readers want string, old writers write custom codec.ID",
			"breaking change: Amount: old readers want int32, new writers write string\n" +
				"breaking change: ID: old readers want custom codec.ID, new writers write string"},
		"any reads all": {func(m schema.Mode) error { return schema.Compatible[without, any](c, m) }, "",
			"breaking change: the value: old readers want object, new writers write any"},
		"an int reads a shorter uint": {func(m schema.Mode) error { return schema.Compatible[uint32, int](c, m) }, "",
			"breaking change: the value: old readers want uint32, new writers write int64"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[schema.Mode]string{schema.Backward: s.backward, schema.Forward: s.forward} {
				err := s.check(mode)
				if want == "" {
					assert.NoError(t, err)
					continue
				}
				assert.EqualError(t, err, want)
				assert.ErrorIs(t, err, schema.ErrBreaking)
			}
			if s.backward+s.forward == "" {
				assert.NoError(t, s.check(schema.Full))
			} else {
				assert.ErrorIs(t, s.check(schema.Full), schema.ErrBreaking)
			}
		})
	}
	_ = base{}.secret
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	d, err := schema.Describe[optional](codec.Msgpack)
	require.NoError(t, err)
	text, err := json.Marshal(d)
	require.NoError(t, err)
	assert.JSONEq(t, `{"codec":"msgpack","shape":{"kind":"object","fields":[
		{"name":"Amount","shape":{"kind":"int32"}},
		{"name":"Colour","optional":true,"shape":{"kind":"string"}},
		{"name":"ID","shape":{"kind":"custom codec.ID"}},
		{"name":"Parent","optional":true,"shape":{"kind":"object","fields":[
			{"name":"Amount","shape":{"kind":"int32"}},
			{"name":"ID","shape":{"kind":"custom codec.ID"}},
			{"name":"Parent","optional":true,"shape":{"kind":"back","levels":1}},
			{"name":"note","optional":true,"shape":{"kind":"string"}},
			{"name":"prices","shape":{"kind":"map","key":{"kind":"string"},"elem":{"kind":"float32"}}},
			{"name":"tags","shape":{"kind":"list","elem":{"kind":"string"}}}]}},
		{"name":"When","optional":true,"shape":{"kind":"time"}},
		{"name":"note","optional":true,"shape":{"kind":"string"}},
		{"name":"prices","shape":{"kind":"map","key":{"kind":"string"},"elem":{"kind":"float32"}}},
		{"name":"tags","shape":{"kind":"list","elem":{"kind":"string"}}}]}}`, string(text))
	var back schema.Description
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, d, back)
}

type array struct {
	_msgpack struct{} `msgpack:",as_array"`
	N        int
}

type endless struct {
	*endless
	N int
}

func TestDescribeRefuses(t *testing.T) {
	t.Parallel()
	_, err := schema.Describe[[]array](codec.Msgpack)
	assert.ErrorContains(t, err, "written as an array")
	_, err = schema.Describe[array](codec.JSON)
	assert.NoError(t, err, "its tag is another codec's")
	_, err = schema.Describe[map[string]chan int](codec.JSON)
	assert.ErrorContains(t, err, "describe map[string]chan int: chan int: nothing to send")
	_, err = schema.Describe[endless](codec.JSON)
	assert.ErrorContains(t, err, "embeds itself")
	assert.Error(t, schema.Compatible[chan int, int](codec.JSON, schema.Full))
	assert.Error(t, schema.Compatible[int, chan int](codec.JSON, schema.Full))
	_, _ = array{}._msgpack, endless{}.endless
}

// Descriptions from files may be of any form.
func TestCompareBearsAnything(t *testing.T) {
	t.Parallel()
	list := schema.Description{Codec: "json", Shape: schema.Shape{Kind: "list"}}
	whole, err := schema.Describe[[]int](codec.JSON)
	require.NoError(t, err)
	assert.ErrorIs(t, schema.Compare(list, whole, schema.Full), schema.ErrBreaking)
	list.Shape.Kind = "map"
	assert.NoError(t, schema.Compare(list, list, schema.Full))
	list.Shape = schema.Shape{Kind: "back", Levels: 3}
	assert.NoError(t, schema.Compare(list, list, schema.Full))
	whole.Codec = "msgpack"
	assert.ErrorContains(t, schema.Compare(list, whole, 0), "was described for json, is for msgpack")
}
