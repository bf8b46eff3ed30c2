package codec

import "fmt"

// kind is the MessagePack family a value belongs to.
type kind uint8

const (
	kindInvalid kind = iota
	kindNil
	kindBool
	kindInt // of either sign
	kindFloat
	kindStr
	kindBin
	kindArray
	kindMap
	kindExt
)

func (k kind) String() string {
	return [...]string{"invalid", "nil", "bool", "integer", "float", "string", "binary", "array", "map", "extension"}[k]
}

// form is how a value whose code is 0xc0 to 0xdf continues: after the code come
// size bytes of a length (or count), then fixed bytes, then length bytes.
type form struct {
	kind  kind
	size  uint8
	fixed uint8
}

// forms is the table "Overview" of the MessagePack specification for the codes
// 0xc0 to 0xdf; the codes outside this range carry their length themselves.
var forms = [32]form{
	{kind: kindNil}, {}, {kind: kindBool}, {kind: kindBool},
	{kindBin, 1, 0}, {kindBin, 2, 0}, {kindBin, 4, 0}, // 0xc4
	{kindExt, 1, 1}, {kindExt, 2, 1}, {kindExt, 4, 1}, // 0xc7: the fixed byte is the extension's type
	{kindFloat, 0, 4}, {kindFloat, 0, 8}, // 0xca
	{kindInt, 0, 1}, {kindInt, 0, 2}, {kindInt, 0, 4}, {kindInt, 0, 8}, // 0xcc: unsigned
	{kindInt, 0, 1}, {kindInt, 0, 2}, {kindInt, 0, 4}, {kindInt, 0, 8}, // 0xd0: signed
	{kindExt, 0, 2}, {kindExt, 0, 3}, {kindExt, 0, 5}, {kindExt, 0, 9}, {kindExt, 0, 17}, // 0xd4: type and payload
	{kindStr, 1, 0}, {kindStr, 2, 0}, {kindStr, 4, 0}, // 0xd9
	{kindArray, 2, 0}, {kindArray, 4, 0}, // 0xdc
	{kindMap, 2, 0}, {kindMap, 4, 0}, // 0xde
}

// token is one value without the values inside it. Its bytes end at end; the
// payload (the content of strings, binaries and extensions, the digits of
// numbers) begins at body. A map of n pairs has 2n values inside.
//
// Invariant of a token that readToken returned without error: body <= end <=
// len(data), and values <= len(data)-end.
type token struct {
	kind   kind
	code   byte
	body   int
	end    int
	values int
}

// readToken reads the token at data[at:], where at < len(data).
func readToken(data []byte, at int) (token, error) {
	c := data[at]
	t := token{code: c, body: at + 1, end: at + 1}
	switch {
	case c < 0x80 || c >= 0xe0:
		t.kind = kindInt
		t.body = at
		return t, nil
	case c < 0x90:
		t.kind = kindMap
		return contain(data, at, t, 2*uint64(c&0x0f))
	case c < 0xa0:
		t.kind = kindArray
		return contain(data, at, t, uint64(c&0x0f))
	case c < 0xc0:
		t.kind = kindStr
		return extend(data, at, t, uint64(c&0x1f))
	}
	return readForm(data, at, t, forms[c-0xc0])
}

// readForm reads the rest of a token whose code stands in the table of forms.
func readForm(data []byte, at int, t token, f form) (token, error) {
	if f.kind == kindInvalid {
		return t, malformed(at, "code 0x%02x, which MessagePack never uses", t.code)
	}
	t.kind = f.kind
	if len(data)-t.end < int(f.size) {
		return t, malformed(at, "%s cut off in its header", f.kind)
	}
	n := uint64(0)
	for range f.size {
		n = n<<8 | uint64(data[t.end])
		t.end++
	}
	t.body = t.end
	switch f.kind {
	case kindArray:
		return contain(data, at, t, n)
	case kindMap:
		return contain(data, at, t, 2*n)
	case kindExt:
		t.body++ // past the type
	}
	return extend(data, at, t, n+uint64(f.fixed))
}

// extend ends t after n more bytes, if there are as many.
func extend(data []byte, at int, t token, n uint64) (token, error) {
	if left := len(data) - t.end; n > uint64(left) {
		return t, malformed(at, "%s of %d bytes, %d left", t.kind, n, left)
	}
	t.end += int(n)
	return t, nil
}

// contain says that n values are inside t, each of which takes a byte at least.
func contain(data []byte, at int, t token, n uint64) (token, error) {
	if left := len(data) - t.end; n > uint64(left) {
		return t, malformed(at, "%s of %d values, %d bytes left", t.kind, n, left)
	}
	t.values = int(n)
	return t, nil
}

// skipValues returns where the n values at data[at:] end. Scan has accepted them.
func skipValues(data []byte, at, n int) int {
	for ; n > 0; n-- {
		t, _ := readToken(data, at)
		at = t.end
		n += t.values
	}
	return at
}

func malformed(at int, format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrMalformed, at, fmt.Sprintf(format, args...))
}

func overLimit(at int, format string, args ...any) error {
	return fmt.Errorf("%w at byte %d: %s", ErrLimit, at, fmt.Sprintf(format, args...))
}
