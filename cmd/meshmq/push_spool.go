package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// spoolFlags are the flags of a verb that sends from a spool.
type spoolFlags struct {
	dir      string
	sync     policy
	receipts bool
	quota    size
	topic    bool // of pub: it is kept whether it is acknowledged or not
	keepFor  time.Duration
	keepLast int

	log *spool.Log // open from prepare on; the socket's
}

func (f *spoolFlags) add(cmd *cobra.Command, what string) {
	flags := cmd.Flags()
	flags.StringVar(&f.dir, "spool", "", "keep messages in `DIR`, made if it is missing, "+what)
	flags.Var(&f.sync, "sync", "a message is safe when it is on disk (always), is there within a second (interval), or the system has it (os)")
	_ = cmd.RegisterFlagCompletionFunc("sync", cobra.FixedCompletions([]string{"always", "interval", "os"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagDirname("spool")
	flags.BoolVar(&f.receipts, "receipts", false, "print the number of each message, from 1 in a new spool, once it is safe there")
}

func (f *spoolFlags) addQuota(cmd *cobra.Command, full string) {
	cmd.Flags().Var(&f.quota, "quota", "let messages in the spool take `SIZE` of its disk at most, such as 512MiB or 20GiB, "+full+"; its dead letters may take as much again (default: what there is)")
}

// addKeep is for a spool that is the log of a publisher.
func (f *spoolFlags) addKeep(cmd *cobra.Command) {
	f.topic = true
	cmd.Flags().Var((*duration)(&f.keepFor), "keep-for", "drop files of the spool in which all is older than this `LONG`, such as 24h (default: never)")
	cmd.Flags().Var((*number)(&f.keepLast), "keep-last", "drop files of the spool that have `N` messages or more behind them (default: none)")
}

func (f *spoolFlags) check(cmd *cobra.Command) error {
	if f.dir != "" {
		return nil
	}
	for _, name := range []string{"spool", "sync", "receipts", "quota", "keep-for", "keep-last"} {
		if cmd.Flags().Changed(name) {
			return usage(cmd, "--%s without a directory: want --spool DIR", name)
		}
	}
	return nil
}

// logOptions are those of the flags. A quota has room for several segments, and a topic makes room by dropping the oldest.
func (f *spoolFlags) logOptions() spool.Options {
	o := spool.Options{Policy: spool.Policy(f.sync), Quota: int64(f.quota)}
	if f.quota > 0 {
		o.SegmentSize = min(16<<20, o.Quota/4)
	}
	if f.topic {
		o.Kind, o.Full = spool.Topic, spool.DropOldest
		o.Retention = spool.Retention{Age: f.keepFor, Count: uint64(f.keepLast)}
	}
	return o
}

// prepare opens the spool, if there is to be one.
func (f *spoolFlags) prepare(ctx context.Context) error {
	if f.dir == "" {
		return nil
	}
	log, err := spool.Open(f.dir, f.logOptions())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("spool %q: the folder that it would be made in does not exist: make it", f.dir)
	} else if err != nil {
		return spoolFailure(ctx, f.dir, f.advise(err))
	}
	f.log = log
	return nil
}

// options are those of the socket, once the spool is open.
func (f *spoolFlags) options() []socket.Option {
	if f.log == nil {
		return nil
	}
	return []socket.Option{socket.WithSpoolOn(socket.SpoolOf(f.log))}
}

// published reports whether what was sent is in the log of a publisher.
func (f *spoolFlags) published() bool { return f != nil && f.topic && f.log != nil }

// kept returns how many messages are in the spool, once the socket is closed, and how many are gone that a durable subscription lacks.
func (f *spoolFlags) kept() (there, gone uint64, err error) {
	if f == nil || f.log == nil {
		return 0, 0, nil
	}
	s, err := spool.Inspect(f.dir)
	if err != nil {
		return 0, 0, err
	}
	for _, c := range s.Consumers {
		gone = max(gone, c.Gone)
	}
	return pending(s), gone, nil
}

// failure returns the part of the error of a shutdown that says that the spool has failed, nil if it is sound: beside it may be that messages stay, which nobody knows then, and that time was up.
func (f *spoolFlags) failure(left error) error {
	switch {
	case f == nil || !errors.Is(left, spool.ErrFailed):
		return nil
	case !errors.Is(left, socket.ErrSpooled) && !isContext(left):
		return left
	}
	switch e := left.(type) {
	case interface{ Unwrap() error }:
		return f.failure(e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, part := range e.Unwrap() {
			if failed := f.failure(part); failed != nil {
				return failed
			}
		}
	}
	return nil
}

// advise adds what flag there is against a disk that is full: where there is a quota it is that, or sets how large segments are.
func (f *spoolFlags) advise(err error) error {
	if f == nil || f.quota > 0 || !errors.Is(err, spool.ErrFull) {
		return err
	}
	return fmt.Errorf("%w; a small --quota, such as 1MiB, has smaller segments", err)
}

// spooler is a socket that sends from a spool.
type spooler interface {
	Enqueue(ctx context.Context, frames ...[]byte) (uint64, error)
	WaitSpooled(ctx context.Context, number uint64) error
	Flush(ctx context.Context) error
}

// spoolSender sends through a spool: one sync carries all messages that came during the last. Receipts are printed in the order of their numbers.
type spoolSender struct {
	spooler
	queued chan<- uint64 // nil without --receipts
}

// receiptsAhead is how many messages may wait for the disk, so that syncs are shared.
const receiptsAhead = 1024

// assuredSender is a socket that says when all is acknowledged.
type assuredSender interface {
	sender
	WaitAcked(ctx context.Context) error
}

// sendAssured sends all messages, as send does, and waits until they are acknowledged or dead letters.
func (s *session) sendAssured(to assuredSender, messages iter.Seq2[[][]byte, error], f *spoolFlags) error {
	through, finish := sender(to), func() error { return nil }
	if from, ok := to.(spooler); ok && f.dir != "" {
		through, finish = s.newSpoolSender(from, f.receipts)
	}
	err := errors.Join(s.send(s.ctx, through, messages), finish())
	if err == nil {
		err = to.WaitAcked(s.ctx)
	}
	return err
}

// newSpoolSender returns a sender and what ends it: finish returns when all is safe and all receipts are printed.
func (s *session) newSpoolSender(to spooler, receipts bool) (through *spoolSender, finish func() error) {
	through = &spoolSender{spooler: to}
	if !receipts {
		return through, func() error { return s.confirm(to) }
	}
	queued, failed := make(chan uint64, receiptsAhead), make(chan error, 1)
	go func() { failed <- s.printReceipts(to, queued) }() // ends with queued, and finish waits for it
	through.queued = queued
	return through, func() error {
		close(queued)
		return <-failed
	}
}

// confirm waits until what was sent is safe, however the session ended: a disk does not take for ever.
func (s *session) confirm(to spooler) error { return to.Flush(context.WithoutCancel(s.ctx)) }

func (s *session) printReceipts(to spooler, queued <-chan uint64) (failed error) {
	for n := range queued {
		if failed != nil {
			continue
		}
		if failed = to.WaitSpooled(context.WithoutCancel(s.ctx), n); failed == nil {
			failed = s.out.write(fmt.Appendln(nil, n))
		}
		if failed == nil {
			failed = s.out.flush()
		}
	}
	return failed
}

// Send puts a message into the spool.
func (s *spoolSender) Send(ctx context.Context, frames ...[]byte) error {
	n, err := s.Enqueue(ctx, frames...)
	if n > 0 && s.queued != nil {
		s.queued <- n
	}
	return err
}

// sendAck makes a sender one that keeps what is not acknowledged; a spool does anyway.
func sendAck(on bool) []socket.Option {
	if on {
		return []socket.Option{socket.WithAck()}
	}
	return nil
}
