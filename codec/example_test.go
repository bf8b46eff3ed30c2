package codec_test

import (
	"fmt"
	"time"

	"github.com/meshmq/meshmq/codec"
)

type order struct {
	Item     string `msgpack:"item"`
	Quantity int    `msgpack:"quantity"`
}

func ExampleCodec() {
	data, err := codec.Msgpack.Append(nil, order{Item: "tea", Quantity: 2})
	if err != nil {
		fmt.Println(err)
	}
	var got order
	if err := codec.Msgpack.Unmarshal(data, &got); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("%d bytes: %+v\n", len(data), got)
	// Output: 20 bytes: {Item:tea Quantity:2}
}

func ExampleByName() {
	c, err := codec.ByName("json")
	fmt.Println(c.Name(), err)
	_, err = codec.ByName("xml")
	fmt.Println(err)
	// Output:
	// json <nil>
	// unknown codec "xml": want msgpack, json or raw
}

// A sender puts a body into an envelope; the receiver picks the codec by name.
func ExampleEnvelope() {
	body, err := codec.Msgpack.Append(nil, order{Item: "tea", Quantity: 2})
	if err != nil {
		fmt.Println(err)
	}
	out := codec.Envelope{
		ID: codec.NewID(), Time: time.Now(), Type: "orders.created", Source: "desk",
		SchemaVersion: 1, Codec: codec.Msgpack.Name(), Body: body,
	}
	out.SetHeader(codec.HeaderTraceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	wire, err := out.Append(nil)
	if err != nil {
		fmt.Println(err)
	}

	var in codec.Envelope
	if err := in.Decode(wire); err != nil {
		fmt.Println(err)
	}
	c, err := codec.ByName(in.Codec)
	if err != nil {
		fmt.Println(err)
	}
	var got order
	if err := c.Unmarshal(in.Body, &got); err != nil {
		fmt.Println(err)
	}
	fmt.Println(in.Type, in.SchemaVersion, got, in.ID == out.ID)
	fmt.Println(in.Header(codec.HeaderTraceparent))
	// Output:
	// orders.created 1 {tea 2} true
	// 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
}

func ExampleParseID() {
	id, err := codec.ParseID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")
	fmt.Println(id, err)
	_, err = codec.ParseID("17")
	fmt.Println(err)
	// Output:
	// 017f22e2-79b0-7cc3-98c4-dc0c0c07398f <nil>
	// message id "17": want 8-4-4-4-12 hexadecimal digits
}

func ExampleMsgpackWithLimits() {
	flat := codec.MsgpackWithLimits(codec.Limits{Depth: 1})
	_, err := flat.Append(nil, [][]int{{1}, {2}})
	fmt.Println(err)
	// Output: msgpack encode [][]int: message over limit at byte 1: array nested deeper than 1 levels
}
