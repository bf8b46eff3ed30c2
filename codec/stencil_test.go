package codec

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type blob struct{ Data []byte }

// What a Stencil writes is what Append writes, whatever the length of the body's header, and what it knows.
func TestStencilWritesEnvelopes(t *testing.T) {
	t.Parallel()
	like := Envelope{SchemaVersion: 300, Type: "blob", Source: "here", Headers: []Header{{"k", "v"}}}
	for _, c := range []Codec{Msgpack, JSON, MsgpackWithLimits(Limits{Depth: 3})} {
		s, err := NewStencil(&like, c, reflect.TypeFor[blob]())
		require.NoError(t, err)
		for _, size := range []int{0, 1, 100, 246, 247, 248, 249, 250, 300, 65_525, 65_526, 65_527, 65_528, 70_000} {
			in := blob{bytes.Repeat([]byte{'x'}, size)}
			for name, v := range map[string]any{"pointer": &in, "value": in, "another type": map[string][]byte{"Data": in.Data}} {
				roomy, err := s.Append(append(make([]byte, 0, 100_000), "before"...), ID{1}, ID{2}, v)
				require.NoError(t, err)
				data, err := s.Append([]byte("before"), ID{1}, ID{2}, v)
				require.NoError(t, err)
				require.Len(t, roomy, len(data), "the length of the header does not depend on the room")
				if size%2 == 0 {
					data = roomy
				}
				require.True(t, bytes.HasPrefix(data, []byte("before")))
				data = data[len("before"):]
				var e Envelope
				require.NoError(t, e.Decode(data))
				again, err := e.Append(nil)
				require.NoError(t, err)
				require.Equal(t, again, data, "%s, %s of %d bytes", c.Name(), name, size)
				want := like
				want.ID, want.CorrelationID, want.CausationID, want.Time, want.Codec, want.Body = e.ID, ID{1}, ID{2}, e.Time, c.Name(), e.Body
				require.Equal(t, want, e)
				var m Mark
				var l Links
				body, known := s.Read(data, &m, &l)
				require.True(t, known)
				require.Equal(t, e.Body, body)
				want.Body = nil
				require.Equal(t, &want, s.Envelope(&m, &l))
				require.Equal(t, len(body), cap(body))
				var out blob
				require.NoError(t, c.Unmarshal(body, &out))
				require.Equal(t, in, out)
			}
		}
	}
}

// A message without a conversation begins one; its time is now.
func TestStencilStamps(t *testing.T) {
	t.Parallel()
	s, err := NewStencil(&Envelope{}, Raw, nil)
	require.NoError(t, err)
	var e, next Envelope
	for _, into := range []*Envelope{&e, &next} {
		data, err := s.Append(nil, ID{}, ID{}, []byte("body"))
		require.NoError(t, err)
		require.NoError(t, into.Decode(data))
		assert.Zero(t, into.CorrelationID)
		assert.Zero(t, into.CausationID)
		var m Mark
		var l Links
		_, known := s.Read(data, &m, &l)
		require.True(t, known)
		assert.Equal(t, []any{into.ID, into.Time}, []any{s.Envelope(&m, &l).ID, s.Envelope(&m, &l).Time})
		assert.WithinDuration(t, time.Now(), into.Time, time.Minute)
		assert.Equal(t, byte(0x70), into.ID[6]&0xf0)
	}
	assert.Negative(t, bytes.Compare(e.ID[:], next.ID[:]))
	assert.False(t, next.Time.Before(e.Time))
}

// AppendValue writes what Append does, of what it can write.
func TestStencilAppendsValues(t *testing.T) {
	t.Parallel()
	parent := &Envelope{ID: ID{1}, CorrelationID: ID{2}}
	s, err := NewStencil(&Envelope{Type: "blob"}, Msgpack, reflect.TypeFor[blob]())
	require.NoError(t, err)
	for _, size := range []int{0, 100, 246, 247, 248, 249, 250, 70_000} {
		in := blob{bytes.Repeat([]byte{'x'}, size)}
		for _, p := range []*Envelope{nil, parent, {ID: ID{3}}} {
			data, ok := AppendValue(&s, []byte("before"), p, &in)
			require.True(t, ok)
			var e Envelope
			require.NoError(t, e.Decode(data[len("before"):]))
			want := Envelope{Type: "blob", Codec: "msgpack", ID: e.ID, Time: e.Time, Body: e.Body}
			if p != nil {
				want.CorrelationID, want.CausationID = p.Conversation(), p.ID
			}
			require.Equal(t, want, e)
			assert.WithinDuration(t, time.Now(), e.Time, time.Minute)
			var out blob
			require.NoError(t, Msgpack.Unmarshal(e.Body, &out))
			require.Equal(t, in, out)
			again, err := e.Append(nil)
			require.NoError(t, err)
			require.Equal(t, again, data[len("before"):])
		}
	}
	_, ok := AppendValue(&s, nil, nil, new(&blob{}))
	assert.False(t, ok, "a pointer")
	_, ok = AppendValue(&s, nil, nil, new("another type"))
	assert.False(t, ok)
	_, ok = AppendValue[blob](&s, nil, nil, nil)
	assert.False(t, ok, "no value")
	_, ok = NewDecoder[blob](Msgpack).Value([]byte("\x81"), nil)
	assert.False(t, ok, "no value")
	for _, of := range []Codec{JSON, MsgpackWithLimits(Limits{Depth: 3})} {
		s, err := NewStencil(&Envelope{}, of, reflect.TypeFor[blob]())
		require.NoError(t, err)
		dst, ok := AppendValue(&s, []byte("before"), nil, &blob{})
		assert.False(t, ok)
		assert.Equal(t, "before", string(dst))
	}
	timed, err := NewStencil(&Envelope{}, Msgpack, reflect.TypeFor[time.Time]())
	require.NoError(t, err)
	now := time.Now()
	data, ok := AppendValue(&timed, nil, nil, &now)
	require.True(t, ok)
	var e Envelope
	require.NoError(t, e.Decode(data))
	var got time.Time
	require.NoError(t, Msgpack.Unmarshal(e.Body, &got))
	assert.True(t, now.Equal(got))
}

func TestStencilRefuses(t *testing.T) {
	t.Parallel()
	_, err := NewStencil(&Envelope{Source: strings.Repeat("x", MaxName+1)}, Raw, nil)
	require.ErrorIs(t, err, ErrLimit)
	_, err = StencilOf(&Envelope{Type: "\xff"})
	require.ErrorIs(t, err, ErrMalformed)

	s, err := NewStencil(&Envelope{Type: "blob"}, Msgpack, reflect.TypeFor[blob]())
	require.NoError(t, err)
	assert.False(t, s.IsZero())
	dst, err := s.Append([]byte("before"), ID{}, ID{}, func() {})
	require.Error(t, err)
	assert.Equal(t, "before", string(dst))
	failing, err := NewStencil(&Envelope{}, refusing{Raw}, reflect.TypeFor[[]byte]())
	require.NoError(t, err)
	_, err = failing.Append(nil, ID{}, ID{}, []byte{})
	assert.Equal(t, errRefused, err)

	sound, err := s.Append(nil, ID{1}, ID{2}, &blob{[]byte("data")})
	require.NoError(t, err)
	var none Stencil
	_, known := none.Read(sound, new(Mark), new(Links))
	assert.False(t, known)
	assert.True(t, none.IsZero())
	for cut := range sound {
		_, known := s.Read(sound[:cut:cut], new(Mark), new(Links))
		assert.False(t, known, "cut to %d bytes", cut)
	}
	_, known = s.Read(append(sound[:len(sound):len(sound)], 0), new(Mark), new(Links))
	assert.False(t, known, "a byte too many")
	late := bytes.Clone(sound)
	at := bytes.Index(late, []byte{codeFixExt8, extTimestamp})
	copy(late[at+2:], "\xff\xff\xff\xff")
	_, known = s.Read(late, new(Mark), new(Links))
	assert.False(t, known, "more nanoseconds than a second has")
	for name, e := range map[string]Envelope{"type": {Type: "blot"}, "source": {Type: "blob", Source: "x"}, "codec": {Type: "blob", Codec: "raw"},
		"schema": {Type: "blob", SchemaVersion: 1}, "headers": {Type: "blob", Headers: []Header{{"k", ""}}}} {
		if e.Codec == "" {
			e.Codec = "msgpack"
		}
		e.Time = time.Unix(1, 0)
		data, err := e.Append(nil)
		require.NoError(t, err)
		_, known := s.Read(data, new(Mark), new(Links))
		assert.False(t, known, name)
	}
}

var errRefused = errors.New("refused")

// refusing is a Codec that writes nothing.
type refusing struct{ Codec }

func (refusing) Append(dst []byte, _ any) ([]byte, error) { return append(dst, "half"...), errRefused }

// A Decoder reads what its Codec reads, and errors are the Codec's. Values keep their bytes, whatever comes after and is appended to them.
func TestDecoder(t *testing.T) {
	t.Parallel()
	for _, c := range []Codec{Msgpack, JSON, MsgpackWithLimits(Limits{Depth: 3})} {
		d := NewDecoder[blob](c)
		var all []blob
		for i := range 50 {
			for _, size := range []int{0, 1, 90, arenaMost, arenaMost + 1, arenaSize + 1, shareFrom - 1, shareFrom} {
				data, err := c.Append(nil, blob{bytes.Repeat([]byte{byte(i)}, size)})
				require.NoError(t, err)
				var got, plain blob
				require.NoError(t, d.Unmarshal(data, &got))
				require.NoError(t, c.Unmarshal(data, &plain))
				require.Equal(t, plain, got)
				var value blob
				shares, ok := d.Value(data, &value)
				require.Equal(t, c == Msgpack, ok)
				if ok {
					clear(got.Data) // where nothing is shared
					got = value
				}
				require.Equal(t, plain, got)
				require.Equal(t, ok && size >= shareFrom, shares)
				_ = append(got.Data, "more"...)
				all = append(all, got)
			}
		}
		for i, v := range all {
			require.Equal(t, bytes.Repeat([]byte{byte(i / 8)}, len(v.Data)), v.Data)
		}
		others := NewDecoder[map[string]any](c)
		var other map[string]any
		data, err := c.Append(nil, map[string]any{"a": "b"})
		require.NoError(t, err)
		_, ok := others.Value(data, &other)
		assert.False(t, ok, "a map")
		require.NoError(t, others.Unmarshal(data, &other))
		assert.Equal(t, map[string]any{"a": "b"}, other)
		for _, bad := range []string{"", "\x81", "\x81\xa4Data\xc4\x05four", "\xc1"} {
			var got, plain blob
			want := c.Unmarshal([]byte(bad), &plain)
			require.Error(t, want)
			assert.EqualError(t, d.Unmarshal([]byte(bad), &got), want.Error())
			_, ok := d.Value([]byte(bad), &got)
			assert.False(t, ok)
		}
		want := c.Unmarshal(data, (*blob)(nil))
		assert.EqualError(t, d.Unmarshal(data, (*blob)(nil)), want.Error())
	}
}

// BenchmarkStencil fails if an envelope with a value that has a shape allocates anything, or knowing it does.
func BenchmarkStencil(b *testing.B) {
	s, err := NewStencil(&Envelope{Type: "blob"}, Msgpack, reflect.TypeFor[blob]())
	require.NoError(b, err)
	in := &blob{make([]byte, 100)}
	var data []byte
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			data, _ = s.Append(data[:0], ID{}, ID{}, in)
		}
		require.Zero(b, testing.AllocsPerRun(100, func() { data, _ = s.Append(data[:0], ID{}, ID{}, in) }))
	})
	b.Run("read", func(b *testing.B) {
		var m Mark
		var l Links
		for b.Loop() {
			_, _ = s.Read(data, &m, &l)
		}
		require.Zero(b, testing.AllocsPerRun(100, func() { _, _ = s.Read(data, &m, &l) }))
	})
}
