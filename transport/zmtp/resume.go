package zmtp

import (
	"encoding/binary"
	"fmt"
)

// Durable subscriptions: what DURABLE.md specifies. They are for acknowledged links on which a publisher sends.

// MaxDurableName is the most octets of the name of a durable subscription.
const MaxDurableName = 128

// ResumeFrom says where a durable subscription begins that the publisher does not know yet.
type ResumeFrom uint8

// Where a durable subscription may begin.
const (
	FromBeginning ResumeFrom = iota // the oldest message that is kept
	FromEnd                         // the next message to be published
	FromNumber                      // a message by its number
	FromTime                        // the first message published at a time or later
)

// Resume is the data of a RESUME command: a subscriber wants what it has missed.
type Resume struct {
	Name  string
	From  ResumeFrom
	Value uint64 // FromNumber: the number, from 1; FromTime: nanoseconds since 1970; else 0
	ByKey bool   // messages of one key are to be with one member at a time
}

// durableFlag is the only flag that RESUME (ByKey), RESUMED (New) and LOST (Damaged) have.
const durableFlag = 1

// ValidDurableName reports whether name can be that of a durable subscription: 1 to MaxDurableName letters, digits, '.', '_' and '-', the first of them no '.'.
func ValidDurableName(name string) bool {
	ok := len(name) >= 1 && len(name) <= MaxDurableName && name[0] != '.'
	for i := 0; ok && i < len(name); i++ {
		c := name[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	return ok
}

// AppendResume appends a whole RESUME command.
func AppendResume(dst []byte, r *Resume) []byte {
	data := make([]byte, 0, 2+binary.MaxVarintLen64+1+len(r.Name))
	data = append(data, flagged(r.ByKey), byte(r.From))
	if r.From >= FromNumber {
		data = binary.AppendUvarint(data, r.Value)
	}
	data = append(data, byte(len(r.Name)))
	data = append(data, r.Name...)
	return appendCommand(dst, CommandResume, data)
}

// ParseResume reads the data of a RESUME command.
func ParseResume(data []byte) (r Resume, err error) {
	c := cursor{command: CommandResume, data: data}
	r.ByKey = c.flag()
	from := c.octet("start")
	if r.From = ResumeFrom(from); r.From > FromTime {
		c.fail("has start %#02x, want 0 to %d", from, FromTime)
	}
	switch r.From {
	case FromNumber:
		r.Value = c.number("number to start at", 1, MaxNumber)
	case FromTime:
		r.Value = c.number("time to start at", 0, MaxNumber)
	}
	r.Name = string(c.octets(int(c.octet("length of the name")), "name"))
	if err := c.end(); err != nil {
		return Resume{}, err
	}
	if !ValidDurableName(r.Name) {
		return Resume{}, fmt.Errorf("%w: %s has name %+.40q, want 1 to %d letters, digits, '.', '_' and '-', not beginning with '.'",
			ErrCommand, CommandResume, r.Name, MaxDurableName)
	}
	return r, nil
}

func flagged(on bool) byte {
	if on {
		return durableFlag
	}
	return 0
}

// flag reads flags of which only the lowest is defined.
func (c *cursor) flag() bool {
	flags := c.octet("flags")
	if flags > durableFlag {
		c.fail("has flags %#02x, want 0 or 1", flags)
	}
	return flags == durableFlag
}

// Resumed is the data of a RESUMED command: the publisher's answer.
type Resumed struct {
	New   bool   // nobody had used the name
	Floor uint64 // the subscription has handled all up to this number
	Next  uint64 // the number that the next message to be published gets, from 1
}

// AppendResumed appends a whole RESUMED command.
func AppendResumed(dst []byte, r *Resumed) []byte {
	var b [1 + 2*binary.MaxVarintLen64]byte
	data := append(b[:0], flagged(r.New))
	data = binary.AppendUvarint(data, r.Floor)
	data = binary.AppendUvarint(data, r.Next)
	return appendCommand(dst, CommandResumed, data)
}

// ParseResumed reads the data of a RESUMED command.
func ParseResumed(data []byte) (r Resumed, err error) {
	c := cursor{command: CommandResumed, data: data}
	r.New = c.flag()
	r.Floor = c.number("floor", 0, MaxNumber-1)
	r.Next = c.number("next number", 1, MaxNumber)
	if c.err == nil && r.Floor >= r.Next {
		c.fail("has floor %d, want less than the next number, %d", r.Floor, r.Next)
	}
	if err := c.end(); err != nil {
		return Resumed{}, err
	}
	return r, nil
}

// Lost is the data of a LOST command: messages that the subscription will never get. Invariant: 1 <= First <= Last <= MaxNumber.
type Lost struct {
	First, Last uint64
	Damaged     bool // they cannot be read any more; else they were kept for as long as the publisher keeps messages
}

// AppendLost appends a whole LOST command.
func AppendLost(dst []byte, l *Lost) []byte {
	var b [1 + 2*binary.MaxVarintLen64]byte
	data := append(b[:0], flagged(l.Damaged))
	data = binary.AppendUvarint(data, l.First)
	data = binary.AppendUvarint(data, l.Last-l.First+1)
	return appendCommand(dst, CommandLost, data)
}

// ParseLost reads the data of a LOST command.
func ParseLost(data []byte) (l Lost, err error) {
	c := cursor{command: CommandLost, data: data}
	l.Damaged = c.flag()
	l.First = c.number("first number", 1, MaxNumber)
	l.Last = l.First + c.number("length", 1, MaxNumber-l.First+1) - 1
	if err := c.end(); err != nil {
		return Lost{}, err
	}
	return l, nil
}
