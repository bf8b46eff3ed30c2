package main

import (
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

// ackFlags are the flags of a verb that acknowledges what it receives.
type ackFlags struct {
	on       bool
	prefetch int
}

// prefetchBytes is the default of package socket: --prefetch counts messages only.
const prefetchBytes = 8 << 20

func (a *ackFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.on, "ack", false, "acknowledge each message when it is printed: what is not comes again, here or to another")
	cmd.Flags().Var((*number)(&a.prefetch), "prefetch", "have at most `N` messages that are not acknowledged (default 16384; with --ack)")
}

func (a *ackFlags) check(cmd *cobra.Command) error {
	if a.prefetch > 0 && !a.on {
		return usage(cmd, "--prefetch without --ack: nothing would be acknowledged")
	}
	return nil
}

// options make a receiver one that acknowledges by hand.
func (a *ackFlags) options() (opts []socket.Option) {
	if a.on {
		opts = append(opts, socket.WithAck(), socket.WithManualAck())
	}
	if a.prefetch > 0 {
		opts = append(opts, socket.WithAckCredit(a.prefetch, prefetchBytes))
	}
	return opts
}

// opening returns how the socket of a verb is made: with more options than all have.
func opening[S conn](open func(...socket.Option) S, more []socket.Option) func(...socket.Option) S {
	return func(opts ...socket.Option) S { return open(append(opts, more...)...) }
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
