package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// ackFlags are the flags of a verb that acknowledges what it receives.
type ackFlags struct {
	on       bool
	prefetch int
	window   string

	seen *spool.Window // open from prepare on, until the socket is closed
}

// prefetchBytes is the default of package socket: --prefetch counts messages only.
const prefetchBytes = 8 << 20

func (a *ackFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.on, "ack", false, "acknowledge each message when it is printed: what is not comes again, here or to another")
	a.addCredit(cmd, "--ack")
}

// addCredit adds the flags that need another one.
func (a *ackFlags) addCredit(cmd *cobra.Command, needs string) {
	cmd.Flags().Var((*number)(&a.prefetch), "prefetch", "have at most `N` messages that are not acknowledged (default 32768; with "+needs+")")
	cmd.Flags().StringVar(&a.window, "window", "", "remember in `DIR` what was printed, and do not print it twice, but for the last moment before a crash (with "+needs+")")
	_ = cmd.MarkFlagDirname("window")
}

// check finds flags that need another one.
func (a *ackFlags) check(cmd *cobra.Command, needs string) error {
	for _, flag := range []string{"prefetch", "window"} {
		if !a.on && cmd.Flags().Changed(flag) {
			return usage(cmd, "--%s without %s: nothing would be acknowledged", flag, needs)
		}
	}
	if cmd.Flags().Changed("window") && a.window == "" {
		return usage(cmd, "--window without a directory: want --window DIR")
	}
	return nil
}

// prepare opens the window, if there is to be one.
func (a *ackFlags) prepare(ctx context.Context) error {
	if a.window == "" {
		return nil
	}
	w, err := spool.OpenWindow(a.window, spool.WindowOptions{})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("window %q: the folder that it would be made in does not exist: make it", a.window)
	} else if err != nil {
		return spoolFailure(ctx, a.window, err)
	}
	a.seen = w
	return nil
}

// close lets the window go, once the socket is closed.
func (a *ackFlags) close() error {
	if a == nil || a.seen == nil {
		return nil
	}
	return a.seen.Close()
}

// options make a receiver one that acknowledges by hand.
func (a *ackFlags) options() (opts []socket.Option) {
	if a.on {
		opts = append(opts, socket.WithAck(), socket.WithManualAck())
	}
	if a.prefetch > 0 {
		opts = append(opts, socket.WithAckCredit(a.prefetch, prefetchBytes))
	}
	if a.seen != nil {
		opts = append(opts, socket.WithWindowOn(a.seen))
	}
	return opts
}

// opening returns how the socket of a verb is made: with more options than all have, asked for when what they need is open.
func opening[S conn](open func(...socket.Option) S, more func() []socket.Option) func(...socket.Option) S {
	return func(opts ...socket.Option) S { return open(append(opts, more()...)...) }
}

// printer returns how messages are printed.
func (s *session) printer(acknowledge bool) func(socket.Msg) error {
	if acknowledge {
		return s.printAcked
	}
	return s.print
}

// maxUnacked is how many messages wait for their line to be flushed, at most: enough that a flush costs nothing per message.
const maxUnacked = 256

// printAcked prints a message and acknowledges it once its line is written out.
func (s *session) printAcked(m socket.Msg) error {
	if err := s.out.print(m.Frames, m.Peer().Address(), time.Now()); err != nil {
		return err
	}
	s.unacked = append(s.unacked, m)
	if len(s.unacked) < maxUnacked && s.out.w.Buffered() > 0 {
		return nil
	}
	return s.flush()
}

// flush writes out what was printed, and acknowledges it. What comes too late for that comes again.
func (s *session) flush() error {
	if err := s.out.flush(); err != nil {
		return err
	}
	for _, m := range s.unacked {
		if err := m.Ack(); err != nil && !errors.Is(err, socket.ErrPeerGone) {
			return err
		}
	}
	clear(s.unacked)
	s.unacked = s.unacked[:0]
	return nil
}
