package codec

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestByName(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{Msgpack, JSON, Raw} {
		found, err := ByName(c.Name())
		require.NoError(t, err)
		assert.Equal(t, c, found)
	}
	_, err := ByName("xml")
	require.ErrorIs(t, err, ErrUnknown)
	assert.EqualError(t, err, `unknown codec "xml": want msgpack, json or raw`)
}

func TestJSON(t *testing.T) {
	t.Parallel()
	type point struct {
		X, Y int
		Note string
	}
	data, err := JSON.Append([]byte("p="), point{1, -2, "<&>"})
	require.NoError(t, err)
	assert.Equal(t, `p={"X":1,"Y":-2,"Note":"<&>"}`, string(data))
	var p point
	require.NoError(t, JSON.Unmarshal(data[2:], &p))
	assert.Equal(t, point{1, -2, "<&>"}, p)

	out, err := JSON.Append([]byte("kept"), make(chan int))
	require.ErrorContains(t, err, "json encode chan int")
	assert.Equal(t, "kept", string(out))
}

func TestJSONDecodeErrors(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, data string
		v          any
		is         error
		text       string
	}{
		{"trailing data", `{} {}`, new(any), ErrMalformed, "json decode into *interface {}: malformed message at byte 4"},
		{"cut off", `{"X":`, new(any), ErrMalformed, "unexpected end"},
		{"empty", ``, new(any), ErrMalformed, "unexpected end"},
		{"too deep", strings.Repeat("[", 1<<20), new(any), ErrMalformed, "exceeded max depth"},
		{"wrong type", `"x"`, new(int), nil, "json decode into *int: json: cannot unmarshal string"},
		{"not a pointer", `1`, 1, ErrType, "json decode into int: unsuitable type: want a non-nil pointer"},
	}
	for _, c := range cases {
		err := JSON.Unmarshal([]byte(c.data), c.v)
		require.ErrorContains(t, err, c.text, c.name)
		if c.is != nil {
			assert.ErrorIs(t, err, c.is, c.name)
		}
	}
}

func TestRawAppend(t *testing.T) {
	t.Parallel()
	b, s := []byte("bytes"), "string"
	cases := map[string]any{
		"bytes": b, "string": s, "http://host/": &url.URL{Scheme: "http", Host: "host", Path: "/"},
		"\x01\x02\x03\x04": netip.AddrFrom4([4]byte{1, 2, 3, 4}), "": []byte(nil),
	}
	for want, v := range cases {
		out, err := Raw.Append([]byte("> "), v)
		require.NoError(t, err, "%T", v)
		assert.Equal(t, "> "+want, string(out), "%T", v)
	}
	for _, v := range []any{&b, &s} {
		out, err := Raw.Append(nil, v)
		require.NoError(t, err, "%T", v)
		assert.NotEmpty(t, out, "%T", v)
	}
}

func TestRawUnmarshal(t *testing.T) {
	t.Parallel()
	data := []byte("\x01\x02\x03\x04")
	var (
		b    []byte
		s    string
		addr netip.Addr
	)
	for _, v := range []any{&b, &s, &addr} {
		require.NoError(t, Raw.Unmarshal(data, v), "%T", v)
	}
	clear(data)
	assert.Equal(t, []byte("\x01\x02\x03\x04"), b, "a copy")
	assert.Equal(t, "\x01\x02\x03\x04", s)
	assert.Equal(t, "1.2.3.4", addr.String())
}

func TestRawErrors(t *testing.T) {
	t.Parallel()
	var nilBytes *[]byte
	var nilURL *url.URL
	for _, v := range []any{nil, 1, struct{}{}, []string{"x"}, nilBytes, nilURL} {
		out, err := Raw.Append([]byte("kept"), v)
		require.ErrorIs(t, err, ErrType, "%T", v)
		assert.Equal(t, "kept", string(out))
	}
	for _, v := range []any{nil, 1, "s", []byte("b"), new(int), nilBytes, nilURL} {
		require.ErrorIs(t, Raw.Unmarshal([]byte("x"), v), ErrType, "%T", v)
	}
	_, err := Raw.Append(nil, nilURL)
	assert.EqualError(t, err, "raw encode nil *url.URL: unsuitable type: "+
		"want []byte, string, a non-nil pointer to one, or an encoding.BinaryMarshaler")
	assert.EqualError(t, Raw.Unmarshal(nil, new(int)), "raw decode into *int: unsuitable type: "+
		"want *[]byte, *string or an encoding.BinaryUnmarshaler")
	assert.ErrorContains(t, Raw.Unmarshal([]byte{1, 2}, new(netip.Addr)), "raw decode into *netip.Addr: ")
}

func TestCodecsLeaveDstAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{Msgpack, JSON, Raw} {
		dst := append(make([]byte, 0, 1024), "head"...)
		out, err := c.Append(dst, "tail")
		require.NoError(t, err, c.Name())
		assert.Equal(t, &dst[0], &out[0], "%s appends in place where there is room", c.Name())
		assert.True(t, bytes.HasPrefix(out, []byte("head")), c.Name())
	}
}
