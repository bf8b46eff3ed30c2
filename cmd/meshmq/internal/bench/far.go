package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"time"
)

// far is the far side as the near one sees it: it works until its input ends, and answers each line of that with what it counted.
type far struct {
	in   io.WriteCloser
	out  *json.Decoder
	wait func() error
}

// tally is such an answer.
type tally struct {
	Messages int64  `json:"messages"`
	Error    string `json:"error,omitempty"`
}

// startFar starts the far side in a process of its own, or in this one.
func (c *Config) startFar(ctx context.Context, p Peer) (*far, error) {
	p.Curve = c.Curve
	if c.OneProcess || c.Transport == "inproc" {
		return startHere(ctx, p), nil
	}
	cmd := exec.CommandContext(ctx, c.Self, "bench-peer", p.Kind, p.Endpoint, strconv.Itoa(p.Size), strconv.Itoa(p.Sockets),
		"--curve="+strconv.FormatBool(p.Curve))
	cmd.Stderr = c.Stderr
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the far side: %w", err)
	}
	return &far{in, json.NewDecoder(bufio.NewReader(out)), cmd.Wait}, nil
}

func startHere(ctx context.Context, p Peer) *far {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends when the near side closes inW
		err := p.Run(ctx, inR, outW)
		outW.CloseWithError(io.EOF)
		done <- err
	}()
	return &far{inW, json.NewDecoder(outR), func() error { return <-done }}
}

// tally asks what was counted.
func (f *far) tally() (int64, error) {
	if _, err := io.WriteString(f.in, "\n"); err != nil {
		return 0, fmt.Errorf("ask the far side: %w", err)
	}
	var t tally
	switch err := f.out.Decode(&t); {
	case err != nil:
		return 0, fmt.Errorf("the far side ended: %w", err)
	case t.Error != "":
		return 0, errors.New(t.Error)
	}
	return t.Messages, nil
}

// end ends the far side and waits for it.
func (f *far) end() error {
	f.in.Close()
	return f.wait()
}
