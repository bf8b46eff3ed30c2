package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// output is how a verb prints messages.
type output struct {
	json, hex, quoted, raw bool

	w   *bufio.Writer
	buf []byte
}

func (o *output) add(cmd *cobra.Command) {
	o.addAs(cmd, `print a line {"frames":["text",{"b64":"..."}],"peer":"...","time":"..."} per message`)
}

// addAs is add for what has another form of JSON.
func (o *output) addAs(cmd *cobra.Command, asJSON string) {
	flags := cmd.Flags()
	flags.BoolVar(&o.json, "json", false, asJSON)
	flags.BoolVar(&o.hex, "hex", false, "print frames in hexadecimal")
	flags.BoolVar(&o.quoted, "quoted", false, "print frames as quoted strings, with escapes as in Go")
	flags.BoolVar(&o.raw, "raw", false, "print no newline after a message")
	cmd.MarkFlagsMutuallyExclusive("json", "hex", "quoted", "raw")
}

// open directs the output to w.
func (o *output) open(w io.Writer) { o.w = bufio.NewWriterSize(w, 64<<10) }

// print writes one message: frames joined by a TAB, then a newline, if no flag says otherwise.
func (o *output) print(frames [][]byte, peer string, at time.Time) error {
	if o.json {
		var err error
		if o.buf, err = appendJSON(o.buf[:0], frames, peer, at); err != nil {
			return err
		}
	} else {
		o.buf = o.appendText(o.buf[:0], frames)
	}
	return o.write(o.buf)
}

// printJSON writes a line that is not print's.
func (o *output) printJSON(v any) error {
	line, err := marshal(v)
	if err != nil {
		return err
	}
	return o.write(append(line, '\n'))
}

func (o *output) write(b []byte) error {
	_, err := o.w.Write(b)
	return written(err)
}

// flush writes out what print left in the buffer.
func (o *output) flush() error { return written(o.w.Flush()) }

// end is flush behind what may have failed already: once an output takes no more, that is said once.
func (o *output) end(err error) error {
	flushed := o.flush()
	if flushed != nil && errors.Is(err, errors.Unwrap(flushed)) {
		return err
	}
	return errors.Join(err, flushed)
}

func written(err error) error {
	if err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

func (o *output) appendText(dst []byte, frames [][]byte) []byte {
	for i, f := range frames {
		if i > 0 {
			dst = append(dst, '\t')
		}
		switch {
		case o.hex:
			dst = hex.AppendEncode(dst, f)
		case o.quoted:
			dst = strconv.AppendQuote(dst, string(f))
		default:
			dst = append(dst, f...)
		}
	}
	if o.raw {
		return dst
	}
	return append(dst, '\n')
}

// jsonFrame is a string if it is text, or else an object with its bytes.
type jsonFrame []byte

func (f jsonFrame) MarshalJSON() ([]byte, error) {
	if utf8.Valid(f) {
		return marshal(string(f))
	}
	return marshal(map[string]string{"b64": base64.StdEncoding.EncodeToString(f)})
}

func jsonFrames(frames [][]byte) []jsonFrame {
	all := make([]jsonFrame, len(frames))
	for i, f := range frames {
		all[i] = f
	}
	return all
}

func appendJSON(dst []byte, frames [][]byte, peer string, at time.Time) ([]byte, error) {
	m := struct {
		Frames []jsonFrame `json:"frames"`
		Peer   string      `json:"peer"`
		Time   string      `json:"time"`
	}{jsonFrames(frames), peer, at.UTC().Format(time.RFC3339Nano)}
	line, err := marshal(m)
	if err != nil {
		return dst, err
	}
	return append(append(dst, line...), '\n'), nil
}

// marshal is json.Marshal without the escapes that only HTML needs.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
