package zmtp

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	// ttlUnit is the unit of a PING's time to live on the wire (RFC 37, "Connection Heartbeating").
	ttlUnit = 100 * time.Millisecond
	// maxTTL is the largest time to live sent, 65.5 s: libzmq keeps milliseconds in 16 bits and wraps above it.
	maxTTL = 655
	// maxContext is the largest context of a PING (RFC 37, "Connection Heartbeating").
	maxContext = 16
)

// AppendPing appends a whole PING command. ttl asks the peer to hang up after that much silence; zero asks for
// nothing. It is rounded up to tenths of a second and capped at 65.5 s. Only the first 16 octets of context are sent.
func AppendPing(dst []byte, ttl time.Duration, context []byte) []byte {
	tenths := min(max(ttl, 0), maxTTL*ttlUnit)
	tenths = (tenths + ttlUnit - 1) / ttlUnit
	var field [2]byte
	binary.BigEndian.PutUint16(field[:], uint16(tenths))
	return AppendCommand(dst, CommandPing, field[:], context[:min(len(context), maxContext)])
}

// ParsePing reads the data of a PING command. context is a slice of data, to be returned in the PONG.
func ParsePing(data []byte) (ttl time.Duration, context []byte, err error) {
	if len(data) < 2 {
		return 0, nil, fmt.Errorf("%w: PING has %d octets, want at least 2", ErrCommand, len(data))
	}
	if context, err = parseContext(CommandPing, data[2:]); err != nil {
		return 0, nil, err
	}
	return time.Duration(binary.BigEndian.Uint16(data)) * ttlUnit, context, nil
}

// AppendPong appends a whole PONG command, the answer to a PING with this context.
func AppendPong(dst, context []byte) []byte {
	return AppendCommand(dst, CommandPong, context[:min(len(context), maxContext)])
}

// ParsePong reads the data of a PONG command: the context of the PING it answers, a slice of data.
func ParsePong(data []byte) (context []byte, err error) {
	return parseContext(CommandPong, data)
}

func parseContext(command string, context []byte) ([]byte, error) {
	if len(context) > maxContext {
		return nil, fmt.Errorf("%w: %s has a context of %d octets, want at most %d",
			ErrCommand, command, len(context), maxContext)
	}
	return context, nil
}
