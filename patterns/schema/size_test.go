package schema_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/schema"
)

type (
	one[T any] struct {
		V T `json:"v" msgpack:"v"`
	}
	quoted[T any] struct {
		//lint:ignore SA5008 where it has an effect and where not is tested
		V T `json:"v,string" msgpack:"v"`
	}
	letter byte
)

func (l letter) MarshalText() ([]byte, error) { return []byte{byte(l)}, nil }

func (l *letter) UnmarshalText(b []byte) error { *l = letter(b[0]); return nil }

// reading describes a reader R and a writer W, and what becomes of a message.
type reading struct {
	name          string
	json, msgpack string // what is said; "" for nothing
	compatible    func(c codec.Codec) error
	read          func(c codec.Codec) (wrote, got string, err error)
}

func reads[W, R any](json, msgpack string, v W) reading {
	return reading{
		fmt.Sprintf("%T reads %T", *new(R), v), json, msgpack,
		func(c codec.Codec) error { return schema.Compatible[W, R](c, schema.Backward) },
		func(c codec.Codec) (wrote, got string, err error) {
			body, err := c.Append(nil, &v)
			var r R
			if err == nil {
				err = c.Unmarshal(body, &r)
			}
			return fmt.Sprint(v), fmt.Sprint(r), err
		},
	}
}

// Arrays have a length, those of bytes are another thing to each codec, and JSON has numbers in quotes. Where nothing is said the reader has what was written.
func TestCompatibleMeansRead(t *testing.T) {
	t.Parallel()
	takes := func(reader, writer string) string {
		return "breaking change: v: new readers take " + reader + " elements, old writers write " + writer
	}
	wants := func(reader, writer string) string {
		return "breaking change: v: new readers want " + reader + ", old writers write " + writer
	}
	for _, r := range []reading{
		reads[one[[3]int], one[[2]int]](takes("2", "3"), takes("2", "3"), one[[3]int]{[3]int{1, 2, 3}}),
		reads[one[[]int], one[[2]int]](takes("2", "any number"), takes("2", "any number"), one[[]int]{[]int{1, 2, 3}}),
		reads[one[[2]int], one[[]int]]("", "", one[[2]int]{[2]int{1, 2}}),
		reads[one[[8]byte], one[[4]byte]](takes("4", "8"), takes("4", "8"), one[[8]byte]{}),
		reads[one[[]byte], one[[4]byte]](wants("list", "bytes"), takes("4", "any number"), one[[]byte]{make([]byte, 5)}),
		reads[one[[4]byte], one[[]byte]](wants("bytes", "list"), "", one[[4]byte]{[4]byte{1, 2, 3, 4}}),
		reads[one[[4]byte], one[[]uint16]]("", wants("list", "bytes"), one[[4]byte]{[4]byte{1, 2, 3, 4}}),
		reads[one[[]letter], one[[]byte]](wants("bytes", "list"), "", one[[]letter]{[]letter{'a'}}),
		reads[one[int], quoted[int]]("breaking change: v: new readers want quoted int64, old writers write int64", "", one[int]{5}),
		reads[quoted[int], quoted[int]]("", "", quoted[int]{5}),
		reads[quoted[string], one[string]](wants("string", "quoted string"), "", quoted[string]{"tea"}),
		reads[quoted[int32], quoted[int64]]("", "", quoted[int32]{5}),
		reads[quoted[int64], quoted[int32]](wants("quoted int32", "quoted int64"), wants("int32", "int64"), quoted[int64]{1 << 40}),
		reads[quoted[[]int], quoted[[]int]]("", "", quoted[[]int]{[]int{5}}),
	} {
		for c, want := range map[codec.Codec]string{codec.JSON: r.json, codec.Msgpack: r.msgpack} {
			t.Run(r.name+" "+c.Name(), func(t *testing.T) {
				t.Parallel()
				if want != "" {
					assert.EqualError(t, r.compatible(c), want)
					return
				}
				assert.NoError(t, r.compatible(c))
				wrote, got, err := r.read(c)
				require.NoError(t, err)
				assert.Equal(t, wrote, got)
			})
		}
	}
	longer := reads[one[[2]int], one[[3]int]]("", "", one[[2]int]{[2]int{1, 2}})
	for _, c := range []codec.Codec{codec.JSON, codec.Msgpack} {
		assert.NoError(t, longer.compatible(c))
		_, got, err := longer.read(c)
		require.NoError(t, err)
		assert.Equal(t, "{[1 2 0]}", got)
	}
}
