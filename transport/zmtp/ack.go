package zmtp

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// Acknowledged links: what ACK.md specifies. A message has a tag, its count on the connection in its direction from 1 on, which is not sent.

const (
	// ackVersion is the version of ACK.md.
	ackVersion = "1"
	// StreamIDSize is the size of the id of a sender's stream.
	StreamIDSize = 16
	// MaxNumber is the largest number in these commands: a tag, a number in a stream, a credit. It fits every integer type of 64 bits.
	MaxNumber = math.MaxInt64
	// MaxAckRanges is the most ranges in one ACK: 20 KiB at the longest, which fits any limit on commands in use.
	MaxAckRanges = 1024
	// MaxReason is the most octets of the reason in a NACK, which is for a person, or for a log of dead letters.
	MaxReason = 255
	// MaxRetry is the longest delay in a NACK: a peer cannot have us keep a message for longer on its word.
	MaxRetry = 24 * time.Hour

	maxIncarnation = math.MaxUint32
	maxAttempt     = math.MaxUint32
)

// Stream is the data of a STREAM command: where in its sender's stream the next message stands.
type Stream struct {
	Named       bool               // ID and Incarnation are there; else those of the last STREAM on the connection hold
	ID          [StreamIDSize]byte // of the sender
	Incarnation uint32             // of the sender's memory of what it has sent
	Number      uint64             // of the next message, from 1; those behind it count on
	Attempt     uint32             // how often, with this time, they may have been sent, from 1, until the next STREAM
}

// streamNamed is the flag in a STREAM command that the id and the incarnation are there.
const streamNamed = 1

// AppendStream appends a whole STREAM command. It must not stand within a message.
func AppendStream(dst []byte, s *Stream) []byte {
	var b [1 + StreamIDSize + 3*binary.MaxVarintLen64]byte
	data := append(b[:0], 0)
	if s.Named {
		data[0] = streamNamed
		data = append(data, s.ID[:]...)
		data = binary.AppendUvarint(data, uint64(s.Incarnation))
	}
	data = binary.AppendUvarint(data, s.Number)
	data = binary.AppendUvarint(data, uint64(s.Attempt))
	return appendCommand(dst, CommandStream, data)
}

// ParseStream reads the data of a STREAM command.
func ParseStream(data []byte) (s Stream, err error) {
	c := cursor{command: CommandStream, data: data}
	flags := c.octet("flags")
	if flags > streamNamed {
		c.fail("has flags %#02x, want 0 or 1", flags)
	}
	if s.Named = flags == streamNamed; s.Named {
		copy(s.ID[:], c.octets(StreamIDSize, "stream id"))
		s.Incarnation = uint32(c.number("incarnation", 0, maxIncarnation))
	}
	s.Number = c.number("number", 1, MaxNumber)
	s.Attempt = uint32(c.number("attempt", 1, maxAttempt))
	if err := c.end(); err != nil {
		return Stream{}, err
	}
	return s, nil
}

// AppendSkip appends a whole SKIP command: the number of the next message is n more than it would be, n being 1 or more. It must not stand
// within a message.
func AppendSkip(dst []byte, n uint64) []byte { return appendNumbers(dst, CommandSkip, n) }

// ParseSkip reads the data of a SKIP command.
func ParseSkip(data []byte) (n uint64, err error) {
	c := cursor{command: CommandSkip, data: data}
	n = c.number("distance", 1, MaxNumber)
	return n, c.end()
}

// AppendCredit appends a whole CREDIT command: how many messages, and bytes in their frames, may be unsettled from now on. Zero messages or bytes
// stop the sender.
func AppendCredit(dst []byte, messages, bytes uint64) []byte {
	return appendNumbers(dst, CommandCredit, messages, bytes)
}

// ParseCredit reads the data of a CREDIT command.
func ParseCredit(data []byte) (messages, bytes uint64, err error) {
	c := cursor{command: CommandCredit, data: data}
	messages = c.number("messages", 0, MaxNumber)
	bytes = c.number("bytes", 0, MaxNumber)
	return messages, bytes, c.end()
}

// TagRange is the tags from First to Last, both included. Invariant: 1 <= First <= Last <= MaxNumber.
type TagRange struct{ First, Last uint64 }

// AppendAck appends a whole ACK command: all tags up to floor are settled, and those of the ranges, which are in order, above floor+1, and
// apart from each other. There may be at most MaxAckRanges.
func AppendAck(dst []byte, floor uint64, ranges []TagRange) []byte {
	if len(ranges) > MaxAckRanges {
		panic(fmt.Sprintf("zmtp: an ACK of %d ranges, want at most %d", len(ranges), MaxAckRanges))
	}
	size := numberSize(floor)
	last := floor
	for _, r := range ranges {
		size += numberSize(r.First-last-1) + numberSize(r.Last-r.First+1)
		last = r.Last
	}
	dst = AppendHeader(dst, FlagCommand, 1+len(CommandAck)+size)
	dst = appendName(dst, CommandAck)
	dst = binary.AppendUvarint(dst, floor)
	last = floor
	for _, r := range ranges {
		dst = binary.AppendUvarint(dst, r.First-last-1)
		dst = binary.AppendUvarint(dst, r.Last-r.First+1)
		last = r.Last
	}
	return dst
}

// Ack is the data of an ACK command.
type Ack struct {
	Floor uint64 // all tags up to it are settled

	last uint64 // of the range before rest
	rest []byte // ranges, known to be good
}

// ParseAck reads the data of an ACK command, to the end: its ranges are in order, do not touch, and end at MaxNumber at the latest. What it returns
// shares data.
func ParseAck(data []byte) (Ack, error) {
	c := cursor{command: CommandAck, data: data}
	a := Ack{Floor: c.number("floor", 0, MaxNumber)}
	a.last, a.rest = a.Floor, c.data
	last := a.Floor
	for n := 0; len(c.data) > 0 && c.err == nil; n++ {
		if n == MaxAckRanges {
			c.fail("has more than %d ranges", MaxAckRanges)
			break
		}
		last += c.number("gap", 1, MaxNumber-last)
		last += c.number("range", 1, MaxNumber-last)
	}
	if err := c.end(); err != nil {
		return Ack{}, err
	}
	return a, nil
}

// Next takes the next range above the floor, the lowest first.
func (a *Ack) Next() (r TagRange, ok bool) {
	if len(a.rest) == 0 {
		return r, false
	}
	gap, n := binary.Uvarint(a.rest)
	length, m := binary.Uvarint(a.rest[n:])
	a.rest = a.rest[n+m:]
	r.First = a.last + gap + 1
	r.Last = a.last + gap + length
	a.last = r.Last
	return r, true
}

// Nack is the data of a NACK command: one message is not to be counted as handled.
type Nack struct {
	Tag    uint64
	Reject bool          // it is not to be sent again, to anybody; else it is
	After  time.Duration // when, at the earliest, in whole milliseconds; zero leaves it to the sender
	Reason string        // for a person; of the receiver's making, so quote it before showing it
}

// nackReject is the flag in a NACK command that the message is not to be sent again.
const nackReject = 1

// AppendNack appends a whole NACK command. The delay is rounded up to milliseconds and cut to MaxRetry, the reason to MaxReason octets.
func AppendNack(dst []byte, n *Nack) []byte {
	var b [2 + 2*binary.MaxVarintLen64 + MaxReason]byte
	data := append(b[:0], 0)
	after := min(max(n.After, 0), MaxRetry)
	if n.Reject {
		data[0], after = nackReject, 0
	}
	data = binary.AppendUvarint(data, n.Tag)
	data = binary.AppendUvarint(data, uint64((after+time.Millisecond-1)/time.Millisecond))
	reason := n.Reason[:min(len(n.Reason), MaxReason)]
	data = append(data, byte(len(reason)))
	data = append(data, reason...)
	return appendCommand(dst, CommandNack, data)
}

// ParseNack reads the data of a NACK command. A delay above MaxRetry is MaxRetry.
func ParseNack(data []byte) (n Nack, err error) {
	c := cursor{command: CommandNack, data: data}
	flags := c.octet("flags")
	if flags > nackReject {
		c.fail("has flags %#02x, want 0 or 1", flags)
	}
	n.Reject = flags == nackReject
	n.Tag = c.number("tag", 1, MaxNumber)
	after := c.number("delay", 0, MaxNumber)
	n.After = min(time.Duration(min(after, uint64(MaxRetry/time.Millisecond)))*time.Millisecond, MaxRetry)
	if n.Reject && after != 0 {
		c.fail("rejects after a delay")
	}
	n.Reason = string(c.octets(int(c.octet("length of the reason")), "reason"))
	if err := c.end(); err != nil {
		return Nack{}, err
	}
	return n, nil
}

// appendCommand is AppendCommand for data that is to stay on the stack.
func appendCommand(dst []byte, name string, data []byte) []byte {
	dst = AppendHeader(dst, FlagCommand, 1+len(name)+len(data))
	dst = appendName(dst, name)
	return append(dst, data...)
}

func appendNumbers(dst []byte, name string, numbers ...uint64) []byte {
	size := 1 + len(name)
	for _, n := range numbers {
		size += numberSize(n)
	}
	dst = AppendHeader(dst, FlagCommand, size)
	dst = appendName(dst, name)
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// numberSize is how many octets a number takes.
func numberSize(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// cursor takes a command's data apart. Behind an error it finds nothing but zeros.
type cursor struct {
	command string
	data    []byte
	err     error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s %s", ErrCommand, c.command, fmt.Sprintf(format, args...))
	}
	c.data = nil
}

func (c *cursor) octet(what string) byte {
	if len(c.data) == 0 {
		c.fail("has no %s", what)
		return 0
	}
	b := c.data[0]
	c.data = c.data[1:]
	return b
}

func (c *cursor) octets(n int, what string) []byte {
	if n > len(c.data) {
		c.fail("claims a %s of %d octets and has %d", what, n, len(c.data))
		return nil
	}
	b := c.data[:n]
	c.data = c.data[n:]
	return b
}

// number reads a number from low to high: seven bits an octet, the lowest first, the top bit set in all but the last, in as few octets as it takes.
func (c *cursor) number(what string, low, high uint64) uint64 {
	n, size := binary.Uvarint(c.data)
	switch {
	case size == 0:
		c.fail("has no %s", what)
		return 0
	case size < 0 || n > MaxNumber:
		c.fail("has %s above %d", what, uint64(MaxNumber))
		return 0
	case size > 1 && c.data[size-1] == 0:
		c.fail("has %s in more octets than it takes", what)
		return 0
	case n < low || n > high:
		c.fail("has %s %d, want %d to %d", what, n, low, high)
		return 0
	}
	c.data = c.data[size:]
	return n
}

// end returns the first error, one about what is left among them.
func (c *cursor) end() error {
	if len(c.data) > 0 {
		c.fail("has %d octets too many", len(c.data))
	}
	return c.err
}
