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
// numbers) begins at body. A map of n pairs has 2n values inside. It has four
// fields and no more because the compiler keeps larger structs in memory, which
// made the scan five times slower.
//
// Invariant of a token that readToken returned without error: body <= end <=
// len(data), and values <= len(data)-end.
type token struct {
	kind   kind
	body   int
	end    int
	values int
}

// readToken reads the token at data[at:], where at < len(data).
func readToken(data []byte, at int) (token, error) {
	c := data[at]
	switch {
	case c < 0x80 || c >= 0xe0:
		return token{kind: kindInt, body: at, end: at + 1}, nil
	case c < 0x90:
		return contain(data, kindMap, at, at+1, 2*uint64(c&0x0f))
	case c < 0xa0:
		return contain(data, kindArray, at, at+1, uint64(c&0x0f))
	case c < 0xc0:
		return extend(data, kindStr, at, at+1, uint64(c&0x1f))
	}
	return readForm(data, at, forms[c-0xc0])
}

// readForm reads a token whose code stands in the table of forms.
func readForm(data []byte, at int, f form) (token, error) {
	body := at + 1
	if f.kind == kindInvalid {
		return token{}, malformed(at, "code 0x%02x, which MessagePack never uses", data[at])
	}
	if len(data)-body < int(f.size) {
		return token{}, malformed(at, "%s cut off in its header", f.kind)
	}
	n := uint64(0)
	for _, b := range data[body : body+int(f.size)] {
		n = n<<8 | uint64(b)
	}
	body += int(f.size)
	switch f.kind {
	case kindArray:
		return contain(data, kindArray, at, body, n)
	case kindMap:
		return contain(data, kindMap, at, body, 2*n)
	}
	t, err := extend(data, f.kind, at, body, n+uint64(f.fixed))
	if f.kind == kindExt {
		t.body++ // past the type
	}
	return t, err
}

// extend is the token whose payload is the n bytes from body, if they are there.
func extend(data []byte, k kind, at, body int, n uint64) (token, error) {
	if n > uint64(len(data)-body) {
		return token{}, tooLong(data, k, at, body, n, "bytes, %d")
	}
	return token{kind: k, body: body, end: body + int(n)}, nil
}

// contain is the token with n values after body, each of a byte at least.
func contain(data []byte, k kind, at, body int, n uint64) (token, error) {
	if n > uint64(len(data)-body) {
		return token{}, tooLong(data, k, at, body, n, "values, %d bytes")
	}
	return token{kind: k, body: body, end: body, values: int(n)}, nil
}

func tooLong(data []byte, k kind, at, body int, n uint64, units string) error {
	return malformed(at, "%s of %d "+units+" left", k, n, len(data)-body)
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
