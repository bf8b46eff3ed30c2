package jetstream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/meshmq/meshmq/socket/spool"
)

// Headers of ours.
const (
	headerFrames      = "Mesh-Frames"      // lengths of the frames, unless there is just one
	headerNumber      = "Mesh-Number"      // of a dead letter, and of one that was replayed: its number in the spool at first
	headerIncarnation = "Mesh-Incarnation" // and its incarnation then; of a dead letter,
	headerConsumer    = "Mesh-Consumer"    // who gave it up,
	headerTime        = "Mesh-Time"        // the time it was appended,
	headerAttempts    = "Mesh-Attempts"    // how many deliveries had failed
	headerReason      = "Mesh-Reason"      // and why it was given up
)

// void is in the place of lengths where a message would be that has become too large for the servers. Nobody reads it.
const void = "void"

var errVoid = errors.New("not in the spool")

var errForm = errors.New("not a message of a spool")

// pack returns a message without its subject; the frames are copied.
func pack(frames [][]byte) *nats.Msg {
	m := &nats.Msg{Header: nats.Header{}}
	size := 0
	for _, f := range frames {
		size += len(f)
	}
	m.Data = make([]byte, 0, size)
	var lengths []byte
	for i, f := range frames {
		if i > 0 {
			lengths = append(lengths, ' ')
		}
		lengths = strconv.AppendInt(lengths, int64(len(f)), 10)
		m.Data = append(m.Data, f...)
	}
	if len(frames) != 1 {
		m.Header.Set(headerFrames, string(lengths))
	}
	return m
}

// unpack returns the frames of a message, which share its memory.
func unpack(h nats.Header, data []byte) ([][]byte, error) {
	if _, several := h[headerFrames]; !several {
		return [][]byte{data}, nil
	}
	if h.Get(headerFrames) == void {
		return nil, errVoid
	}
	fields := strings.Fields(h.Get(headerFrames))
	frames := make([][]byte, 0, len(fields))
	for _, field := range fields {
		n, err := strconv.Atoi(field)
		if err != nil || n < 0 || n > len(data) {
			return nil, fmt.Errorf("%s %q of %d bytes: %w", headerFrames, field, len(data), errForm)
		}
		frames, data = append(frames, data[:n:n]), data[n:]
	}
	if len(data) > 0 {
		return nil, fmt.Errorf("%s: %d bytes more: %w", headerFrames, len(data), errForm)
	}
	return frames, nil
}

// found is a record that was read, or why there is none.
type found struct {
	spool.Record
	err error
}

// record returns a message that a server sent. With an error it has a number and no frames.
func record(sequence uint64, subject string, at time.Time, h nats.Header, data []byte) (spool.Record, error) {
	r := spool.Record{Number: sequence, Time: at}
	n, err := strconv.ParseUint(subject[strings.LastIndexByte(subject, '.')+1:], 10, 32)
	if err == nil {
		r.Incarnation = uint32(n)
		r.Frames, err = unpack(h, data)
	}
	if h.Get(headerNumber) != "" && err == nil {
		r.Incarnation = incarnationOf(h)
		r.Origin, err = strconv.ParseUint(h.Get(headerNumber), 10, 63)
	}
	if err != nil {
		r.Frames = nil
		return r, fmt.Errorf("message %d: %w", sequence, err)
	}
	return r, nil
}

// direct returns the message in an answer to a direct read, whose place is in headers.
func direct(m *nats.Msg) (spool.Record, error) {
	n, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 64)
	if err != nil {
		return spool.Record{}, fmt.Errorf("answer without a sequence: %w", errForm)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(headerTimeStamp))
	if err != nil {
		return spool.Record{Number: n}, fmt.Errorf("message %d without a time: %w", n, errForm)
	}
	return record(n, m.Header.Get(headerSubject), at, m.Header, m.Data)
}
