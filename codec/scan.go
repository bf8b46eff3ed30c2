package codec

// The defaults that a zero Limits stands for.
const (
	// DefaultDepth is far above what people write by hand and what generated
	// trees need, and costs half a kilobyte of stack to follow.
	DefaultDepth = 64
	// DefaultElements bounds what a small value may become in memory: a million
	// values of one byte are some 100 MB as map[string]any.
	DefaultElements = 1 << 20
	// DefaultExt is generous for timestamps, decimals and ids; bulk belongs in
	// a binary.
	DefaultExt = 64 << 10
	// MaxDepth is the most Limits.Depth may ask for, the bound encoding/json has:
	// the stack of the decoder stays under some 10 MB.
	MaxDepth = 10_000
)

// Limits says what Scan accepts. A field that is zero or less stands for its
// default, so the zero Limits is the one to use unless measured otherwise.
type Limits struct {
	// Depth is how many arrays and maps may enclose each other; at most MaxDepth.
	Depth int
	// Elements is how many values may be inside arrays and maps altogether; a
	// pair of a map counts as two.
	Elements int
	// Ext is the longest payload of an extension, in bytes.
	Ext int
}

// Scan reports whether data is exactly one MessagePack value within limits,
// which is then safe to hand to a decoder that recurses and that trusts counts.
// It reads every header, so no count or length exceeds the bytes that are there;
// it looks into neither strings (which may be invalid UTF-8) nor extensions. It
// does not recurse, and allocates only for a Depth above the default.
//
// Bytes that are cut off, not MessagePack, or followed by more bytes are an
// ErrMalformed; deeper, more, or longer than limits, and extensions without
// payload, which nobody needs, are an ErrLimit. Both say at which byte and what
// was found there.
func Scan(data []byte, limits Limits) error {
	_, err := scan(data, limits)
	return err
}

// scan is Scan. It also returns where the first extension begins, or len(data).
func scan(data []byte, limits Limits) (firstExt int, err error) {
	limits = limits.withDefaults()
	var fixed [DefaultDepth]int
	outer := fixed[:] // values left at each enclosing level
	if limits.Depth > len(outer) {
		outer = make([]int, limits.Depth)
	}
	firstExt = len(data)
	at, depth, left, elements := 0, 0, 1, 0
	for {
		for left == 0 {
			if depth == 0 {
				return firstExt, trailing(data, at)
			}
			depth--
			left = outer[depth]
		}
		left--
		if at >= len(data) {
			return 0, malformed(at, "%d more values expected, 0 bytes left", left+1)
		}
		t, err := readToken(data, at)
		if err != nil {
			return 0, err
		}
		switch t.kind {
		case kindArray, kindMap:
			if depth == limits.Depth {
				return 0, overLimit(at, "%s nested deeper than %d levels", t.kind, limits.Depth)
			}
			if t.values > limits.Elements-elements {
				return 0, overLimit(at, "%s brings the message to more than %d values", t.kind, limits.Elements)
			}
			elements += t.values
			outer[depth] = left
			depth++
			left = t.values
		case kindExt:
			if n := t.end - t.body; n == 0 || n > limits.Ext {
				return 0, overLimit(at, "extension of %d bytes, want 1 to %d", n, limits.Ext)
			}
			firstExt = min(firstExt, at)
		}
		at = t.end
	}
}

func trailing(data []byte, at int) error {
	if at < len(data) {
		return malformed(at, "%d bytes after the value", len(data)-at)
	}
	return nil
}

func (l Limits) withDefaults() Limits {
	if l.Depth <= 0 {
		l.Depth = DefaultDepth
	}
	if l.Elements <= 0 {
		l.Elements = DefaultElements
	}
	if l.Ext <= 0 {
		l.Ext = DefaultExt
	}
	l.Depth = min(l.Depth, MaxDepth)
	return l
}
