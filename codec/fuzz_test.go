package codec

import (
	"bytes"
	"errors"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

// perByte is what one byte received may cost in memory in any of targets(): the
// worst are one-entry maps, for which Go reserves eight places.
const perByte = 1024

// FuzzScan checks the scan against the library: both agree on what one value is,
// but for limits; and whatever the scan accepts decodes into any destination
// without panic and in memory proportional to the message.
func FuzzScan(f *testing.F) {
	for _, h := range hostile {
		f.Add(h.data[:min(len(h.data), 1000)])
	}
	f.Add(sampleEnvelopeBytes(f, 10))
	if data, err := Msgpack.Append(nil, sampleOrder()); err == nil {
		f.Add(data)
	}
	f.Add([]byte{0x92, 0xc7, 8, 1, 0xdf, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xd6, 0xff, 0, 0, 0, 1})
	f.Add([]byte{0x83, 0xa1, 'm', 0x81, 0xa1, 'x', 0x80, 0xa1, 'k', 0x91, 0x81, 0xa1, 'a', 0x90, 0xa1, 'b', 0xc4, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		firstExt, err := scan(data, Limits{})
		if errors.Is(err, ErrLimit) {
			return
		}
		// Where int has 32 bits, the library takes counts above 2^31 for negative.
		if err == nil || strconv.IntSize == 64 {
			require.Equal(t, librarySkips(data), err == nil, "the library and the scan disagree: %v", err)
		}
		if err != nil {
			require.ErrorIs(t, err, ErrMalformed)
			return
		}
		require.Equal(t, len(data), skipValues(data, 0, 1))
		for _, v := range targets() {
			// Most errors are right, the destination being arbitrary.
			used := allocated(func() { decodeOrReflect(data, firstExt, v) })
			require.LessOrEqual(t, used, uint64(64<<10+perByte*len(data)), "%T", v)
		}
	})
}

// decodeOrReflect is decodeMsgpack, which does not recover: a panic fails the test, but for those of reflection, which Unmarshal makes an error of. The
// library has one where a field of type any comes twice, first as a map.
func decodeOrReflect(data []byte, firstExt int, v any) {
	defer func() {
		p := recover()
		if _, bug := p.(runtime.Error); bug {
			panic(p)
		}
	}()
	_ = decodeMsgpack(data, firstExt, v)
}

// librarySkips says whether the library takes data for exactly one value.
func librarySkips(data []byte) bool {
	r := bytes.NewReader(data)
	return msgpack.NewDecoder(r).Skip() == nil && r.Len() == 0
}

func FuzzEnvelopeDecode(f *testing.F) {
	f.Add(sampleEnvelopeBytes(f, 10))
	f.Add([]byte{0x91, 0x01})
	plain, _ := (&Envelope{ID: ID{1}, CausationID: ID{2}, Time: time.Unix(1, 2), Body: []byte("body")}).Append(nil)
	f.Add(plain)
	f.Add([]byte{0xdc, 0, 12, 1, 0xc0, 0xc0, 0xc0, 0xc7, 12, 0xff, 0, 0, 0, 1, 0xff, 0, 0, 0, 0, 0, 0, 0,
		0xcf, 0, 0, 0, 0, 0, 0, 0, 1, 0xd9, 1, 'a', 0xc0, 0xa0, 0xdf, 0, 0, 0, 0, 0xc0, 0x91, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		var e, again, common Envelope
		var err error
		used := allocated(func() { err = e.Decode(data) })
		if common.decodeCommon(data, nil) {
			require.NoError(t, again.decode(data, nil))
			require.NoError(t, again.check())
			requireSameEnvelope(t, again, common)
		}
		require.LessOrEqual(t, used, uint64(64<<10), "strings and headers are bounded, the body is not copied")
		requireStencilAgrees(t, &e, data, err)
		if err != nil {
			require.Equal(t, Envelope{}, e)
			return
		}
		out, err := e.Append(nil)
		require.NoError(t, err, "what Decode accepts, Append accepts")
		require.NoError(t, again.Decode(out))
		requireSameEnvelope(t, e, again)
	})
}

// plainStencil knows an envelope with nothing but ids, time, schema version 0 and body.
var plainStencil, _ = StencilOf(&Envelope{})

// requireStencilAgrees fails where a Stencil takes what Decode did not, or otherwise.
func requireStencilAgrees(t *testing.T, e *Envelope, data []byte, err error) {
	t.Helper()
	var m Mark
	var l Links
	if body, ok := plainStencil.Read(data, &m, &l); ok {
		require.NoError(t, err)
		require.Equal(t, e.Body, body)
		requireSameHead(t, e, plainStencil.Envelope(&m, &l))
		require.Equal(t, Envelope{ID: e.ID, CorrelationID: e.CorrelationID, CausationID: e.CausationID, Time: e.Time, Body: body, Headers: e.Headers[:0]}, *e)
	}
	if err != nil {
		return
	}
	own, err := StencilOf(e)
	require.NoError(t, err, "what Decode accepts has a Stencil")
	if body, ok := own.Read(data, &m, &l); ok {
		require.Equal(t, e.Body, body)
		requireSameHead(t, e, own.Envelope(&m, &l))
	}
}

// requireSameHead fails unless head is e without its body.
func requireSameHead(t *testing.T, e, head *Envelope) {
	t.Helper()
	want, got := *e, *head
	require.Nil(t, got.Body)
	got.Body = want.Body
	requireSameEnvelope(t, want, got)
}

func FuzzEnvelopeRoundTrip(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), int64(1_700_000_000), int64(5), uint32(3), "type", "source", "codec", "key", "value", []byte("body"))
	f.Fuzz(func(t *testing.T, id []byte, secs, nanos int64, schema uint32, typ, source, codec, key, value string, body []byte) {
		in := Envelope{SchemaVersion: schema, Type: typ, Source: source, Codec: codec, Headers: []Header{{key, value}, {"x" + key, ""}}, Body: body}
		in.Time = time.Unix(secs, nanos).UTC()
		copy(in.ID[:], id)
		copy(in.CausationID[:], bytes.TrimLeft(id, "0"))
		data, err := in.Append(nil)
		if err != nil {
			require.Equal(t, err.Error(), in.check().Error())
			return
		}
		require.NoError(t, Scan(data, Limits{}))
		require.LessOrEqual(t, len(data), in.maxSize())
		var out Envelope
		require.NoError(t, out.Decode(data))
		requireSameEnvelope(t, in, out)
	})
}

func requireSameEnvelope(t *testing.T, want, got Envelope) {
	t.Helper()
	require.True(t, bytes.Equal(want.Body, got.Body))
	require.Len(t, got.Headers, len(want.Headers))
	for i := range want.Headers {
		require.Equal(t, want.Headers[i], got.Headers[i])
	}
	want.Body, got.Body, want.Headers, got.Headers = nil, nil, nil, nil
	require.Equal(t, want, got)
}

// FuzzMsgpackRoundTrip sends values through the codec.
func FuzzMsgpackRoundTrip(f *testing.F) {
	f.Add("name", "kid", []byte{1, 2}, int64(-5), true)
	f.Fuzz(func(t *testing.T, name, kid string, blob []byte, number int64, nested bool) {
		in := tree{Name: name, Kids: []tree{{Name: kid, Blob: blob}}, Any: kid}
		if nested {
			in.Named = map[string]*tree{kid: {Name: name}, "": {Blob: blob}}
		}
		data, err := Msgpack.Append(nil, &in)
		require.NoError(t, err)
		var out tree
		require.NoError(t, Msgpack.Unmarshal(data, &out))
		require.Equal(t, in, out)

		data, err = Msgpack.Append(data[:0], number)
		require.NoError(t, err)
		var back int64
		require.NoError(t, Msgpack.Unmarshal(data, &back))
		require.Equal(t, number, back)
	})
}

func FuzzParseID(f *testing.F) {
	f.Add("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
	f.Add("017f22e2")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := ParseID(s); err == nil {
			again, err := ParseID(id.String())
			require.NoError(t, err)
			require.Equal(t, id, again)
		}
	})
}
