package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// far is the far side as the near one sees it: it works until its input ends, and answers each line of that with what it counted.
type far struct {
	in   io.WriteCloser
	out  *json.Decoder
	wait func() error
}

// tally is such an answer. It says what was spent where the line asks for that.
type tally struct {
	Messages int64  `json:"messages"`
	Spent    spent  `json:"spent"`
	Error    string `json:"error,omitempty"`
}

const askSpent = "spent"

// startFar starts the far side in a process of its own, or in this one.
func (c *Config) startFar(ctx context.Context, p Peer) (*far, error) {
	p.Curve = c.Curve
	if c.OneProcess || c.Transport == "inproc" {
		return startHere(ctx, p), nil
	}
	what, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, c.Self, "bench-peer", string(what))
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
	return &far{in, json.NewDecoder(bufio.NewReader(out)), func() error { return killed(cmd) }}, nil
}

// killed ends a far side that has nothing left to do, and returns what it had ended with before.
func killed(cmd *exec.Cmd) error {
	alive := cmd.Process.Kill() == nil
	if err := cmd.Wait(); !alive {
		return err
	}
	return nil
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
	t, err := f.ask("")
	return t.Messages, err
}

// spent asks for what the process has spent.
func (f *far) spent() (spent, error) {
	t, err := f.ask(askSpent)
	return t.Spent, err
}

func (f *far) ask(line string) (t tally, err error) {
	if _, err := io.WriteString(f.in, line+"\n"); err != nil {
		return t, fmt.Errorf("ask the far side: %w", err)
	}
	switch err := f.out.Decode(&t); {
	case err != nil:
		return t, fmt.Errorf("the far side ended: %w", err)
	case t.Error != "":
		return t, errors.New(t.Error)
	}
	return t, nil
}

// end ends the far side and waits for it.
func (f *far) end() error {
	f.in.Close()
	return f.wait()
}
