package zmtp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// runDurable runs a verb about durable subscriptions.
func (s *script) runDurable(verb, args string) {
	words := strings.Fields(args)
	flag := strings.Contains(args, "!")
	switch verb {
	case "resume":
		r, err := ParseResume(s.octets(args))
		s.result(err, "%+v", r)
	case "append-resume": // append-resume NAME FROM VALUE [!]
		s.printf("%s", show(AppendResume(nil, &Resume{words[0], ResumeFrom(s.number(words[1])), s.number(words[2]), flag})))
	case "resumed":
		r, err := ParseResumed(s.octets(args))
		s.result(err, "%+v", r)
	case "append-resumed": // append-resumed FLOOR NEXT [!]
		s.printf("%s", show(AppendResumed(nil, &Resumed{flag, s.number(words[0]), s.number(words[1])})))
	case "lost":
		l, err := ParseLost(s.octets(args))
		s.result(err, "%+v", l)
	case "append-lost": // append-lost FIRST LAST [!]
		s.printf("%s", show(AppendLost(nil, &Lost{s.number(words[0]), s.number(words[1]), flag})))
	default:
		s.t.Fatalf("unknown verb %q", verb)
	}
}

// What parses is written back octet for octet.
func FuzzDurableCommands(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x00\x01a", "\x01\x02\x07\x05jobs.", "\x00\x03\x80\x80\x80\x04\x03a-b", "\x00\x01\x02..", "\x01\x00\x01", "\x00\x05\x09", "\x01\x01\x02",
		"\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x01", "\x00\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x02", "\x02", "\x00\x04\x01a",
	} {
		f.Add([]byte(seed))
	}
	same := func(t *testing.T, data []byte, err error, name string, back func() []byte) {
		if err != nil {
			require.ErrorIs(t, err, ErrCommand)
			assertPrintable(t, err.Error())
			return
		}
		frame := back()
		_, _, n, err := ParseHeader(frame)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(data), fmt.Sprint(frame[n+1+len(name):]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseResume(data)
		require.Equal(t, err == nil, ValidDurableName(r.Name))
		same(t, data, err, CommandResume, func() []byte { return AppendResume(nil, &r) })
		d, err := ParseResumed(data)
		require.True(t, err != nil || d.Floor < d.Next)
		same(t, data, err, CommandResumed, func() []byte { return AppendResumed(nil, &d) })
		l, err := ParseLost(data)
		require.True(t, err != nil || 1 <= l.First && l.First <= l.Last && l.Last <= MaxNumber)
		same(t, data, err, CommandLost, func() []byte { return AppendLost(nil, &l) })
	})
}
