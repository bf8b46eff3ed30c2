package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"
)

// input is what a verb has to send: the BODY arguments, the message of the --frame flags, or the lines of
// standard input.
type input struct {
	frames   []string
	interval time.Duration

	messages [][][]byte // given by arguments or flags; empty: the lines of stdin
	lines    <-chan line
}

func (in *input) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&in.frames, "frame", nil, "send one message of several frames: this `TEXT` is the next (repeatable)")
}

func (in *input) addInterval(cmd *cobra.Command) {
	cmd.Flags().Var((*duration)(&in.interval), "interval", "pause this `LONG` between messages; alone, repeat them for ever")
}

// take sorts out where the messages come from. It reads nothing yet.
func (in *input) take(cmd *cobra.Command, args []string) error {
	switch {
	case len(in.frames) > 0 && len(args) > 0:
		return usage(cmd, "argument %.80q besides --frame: the frames are the whole message", args[0])
	case len(in.frames) > 0:
		var frames [][]byte
		for _, f := range in.frames {
			frames = append(frames, []byte(f))
		}
		in.messages = [][][]byte{frames}
	}
	for _, a := range args {
		in.messages = append(in.messages, [][]byte{[]byte(a)})
	}
	return nil
}

// given says whether the messages are known beforehand.
func (in *input) given() bool { return len(in.messages) > 0 }

// all yields the messages: those given in order, again and again if there are more to count or an interval
// to repeat them at, or else the lines of stdin. At most count of them, zero meaning no limit. Once ctx has
// ended it yields what is at hand without waiting, then ctx's cause if messages are left or may be.
func (in *input) all(ctx context.Context, stdin io.Reader, count int) iter.Seq2[[][]byte, error] {
	return func(yield func([][]byte, error) bool) {
		if !in.given() {
			in.lines = readLines(stdin, maxLine)
		}
		for n := 0; count == 0 || n < count; n++ {
			if n > 0 && in.interval > 0 && !pause(ctx, in.interval) {
				yield(nil, context.Cause(ctx))
				return
			}
			frames, err := in.next(ctx, n, count)
			if errors.Is(err, io.EOF) || !yield(frames, err) || err != nil {
				return
			}
		}
	}
}

// next returns message number n, from zero, or io.EOF.
func (in *input) next(ctx context.Context, n, count int) ([][]byte, error) {
	if in.given() {
		if n >= len(in.messages) && count == 0 && in.interval == 0 {
			return nil, io.EOF
		}
		return in.messages[n%len(in.messages)], nil
	}
	var l line
	select {
	case l = <-in.lines:
	default:
		select {
		case l = <-in.lines:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return [][]byte{l.text}, l.err
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type line struct {
	text []byte
	err  error
}

// readAhead lets the reading of lines overlap with their sending.
const readAhead = 256

// maxLine is the largest message a socket sends by default.
const maxLine = 64 << 20

// readLines yields the lines of r, of at most longest bytes, without their line feed and ends with an error, io.EOF if there was none.
// It reads on a goroutine because nothing can wake a read of standard input.
func readLines(r io.Reader, longest int) <-chan line {
	lines := make(chan line, readAhead)
	go func() { // ends with r; nobody can wait for that, see the table in main.go
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, min(64<<10, longest)), longest+1) // and the line feed
		s.Split(splitLine)
		for s.Scan() {
			lines <- line{text: bytes.Clone(s.Bytes())}
		}
		err := io.EOF
		switch {
		case errors.Is(s.Err(), bufio.ErrTooLong):
			err = fmt.Errorf("standard input: a line is longer than %d bytes, which is the largest message", longest)
		case s.Err() != nil:
			err = fmt.Errorf("standard input: %w", s.Err())
		}
		lines <- line{err: err}
	}()
	return lines
}

// splitLine is bufio.ScanLines but for the carriage return, which belongs to the message.
func splitLine(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}
