package schema_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/schema"
)

func TestEveryVersionIsReadAsEachOtherThereIsAWayTo(t *testing.T) {
	t.Parallel()
	r := registry(t, v1(), v2(), v3())
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		for _, sent := range []struct {
			value   any
			version uint32
			asOrder any // nil for ErrVersion; an error if it says so
			asV2    any
			asV1    any
		}{
			{OrderV1{"Ada Byron"}, 1, Order{First: "Ada", Last: "Byron", Currency: "EUR"}, OrderV2{"Ada", "Byron"}, OrderV1{"Ada Byron"}},
			{&OrderV2{"Ada", "Byron"}, 2, Order{First: "Ada", Last: "Byron", Currency: "EUR"}, OrderV2{"Ada", "Byron"}, nil},
			{Order{First: "Ada", Last: "Byron"}, 3, Order{First: "Ada", Last: "Byron"}, OrderV2{"Ada", "Byron"}, nil},
			{OrderV1{"Ada"}, 1, errName, errName, OrderV1{"Ada"}},
			{OrderV1{"panic now"}, 1, patterns.ErrPanic, patterns.ErrPanic, OrderV1{"panic now"}},
		} {
			e := encode(t, r, c, sent.value)
			assert.Equal(t, sent.version, e.SchemaVersion)
			for at, want := range map[any]any{new(Order): sent.asOrder, new(OrderV2): sent.asV2, new(OrderV1): sent.asV1} {
				err := r.Decode(c, e, at)
				switch want := want.(type) {
				case nil:
					assert.ErrorIs(t, err, patterns.ErrVersion, "%T as %T", sent.value, at)
				case error:
					assert.ErrorIs(t, err, want)
					assert.ErrorContains(t, err, "Order version 1: convert schema_test.OrderV1")
				default:
					require.NoError(t, err, "%T as %T", sent.value, at)
					assert.Equal(t, want, reflect.ValueOf(at).Elem().Interface())
				}
			}
		}
	}
}

func TestVersionsThatNobodyKnows(t *testing.T) {
	t.Parallel()
	r := registry(t, v1(), v2(), v3())
	e := encode(t, r, codec.JSON, Order{First: "Ada"})
	e.SchemaVersion = 7
	err := r.Decode(codec.JSON, e, new(Order))
	assert.ErrorIs(t, err, patterns.ErrVersion)
	assert.EqualError(t, err, "unknown schema version 7 of Order: want one of 1, 2, 3")

	e.SetHeader(schema.HeaderSince, "3")
	o := new(Order)
	require.NoError(t, r.Decode(codec.JSON, e, o), "it says that it can be read so")
	assert.Equal(t, "Ada", o.First)
	two := new(OrderV2)
	require.NoError(t, r.Decode(codec.JSON, e, two), "by way of the newest known")
	assert.Equal(t, "Ada", two.First)
	for _, since := range []string{"4", "0", "-1", "x", "99999999999", "7"} {
		e.SetHeader(schema.HeaderSince, since)
		assert.ErrorIs(t, r.Decode(codec.JSON, e, new(Order)), patterns.ErrVersion, since)
	}
	e = encode(t, r, codec.JSON, Order{})
	e.SetHeader(schema.HeaderSince, "1")
	assert.ErrorIs(t, r.Decode(codec.JSON, e, new(OrderV1)), patterns.ErrVersion, "a version that is known is not taken for another")
}

func TestMessagesWithoutAVersionAreOfTheOldest(t *testing.T) {
	t.Parallel()
	r := registry(t, v2(), v3(), v1())
	e := &codec.Envelope{Body: []byte(`{"Name":"Ada Byron"}`)}
	var o **Order
	require.NoError(t, r.Decode(codec.JSON, e, &o))
	assert.Equal(t, "Byron", (*o).Last)
	assert.ErrorIs(t, r.Decode(codec.JSON, e, (*Order)(nil)), codec.ErrType)

	e.Body = []byte(`{`)
	assert.ErrorIs(t, r.Decode(codec.JSON, e, &o), codec.ErrMalformed)
}

func TestOtherTypesPassAsTheyAre(t *testing.T) {
	t.Parallel()
	r := registry(t, v1())
	for _, v := range []any{7, nil, []Order{{}}, OrderV2{}} {
		e := encode(t, r, codec.JSON, v)
		assert.Zero(t, e.SchemaVersion)
		assert.Empty(t, r.Name(reflect.TypeOf(v)))
	}
	var n int
	e := &codec.Envelope{Body: []byte("7"), SchemaVersion: 3}
	require.NoError(t, r.Decode(codec.JSON, e, &n))
	assert.Equal(t, 7, n)
	assert.Equal(t, "Order", r.Name(reflect.TypeFor[**OrderV1]()))
}

func TestEncodeChecks(t *testing.T) {
	t.Parallel()
	r := registry(t, v1(), v2(), v3())
	bad := &Order{Cents: -1}
	type named *Order
	for _, v := range []any{bad, *bad, &bad, named(bad), (*Order)(nil), new(*Order)} {
		e := &codec.Envelope{}
		_, err := r.Encode(nil, codec.JSON, e, v)
		assert.ErrorIs(t, err, patterns.ErrInvalid, "%T", v)
		assert.ErrorContains(t, err, "Order version 3: invalid value: ")
	}
	for _, v := range []any{(*OrderV1)(nil), new(*OrderV1)} { // which has no Validate
		_, err := r.Encode(nil, codec.JSON, &codec.Envelope{}, v)
		assert.ErrorIs(t, err, patterns.ErrInvalid, "%T", v)
		assert.EqualError(t, err, "Order version 1: invalid value: nil")
	}
}

func TestWriteAs(t *testing.T) {
	t.Parallel()
	r := registry(t, schema.Version[OrderV2]("Order", 2), v3(), schema.WriteAs("Order", 2))
	ada := &Order{First: "Ada", Last: "Byron"}
	for _, v := range []any{ada, *ada, &ada, OrderV2{"Ada", "Byron"}} {
		e := encode(t, r, codec.JSON, v)
		assert.EqualValues(t, 2, e.SchemaVersion)
		assert.JSONEq(t, `{"First":"Ada","Last":"Byron"}`, string(e.Body))
	}
	for _, v := range []any{Order{Cents: 1}, (*Order)(nil), Order{Cents: -1}} {
		_, err := r.Encode(nil, codec.JSON, &codec.Envelope{}, v)
		assert.ErrorIs(t, err, patterns.ErrInvalid)
	}
}

func TestReadableSinceTravels(t *testing.T) {
	t.Parallel()
	type older struct{ First string }
	newer := registry(t, schema.Version[OrderV2]("Person", 5, schema.ReadableSince(3)))
	old := registry(t, schema.Version[older]("Person", 4))
	for _, c := range []codec.Codec{codec.Msgpack, codec.JSON} {
		e := encode(t, newer, c, OrderV2{"Ada", "Byron"})
		assert.Equal(t, "3", e.Header(schema.HeaderSince))
		var got older
		require.NoError(t, old.Decode(c, e, &got))
		assert.Equal(t, older{"Ada"}, got)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for want, entries := range map[string][]schema.Entry{
		`name "": want 1 to 255 bytes`: {schema.Version[Order]("", 1)},
		"Order version 0: version 0: want 1 or more, since 0 is that of messages without": {schema.Version[Order]("Order", 0)},
		"Order version 1: is there already":                                               {v1(), schema.Version[Order]("Order", 1)},
		"Order version 4: type schema_test.OrderV1 is Order version 1 already":            {v1(), schema.Version[OrderV1]("Order", 4)},
		"Order version 1: type *schema_test.Order: want what it points to":                {schema.Version[*Order]("Order", 1)},
		"Order version 1: type error: want what it points to":                             {schema.Version[error]("Order", 1)},
		"Order version 1: readable since version 2: want at most its own":                 {schema.Version[Order]("Order", 1, schema.ReadableSince(2))},
		"Order version 1: From makes a schema_test.OrderV2: want a schema_test.Order":     {schema.Version[Order]("Order", 1, schema.From(split))},
		"Order version 1: To takes a schema_test.Order: want a schema_test.OrderV2":       {schema.Version[OrderV2]("Order", 1, schema.To(noPrice))},
		"Order version 2 converts between schema_test.OrderV1 and schema_test.OrderV2":    {v2()},
		"write Order as version 4: want one of [1]":                                       {v1(), schema.WriteAs("Order", 4)},
		"write Order as version 1: want one of []":                                        {schema.WriteAs("Order", 1)},
		"write Order version 2 as 1: want a conversion":                                   {v1(), v2(), schema.WriteAs("Order", 1)},
	} {
		_, err := schema.New(entries...)
		assert.ErrorContains(t, err, want)
	}
}

// BenchmarkRegistry fails if a registry makes messages of the current version cost more than the codec alone.
func BenchmarkRegistry(b *testing.B) {
	r := registry(b, v1(), v2(), v3())
	o, e := &Order{First: "Ada"}, encode(b, registry(b, v1(), v2(), v3()), codec.Msgpack, &Order{First: "Ada"})
	var into Order
	var buf []byte
	plain := testing.AllocsPerRun(100, func() {
		buf, _ = codec.Msgpack.Append(buf[:0], o)
		_ = codec.Msgpack.Unmarshal(e.Body, &into)
	})
	one := func() {
		var err error
		if buf, err = r.Encode(buf[:0], codec.Msgpack, e, o); err == nil {
			err = r.Decode(codec.Msgpack, e, &into)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n > plain {
		b.Fatalf("%v allocations per message, the codec alone has %v", n, plain)
	}
}

// FuzzDecode feeds what a peer may send to all versions.
func FuzzDecode(f *testing.F) {
	r := registry(f, v1(), v2(), v3())
	f.Add(uint32(1), "1", []byte(`{"Name":"Ada Byron"}`))
	f.Add(uint32(9), "3", []byte(`{"First":"Ada"}`))
	f.Fuzz(func(t *testing.T, version uint32, since string, body []byte) {
		e := &codec.Envelope{SchemaVersion: version, Headers: []codec.Header{{Key: schema.HeaderSince, Value: since}}, Body: body}
		for _, v := range []any{new(Order), new(OrderV2), new(OrderV1)} {
			_ = r.Decode(codec.JSON, e, v)
		}
	})
}
