// Package codec turns Go values into message bodies and back, and carries a
// body with what a receiver must know about it in an [Envelope].
//
// A [Codec] is chosen by the program ([Msgpack], [JSON], [Raw]) or by the name
// found in an envelope ([ByName]). All of them are safe for concurrent use, keep
// no reference to what they are given, and start no goroutine.
//
// # Hostile input
//
// Bytes from a peer are untrusted. MessagePack states lengths and counts up
// front, so a decoder that believes them can be made to reserve gigabytes by five
// bytes (vmihailenco/msgpack issue 401), and one that recurses can be led as deep
// as the message is long. [Msgpack] therefore runs [Scan] over every message
// before the library sees it: one pass without recursion or allocation that
// refuses what is truncated, too deep, too long or followed by more bytes. The
// reader that the library is given keeps it on the values that were scanned, and
// a panic, such as for an array used as a map key, is returned as an error.
//
// What is decoded costs at most a fixed multiple of the message, which depends
// on the destination: a []int64 takes 8 bytes for each byte received, a []T the
// size of T. Bound the message where it is received, and prefer concrete types
// to any.
//
// # How MessagePack maps to Go
//
// Structs are maps keyed by field name (tags as in `msgpack:"name,omitempty"`),
// so fields can be added and removed; unknown ones are skipped. Integers take
// their shortest form, hence an integer decoded into an any arrives in the
// smallest Go type. Keys of map[string]string, map[string]bool and
// map[string]any are sorted, so equal values give equal bytes; other maps are
// written in random order. time.Time is the standard timestamp extension.
//
// Some habits avoid the library's edges. Decode into a fresh value: what is there
// already is merged, not replaced. Give integers the same width on both sides:
// one that does not fit its field is truncated, not refused. Embed structs by
// value: for an embedded pointer the library keeps one goroutine per type. Leave
// the tag option intern alone, which no other library understands: such messages
// are refused. Types of your own become extensions with msgpack.RegisterExt,
// whose payloads are bytes; a decoder that reads values from one is refused.
//
// # Envelope
//
// [Envelope.Append] and [Envelope.Decode] are written by hand for a fixed order
// of elements: encoding allocates nothing, decoding nothing but new names
// and headers, and [Envelope.Body] is a part of the input. The format is an
// ordinary MessagePack array, drawn in envelope_encode.go, which any MessagePack
// library in any language can read, and which later versions extend at its end.
package codec
