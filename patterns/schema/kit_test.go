package schema_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/schema"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// Orders through the years: a name in one piece, in two, and then a price with its currency.
type (
	OrderV1 struct{ Name string }
	OrderV2 struct{ First, Last string }
	Order   struct {
		First, Last string
		Cents       int
		Currency    string `msgpack:",omitempty"`
	}
)

func (o Order) Validate() error {
	if o.Cents < 0 {
		return errors.New("negative price")
	}
	return nil
}

var errName = errors.New("no last name")

func split(o OrderV1) (OrderV2, error) {
	first, last, found := strings.Cut(o.Name, " ")
	if !found {
		return OrderV2{}, errName
	}
	if first == "panic" {
		panic("at sea")
	}
	return OrderV2{first, last}, nil
}

func price(o OrderV2) (Order, error) {
	return Order{First: o.First, Last: o.Last, Currency: "EUR"}, nil
}

func noPrice(o Order) (OrderV2, error) {
	if o.Cents != 0 {
		return OrderV2{}, errors.New("has a price")
	}
	return OrderV2{o.First, o.Last}, nil
}

func v1() schema.Entry { return schema.Version[OrderV1]("Order", 1) }
func v2() schema.Entry { return schema.Version[OrderV2]("Order", 2, schema.From(split)) }
func v3() schema.Entry {
	return schema.Version[Order]("Order", 3, schema.From(price), schema.To(noPrice))
}

func registry(t testing.TB, entries ...schema.Entry) *schema.Registry {
	t.Helper()
	r, err := schema.New(entries...)
	require.NoError(t, err)
	return r
}

// encode returns the envelope of v as r writes it.
func encode(t testing.TB, r *schema.Registry, c codec.Codec, v any) *codec.Envelope {
	t.Helper()
	e := &codec.Envelope{}
	var err error
	e.Body, err = r.Encode(nil, c, e, v)
	require.NoError(t, err)
	return e
}
