package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"time"
)

// far is the far side as the near one sees it: it works until its input ends, and answers each line of that with what it counted.
type far struct {
	near    io.Closer // ends with it
	in      io.WriteCloser
	answers chan tally
	kill    func()
	ended   chan struct{} // closed when it has

	once sync.Once     // it fails, or is to end
	over chan struct{} // closed then
	err  error         // why it failed
}

// tally is such an answer. It says what was spent where the line asks for that. One with an error comes unasked.
type tally struct {
	Messages int64  `json:"messages"`
	Spent    spent  `json:"spent"`
	Error    string `json:"error,omitempty"`
}

const askSpent = "spent"

// startFar starts the far side in a process of its own, or in this one. If that fails or ends before it is to, the near socket closes, since what
// it waits for will not come.
func (c *Config) startFar(ctx context.Context, near io.Closer, p Peer) (*far, error) {
	p.Curve = c.Curve
	if c.shared() {
		return startHere(ctx, near, p), nil
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
	return watch(near, in, out, cmd.Wait, func() { _ = cmd.Process.Kill() }), nil
}

func startHere(ctx context.Context, near io.Closer, p Peer) *far {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	done := make(chan error, 1)
	go func() { // ends when the near side closes inW
		err := p.Run(ctx, inR, outW)
		inR.Close()
		outW.Close()
		done <- err
	}()
	return watch(near, inW, outR, func() error { return <-done }, func() {})
}

// watch reads what the far side says until it has ended.
func watch(near io.Closer, in io.WriteCloser, out io.Reader, wait func() error, kill func()) *far {
	f := &far{near: near, in: in, answers: make(chan tally), kill: kill, ended: make(chan struct{}), over: make(chan struct{})}
	go func() { // ends with the far side; end waits for it
		defer close(f.ended)
		for answers := json.NewDecoder(out); ; {
			var t tally
			if answers.Decode(&t) != nil {
				break
			}
			if t.Error != "" {
				f.fail(errors.New(t.Error))
				continue
			}
			select {
			case f.answers <- t:
			case <-f.over: // nobody waits for it
			}
		}
		f.fail(fmt.Errorf("the far side ended: %w", cmp.Or(wait(), io.EOF)))
	}()
	return f
}

// fail is for what happens before the end.
func (f *far) fail(err error) {
	f.once.Do(func() {
		f.err = err
		close(f.over)
	})
	f.near.Close()
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

func (f *far) ask(line string) (tally, error) {
	_, _ = io.WriteString(f.in, line+"\n") // it fails if the far side has ended
	select {
	case t := <-f.answers:
		return t, nil
	case <-f.over:
		return tally{}, f.err
	}
}

// sleep waits while the far side works.
func (f *far) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-f.over:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// end ends both sides, which have nothing left to do, and waits for them. It returns why the far one had failed before.
func (f *far) end() error {
	f.once.Do(func() { close(f.over) })
	closed := make(chan struct{})
	go func() { // what is still queued is no part of the measurement, and neither side is to wait for the other to take it
		defer close(closed)
		f.near.Close()
	}()
	f.in.Close()
	f.kill()
	<-f.ended
	<-closed
	return f.err
}
