package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"time"
)

// child is a process of the business as Run sees it.
type child struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	reports chan report // closed at the end of its output
}

// start starts a peer as a process of this program.
func (d *director) start(ctx context.Context, role, name string, flags ...string) (*child, error) {
	args := append([]string{"demo-peer", role, "--name", name, "--run", d.run, "--registry", d.registry}, flags...)
	cmd := exec.CommandContext(ctx, d.Self, args...)
	cmd.Stderr = d.Stderr
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
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &child{name: name, cmd: cmd, in: in, reports: make(chan report, 4)}
	d.children = append(d.children, c)
	d.readers.Go(func() {
		defer close(c.reports)
		for dec := json.NewDecoder(out); ; {
			var r report
			if dec.Decode(&r) != nil {
				return
			}
			select {
			case c.reports <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	return c, nil
}

// next returns the child's next report.
func (c *child) next(ctx context.Context) (report, error) {
	select {
	case r, ok := <-c.reports:
		switch {
		case !ok:
			return r, fmt.Errorf("%s ended without a report", c.name)
		case r.Error != "":
			return r, fmt.Errorf("%s: %s", c.name, r.Error)
		}
		return r, nil
	case <-ctx.Done():
		return report{}, fmt.Errorf("waiting for %s: %w", c.name, context.Cause(ctx))
	}
}

func (c *child) tell(word string) error {
	_, err := fmt.Fprintln(c.in, word)
	return err
}

// finish has the child leave and returns its report.
func (c *child) finish(ctx context.Context) (report, error) {
	if err := c.tell("leave"); err != nil {
		return report{}, fmt.Errorf("tell %s to leave: %w", c.name, err)
	}
	r, err := c.next(ctx)
	return r, errors.Join(err, c.end())
}

// kill ends the child where it stands, with SIGKILL where there are signals. It is an error if the child ended of itself.
func (c *child) kill() error {
	if err := c.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", c.name, err)
	}
	var failed error
	for r := range c.reports { // to the end of its output, which Wait is to come after
		if r.Error != "" {
			failed = errors.New(r.Error)
		}
	}
	err := c.end()
	state := c.cmd.ProcessState
	switch {
	case failed != nil:
		return fmt.Errorf("%s: %w", c.name, failed)
	case state == nil:
		return fmt.Errorf("kill %s: %w", c.name, err)
	case state.Success(), state.Exited() && runtime.GOOS != "windows": // which has no other end
		return fmt.Errorf("%s was to be killed and ended of itself: %s", c.name, state)
	}
	return nil
}

// end closes the child's input, which ends it if nothing has, and waits for it.
func (c *child) end() error {
	c.in.Close()
	return c.cmd.Wait()
}
