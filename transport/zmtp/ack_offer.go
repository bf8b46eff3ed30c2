package zmtp

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// PropertyAck is the property in READY by which a peer offers acknowledged links.
const PropertyAck = "X-Mesh-Ack"

// AckOffer is what a peer offers in READY.
type AckOffer struct {
	Send    bool // messages that it sends may be acknowledged
	Receive bool // it acknowledges messages that it receives
	Max     int  // bytes in the frames of the largest message that it receives; zero if it does not say
	Frame   int  // bytes of the largest frame that it receives; zero if it does not say

	// The stream that it sends, and a number drawn when its memory of that was opened, which tells it from its copies; zero if it does not say.
	Stream [StreamIDSize]byte
	Life   uint64

	Way uint64 // which of the ways that it connects on this is, where it has one connection at a time; zero if it does not say
}

const (
	maxWord    = "max="
	frameWord  = "frame="
	streamWord = "stream="
	wayWord    = "way="
)

// AppendAckOffer appends the value of PropertyAck.
func AppendAckOffer(dst []byte, o AckOffer) []byte {
	dst = append(dst, ackVersion...)
	if o.Send {
		dst = append(dst, " send"...)
	}
	if o.Receive {
		dst = append(dst, " receive"...)
	}
	if o.Max > 0 {
		dst = strconv.AppendInt(append(dst, " "+maxWord...), int64(o.Max), 10)
	}
	if o.Frame > 0 {
		dst = strconv.AppendInt(append(dst, " "+frameWord...), int64(o.Frame), 10)
	}
	if o.Life > 0 {
		dst = fmt.Appendf(dst, " %s%x-%016x", streamWord, o.Stream, o.Life)
	}
	if o.Way > 0 {
		dst = fmt.Appendf(dst, " %s%016x", wayWord, o.Way)
	}
	return dst
}

// ParseAckOffer reads the value of PropertyAck. A version that is not ours offers nothing, and words that are not known say nothing: both
// come from versions to be.
func ParseAckOffer(value []byte) (o AckOffer) {
	words := strings.Fields(string(value[:min(len(value), 255)]))
	if len(words) == 0 || words[0] != ackVersion {
		return o
	}
	for _, w := range words[1:] {
		o.Send = o.Send || w == "send"
		o.Receive = o.Receive || w == "receive"
		parseBound(&o.Max, w, maxWord)
		parseBound(&o.Frame, w, frameWord)
		if name, ok := strings.CutPrefix(w, streamWord); ok {
			o.Stream, o.Life = parseLife(name)
		}
		if digits, ok := strings.CutPrefix(w, wayWord); ok && len(digits) == 16 {
			o.Way, _ = strconv.ParseUint(digits, 16, 64)
		}
	}
	return o
}

// parseBound reads a number of octets, if that is what the word says.
func parseBound(bound *int, word, name string) {
	if digits, ok := strings.CutPrefix(word, name); ok {
		if n, err := strconv.Atoi(digits); err == nil && n > 0 {
			*bound = n
		}
	}
}

// parseLife reads an id and a number, in hexadecimal with a dash between. Both are zero if they are anything else.
func parseLife(name string) (id [StreamIDSize]byte, life uint64) {
	stream, drawn, _ := strings.Cut(name, "-")
	b, err := hex.DecodeString(stream + drawn)
	if err != nil || len(stream) != 2*StreamIDSize || len(b) != StreamIDSize+8 {
		return id, 0
	}
	life = binary.BigEndian.Uint64(b[StreamIDSize:])
	if life > 0 {
		copy(id[:], b)
	}
	return id, life
}
