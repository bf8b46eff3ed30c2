package codec_test

import (
	"fmt"
	"reflect"

	"github.com/meshmq/meshmq/codec"
)

// Who sends or receives many messages of one type knows what they have in common.
func ExampleNewStencil() {
	stencil, err := codec.NewStencil(&codec.Envelope{Type: "order", Source: "shop"}, codec.Msgpack, reflect.TypeFor[order]())
	if err != nil {
		fmt.Println(err)
	}
	data, err := stencil.Append(nil, codec.ID{}, codec.ID{}, &order{Item: "tea", Quantity: 2})
	if err != nil {
		fmt.Println(err)
	}

	decoder := codec.NewDecoder[order](codec.Msgpack)
	var got order
	var mark codec.Mark
	var links codec.Links
	if body, known := stencil.Read(data, &mark, &links); known {
		fmt.Println(decoder.Unmarshal(body, &got), got, stencil.Envelope(&mark, &links).Source)
	}
	// Output: <nil> {tea 2} shop
}
