package zmtp

import (
	"errors"
	"fmt"
)

// Names of the commands this package knows.
const (
	CommandReady     = "READY"
	CommandError     = "ERROR"
	CommandPing      = "PING"
	CommandPong      = "PONG"
	CommandSubscribe = "SUBSCRIBE"
	CommandCancel    = "CANCEL"
	CommandJoin      = "JOIN"
	CommandLeave     = "LEAVE"
	CommandStream    = "STREAM" // this one and the next four: acknowledged links, ACK.md
	CommandSkip      = "SKIP"
	CommandAck       = "ACK"
	CommandNack      = "NACK"
	CommandCredit    = "CREDIT"
	CommandResume    = "RESUME" // this one and the next two: durable subscriptions, DURABLE.md
	CommandResumed   = "RESUMED"
	CommandLost      = "LOST"
)

// ErrCommand is wrapped by every error about the inside of a command: its name, PING, PONG, ERROR.
var ErrCommand = errors.New("zmtp: malformed command")

// AppendCommand appends a whole command frame whose data is the concatenation of data. It panics if name is not
// 1 to 255 octets long.
func AppendCommand(dst []byte, name string, data ...[]byte) []byte {
	size := 1 + len(name)
	for _, d := range data {
		size += len(d)
	}
	dst = AppendHeader(dst, FlagCommand, size)
	dst = appendName(dst, name)
	for _, d := range data {
		dst = append(dst, d...)
	}
	return dst
}

// ParseCommand splits the body of a command frame into name and data, both slices of body. The characters of the
// name are the peer's: quote them before showing them.
func ParseCommand(body []byte) (name, data []byte, err error) {
	if len(body) == 0 || body[0] == 0 {
		return nil, nil, fmt.Errorf("%w: it has no name", ErrCommand)
	}
	end := 1 + int(body[0])
	if end > len(body) {
		return nil, nil, fmt.Errorf("%w: a name of %d octets in a body of %d", ErrCommand, body[0], len(body))
	}
	return body[1:end], body[end:], nil
}

// AppendError appends a whole ERROR command. A peer that gets one closes for good, so it is for reasons that a
// person has to mend. The reason is cut to 255 octets; RFC 37 has neither spaces nor control characters in it,
// so those become underscores.
func AppendError(dst []byte, reason string) []byte {
	text := []byte(reason[:min(len(reason), 255)])
	for i, c := range text {
		if c <= ' ' || c > '~' {
			text[i] = '_'
		}
	}
	return AppendCommand(dst, CommandError, []byte{byte(len(text))}, text)
}

// ParseError reads the reason from the data of an ERROR command, with every octet that is not printable ASCII
// replaced by a question mark. Octets behind the reason are ignored: the peer is gone whatever they say.
func ParseError(data []byte) (reason string, err error) {
	if len(data) == 0 {
		return "", fmt.Errorf("%w: ERROR has no reason length", ErrCommand)
	}
	size := int(data[0])
	if size > len(data)-1 {
		return "", fmt.Errorf("%w: ERROR claims a reason of %d octets and has %d", ErrCommand, size, len(data)-1)
	}
	return printable(data[1 : 1+size]), nil
}

// printable is b for a person's eyes: at most 255 octets of printable ASCII, question marks for the rest.
func printable(b []byte) string {
	text := append([]byte(nil), b[:min(len(b), 255)]...)
	for i, c := range text {
		if c < ' ' || c > '~' {
			text[i] = '?'
		}
	}
	return string(text)
}

// appendName appends a name behind its one-octet length. Names come from our own code: one that does not fit
// would corrupt the stream, so it panics.
func appendName(dst []byte, name string) []byte {
	if len(name) == 0 || len(name) > 255 {
		panic(fmt.Sprintf("zmtp: a name of %d octets, want 1 to 255", len(name)))
	}
	return append(append(dst, byte(len(name))), name...)
}
