package schema_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/schema"
)

type (
	parcelV1 struct{ Pounds float64 }
	parcel   struct{ Grams int }
)

func weigh(p parcelV1) (parcel, error) { return parcel{Grams: int(p.Pounds * 454)}, nil }

// A producer of the old version and a worker of the new one.
func ExampleNew() {
	before, _ := schema.New(schema.Version[parcelV1]("Parcel", 1))
	after, err := schema.New(
		schema.Version[parcelV1]("Parcel", 1),
		schema.Version[parcel]("Parcel", 2, schema.From(weigh)),
	)
	fmt.Println(err)
	producer := pushpull.NewProducer[parcelV1](patterns.WithSchemas(before))
	worker := pushpull.NewWorker[parcel](patterns.WithSchemas(after))
	addr, _ := worker.Bind("inproc://schema-example")
	_ = producer.Connect(addr)
	_ = producer.Send(context.Background(), parcelV1{Pounds: 2})
	_ = worker.Run(context.Background(), func(ctx context.Context, p parcel) error {
		fmt.Println("version", patterns.FromContext(ctx).SchemaVersion, "weighs", p.Grams, "grams")
		return worker.Close()
	})
	_ = producer.Close()
	// Output:
	// <nil>
	// version 1 weighs 908 grams
}

// What a newer program sent is refused, unless that says that it can be read.
func ExampleReadableSince() {
	today, _ := schema.New(schema.Version[parcel]("Parcel", 2))
	e := &codec.Envelope{SchemaVersion: 3, Body: []byte(`{"Grams":908,"Colour":"red"}`)}
	var p parcel
	err := today.Decode(codec.JSON, e, &p)
	fmt.Println(errors.Is(err, patterns.ErrVersion), err)
	e.SetHeader(schema.HeaderSince, "2") // as schema.ReadableSince(2) has it written
	fmt.Println(today.Decode(codec.JSON, e, &p), p.Grams)
	// Output:
	// true unknown schema version 3 of Parcel: want one of 2
	// <nil> 908
}

func ExampleCompatible() {
	type grown struct {
		Grams  int64
		Colour string
	}
	fmt.Println(schema.Compatible[parcel, grown](codec.JSON, schema.Backward))
	// Output:
	// breaking change: Colour: new readers need it, old writers do not write it
}
