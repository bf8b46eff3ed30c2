package zmtp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runAck runs a verb about acknowledged links. Numbers are decimal, ranges FIRST-LAST.
func (s *script) runAck(verb, args string) {
	words := strings.Fields(args)
	switch verb {
	case "offer": // offer OCTETS
		o := ParseAckOffer(s.octets(args))
		s.printf("{Send:%t Receive:%t Max:%d Frame:%d} %x %x %x", o.Send, o.Receive, o.Max, o.Frame, o.Stream, o.Life, o.Way)
	case "append-offer": // append-offer [send] [receive] [max=BYTES] [frame=BYTES] [stream=ID-LIFE] [way=16HEXDIG]
		o := AckOffer{Send: strings.Contains(args, "send"), Receive: strings.Contains(args, "receive")}
		for _, w := range words {
			if digits, limited := strings.CutPrefix(w, "max="); limited {
				o.Max = int(s.number(digits))
			}
			if digits, limited := strings.CutPrefix(w, "frame="); limited {
				o.Frame = int(s.number(digits))
			}
			if name, says := strings.CutPrefix(w, "stream="); says {
				o.Stream, o.Life = parseLife(name)
			}
			if digits, says := strings.CutPrefix(w, "way="); says {
				o.Way, _ = strconv.ParseUint(digits, 16, 64)
			}
		}
		s.printf("%s", show(AppendAckOffer(nil, o)))
	case "ack":
		a, err := ParseAck(s.octets(args))
		s.result(err, "floor %d%s", a.Floor, showRanges(a))
	case "append-ack": // append-ack FLOOR RANGE...
		var ranges []TagRange
		for _, w := range words[1:] {
			first, last, _ := strings.Cut(w, "-")
			ranges = append(ranges, TagRange{s.number(first), s.number(last)})
		}
		s.printf("%s", show(AppendAck(nil, s.number(words[0]), ranges)))
	case "nack":
		n, err := ParseNack(s.octets(args))
		s.result(err, "%+v", n)
	case "append-nack": // append-nack TAG reject|DELAY OCTETS
		n := Nack{Tag: s.number(words[0]), Reject: words[1] == "reject"}
		if !n.Reject {
			var err error
			n.After, err = time.ParseDuration(words[1])
			require.NoError(s.t, err)
		}
		n.Reason = string(s.octets(strings.Join(words[2:], " ")))
		s.printf("%s", show(AppendNack(nil, &n)))
	case "credit":
		messages, size, err := ParseCredit(s.octets(args))
		s.result(err, "messages %d bytes %d", messages, size)
	case "append-credit": // append-credit MESSAGES BYTES
		s.printf("%s", show(AppendCredit(nil, s.number(words[0]), s.number(words[1]))))
	case "stream":
		m, err := ParseStream(s.octets(args))
		id := ""
		if m.Named {
			id = fmt.Sprintf("id %s incarnation %d ", show(m.ID[:]), m.Incarnation)
		}
		s.result(err, "%snumber %d attempt %d", id, m.Number, m.Attempt)
	case "append-stream": // append-stream NUMBER ATTEMPT [INCARNATION OCTETS]
		m := Stream{Number: s.number(words[0]), Attempt: uint32(s.number(words[1])), Named: len(words) > 2}
		if m.Named {
			m.Incarnation = uint32(s.number(words[2]))
			copy(m.ID[:], s.octets(words[3]))
		}
		s.printf("%s", show(AppendStream(nil, &m)))
	case "skip":
		n, err := ParseSkip(s.octets(args))
		s.result(err, "distance %d", n)
	case "append-skip": // append-skip DISTANCE
		s.printf("%s", show(AppendSkip(nil, s.number(words[0]))))
	default:
		s.runDurable(verb, args)
	}
}

func (s *script) number(word string) uint64 {
	n, err := strconv.ParseUint(word, 10, 64)
	require.NoError(s.t, err)
	return n
}

func showRanges(a Ack) (text string) {
	for r, ok := a.Next(); ok; r, ok = a.Next() {
		text += fmt.Sprintf(" %d-%d", r.First, r.Last)
	}
	return text
}

// An ACK has as many ranges as any limit on commands lets through.
func TestAckFitsCommands(t *testing.T) {
	t.Parallel()
	var ranges []TagRange
	last := uint64(MaxNumber)
	for i := range uint64(MaxAckRanges) {
		ranges = append(ranges, TagRange{last - 2*(MaxAckRanges-i), last - 2*(MaxAckRanges-i)})
	}
	frame := AppendAck(nil, 0, ranges)
	assert.Less(t, len(frame), 32<<10)
	_, _, n, err := ParseHeader(frame)
	require.NoError(t, err)
	a, err := ParseAck(frame[n+4:])
	require.NoError(t, err)
	for _, want := range ranges {
		r, ok := a.Next()
		require.True(t, ok)
		require.Equal(t, want, r)
	}
	_, err = ParseAck(append(bytes.Clone(frame[n+4:]), 1, 1))
	require.ErrorIs(t, err, ErrCommand)
	assert.Panics(t, func() { AppendAck(nil, 0, append(ranges, TagRange{last, last})) })
}

func TestAckCommandsAllocateNothing(t *testing.T) {
	dst := make([]byte, 0, 1<<10)
	ranges := []TagRange{{3, 5}, {9, 900}}
	s, n := Stream{Named: true, Number: 9, Attempt: 2}, Nack{Tag: 7, After: time.Second}
	ack := AppendAck(nil, 1, ranges)[6:]
	stream := AppendStream(nil, &s)[9:]
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		dst = AppendSkip(AppendCredit(AppendNack(AppendStream(AppendAck(dst[:0], 1, ranges), &s), &n), 1000, 1<<23), 3)
		a, err := ParseAck(ack)
		for r, ok := a.Next(); ok; r, ok = a.Next() {
			if r.First > r.Last {
				t.Fail()
			}
		}
		if _, err2 := ParseStream(stream); err != nil || err2 != nil {
			t.Fail()
		}
	}))
}

// What parses is written back octet for octet; there is one way to say a thing.
func FuzzAckCommands(f *testing.F) {
	for _, seed := range []string{
		"", "\x00", "\x05\x01\x03\x02\x01", "\x00\x01\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x80\x00",
		"\x01\x07\x00\x05gone.", "\x00\x07\xe8\x07\x00", "\x010123456789abcdef\x01\x09\x02", "\x00\x09\x01", "\xe8\x07\x80\x80\x80\x04",
	} {
		f.Add([]byte(seed))
	}
	same := func(t *testing.T, data []byte, err error, skip int, back func() []byte) {
		if err != nil {
			require.ErrorIs(t, err, ErrCommand)
			assertPrintable(t, err.Error())
			return
		}
		frame := back()
		_, _, n, err := ParseHeader(frame)
		require.NoError(t, err)
		require.Equal(t, data, frame[n+1+skip:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = append([]byte{}, data...)
		a, err := ParseAck(data)
		same(t, data, err, 3, func() []byte {
			var ranges []TagRange
			last := a.Floor
			for r, ok := a.Next(); ok; r, ok = a.Next() {
				require.True(t, last+1 < r.First && r.First <= r.Last && r.Last <= MaxNumber)
				ranges, last = append(ranges, r), r.Last
			}
			return AppendAck(nil, a.Floor, ranges)
		})
		n, err := ParseNack(data)
		if n.After < MaxRetry { // which is cut
			same(t, data, err, 4, func() []byte { return AppendNack(nil, &n) })
		}
		messages, size, err := ParseCredit(data)
		same(t, data, err, 6, func() []byte { return AppendCredit(nil, messages, size) })
		s, err := ParseStream(data)
		same(t, data, err, 6, func() []byte { return AppendStream(nil, &s) })
		distance, err := ParseSkip(data)
		same(t, data, err, 4, func() []byte { return AppendSkip(nil, distance) })
		ParseAckOffer(data)
	})
}
