package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

const pairHelp = `prints each message that comes, its frames joined by a TAB, then a newline; and sends each BODY as one
message, or without any each line of standard input. With --count or --wait it ends when so many messages
have come, or none in or out for so long, and everything is handed over. Without both it ends as soon as
everything it was given is handed over; given nothing, it prints until interrupted.`

func newPair() *cobra.Command {
	return newTalk("pair", "Exchange messages with one PAIR peer", socket.NewPair, (*socketFlags).addImmediate)
}

// talker is a socket that sends and receives as it likes.
type talker interface {
	conn
	sender
	receiver
}

// newTalk is the command of a talker.
func newTalk[S talker](verb, short string, open func(...socket.Option) S, more ...func(*socketFlags, *cobra.Command)) *cobra.Command {
	var f socketFlags
	var in input
	var out output
	cmd := &cobra.Command{
		Use:   verb + " -b|-c ENDPOINT [BODY...]",
		Short: short,
		Long:  verb + " " + pairHelp,
		Example: "  meshmq " + verb + ` -b tcp://*:5557
  meshmq ` + verb + ` -c tcp://10.0.0.7:5557 --count 1 hello`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := in.take(cmd, args); err != nil {
				return err
			}
			return serve(cmd, &f, &out, open, func(s *session, sock S) error {
				s.strict = true
				return converse(s, sock, &in)
			})
		},
	}
	in.add(cmd)
	f.add(cmd, "stop after `N` received messages")
	f.addWait(cmd)
	for _, add := range more {
		add(&f, cmd)
	}
	out.add(cmd)
	return cmd
}

// errEnough ends the wait for lines of standard input when no more is to be received.
var errEnough = errors.New("enough received")

// converse sends and receives at once.
func converse[S talker](s *session, sock S, in *input) error {
	reading, stopReading := context.WithCancelCause(s.ctx)
	sending, stopSending := context.WithCancel(s.ctx)
	receiving, stopReceiving := context.WithCancel(s.ctx)
	defer stopReading(nil)
	defer stopSending()
	defer stopReceiving()
	endless := s.count == 0 && s.wait == 0
	sent := make(chan error, 1)
	go func() { // ended by the contexts, awaited below
		err := s.send(sending, sock, in.all(reading, s.stdin, 0))
		if err != nil || endless && s.sent.Load() > 0 {
			stopReceiving()
		}
		sent <- err
	}()

	received := s.receive(receiving, sock, sock, s.print)
	if receiving.Err() != nil && s.ctx.Err() == nil {
		received = nil // stopped by the sender
	}
	stopReading(errEnough)
	if received != nil || s.count == 0 {
		stopSending() // after a silence it cannot but wait in vain
	}
	err := <-sent
	switch {
	case received != nil:
		return received
	case errors.Is(err, errEnough):
		return nil
	case s.ctx.Err() == nil && errors.Is(err, context.Canceled):
		return errSilence
	}
	return err
}
