package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// session is one run of a socket verb.
type session struct {
	*socketFlags
	stdin   io.Reader
	stderr  io.Writer
	out     output
	ctx     context.Context // ends at --timeout or an interrupt, which are its causes
	events  events
	places  places
	watched watched
	start   time.Time
	inbox   receiver     // what receive reads from
	unacked []socket.Msg // printed, not flushed, to be acknowledged then
	strict  bool         // a dropped message makes the verb fail
	unsent  uint64       // accepted, and given up in the end
	kept    uint64       // in the spool in the end
	gone    uint64       // from there before they were acknowledged
	missed  uint64       // gone from a log before they were delivered to us
	broken  error        // why nobody knows what is on disk in the end

	sent, received atomic.Int64 // messages
	moved          atomic.Int64 // when the last of them was, in nanoseconds since start
}

// errTimeout is the cause of a session's context at --timeout.
var errTimeout = errors.New("timeout")

// serve runs one verb: it checks the endpoints, opens the socket, does the work and ends in order.
func serve[S conn](cmd *cobra.Command, f *socketFlags, out *output, open func(...socket.Option) S, work func(*session, S) error) error {
	if err := f.check(cmd); err != nil {
		return err
	}
	s := &session{
		socketFlags: f, stdin: cmd.InOrStdin(), stderr: cmd.ErrOrStderr(), ctx: cmd.Context(), start: time.Now(),
		events: events{w: cmd.ErrOrStderr(), verbose: f.verbose, quiet: f.quiet, warnPlain: f.warnPlain},
	}
	if out != nil {
		s.out = *out
	}
	s.out.open(cmd.OutOrStdout())
	if f.timeout > 0 {
		ctx, cancel := context.WithTimeoutCause(s.ctx, f.timeout, errTimeout)
		defer cancel()
		s.ctx = ctx
	}
	if err := f.prepare(cmd.Context()); err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(s.ctx)
	defer end(nil)
	s.ctx = ctx
	s.watchRefusals(end)
	sock := open(s.options()...)
	err := s.places.open(f, sock)
	if err == nil {
		err = s.watched.open(s, cmd.Name(), sock)
	}
	if errors.Is(err, socket.ErrOption) {
		err = usage(cmd, "%w", err)
	}
	if err == nil {
		err = work(s, sock)
	}
	return s.finish(sock, err)
}

// prepare opens what a verb keeps on disk.
func (f *socketFlags) prepare(ctx context.Context) error {
	if f.spool != nil {
		return f.spool.prepare(ctx)
	}
	if f.ack != nil {
		return f.ack.prepare(ctx)
	}
	return nil
}

// options are those of the flags that differ from the defaults.
func (s *session) options() []socket.Option {
	opts := []socket.Option{socket.WithEventHandler(s.events.handle), socket.WithLinger(s.linger)}
	if s.hwm != defaultHWM {
		opts = append(opts, socket.WithSendHWM(s.hwm), socket.WithRecvHWM(s.hwm))
	}
	opts = append(opts, s.tls.options()...)
	opts = append(opts, s.security.opts...)
	if s.identity != "" {
		opts = append(opts, socket.WithIdentity(s.identity))
	}
	if s.immediate {
		opts = append(opts, socket.WithImmediate())
	}
	return opts
}

// finish hands over what is queued, closes everything, and says how it ended.
func (s *session) finish(sock conn, err error) error {
	if e := s.flush(); e != nil {
		err = e
	}
	s.places.withdraw()
	left := s.shutdown(sock)
	s.watched.close()
	s.places.close()
	s.discard()
	if err == nil || isContext(err) && !errors.Is(err, spool.ErrFull) && errors.Is(left, socket.ErrSpooled) {
		err = left
	}
	s.broken = s.spool.failure(left)
	if s.broken == nil {
		s.kept, s.gone, s.broken = s.spool.kept()
	}
	if err == nil { // nothing is left there, wherever it is by now
		s.broken = nil
	}
	if e := s.ack.close(); err == nil {
		err = e
	} else if s.broken == nil {
		s.broken = e
	}
	stats := sock.Stats()
	s.unsent = stats.Dropped[socket.DropClosed]
	if lost := lostMessages(stats); err == nil && s.strict && lost > 0 {
		sent := s.sent.Load()
		of := messages(sent)
		if uint64(sent) < lost { // of those that were in the spool before
			of = "those in the spool"
		}
		err = fmt.Errorf("%d of %s lost; the dropped lines say why", lost, of)
	}
	if s.ack != nil {
		s.missed = stats.Missed
	}
	if err == nil && s.missed > 0 {
		err = fmt.Errorf("%s gone from the publisher's log: the missed lines say which", messages(int64(s.missed)))
	}
	if err == nil && s.verbose {
		s.say("%s", s.summary())
	}
	return s.verdict(err)
}

// grace returns the context of what is in hand: it ends at --timeout, and --linger after an interrupt.
func (s *session) grace() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(s.ctx, func() {
		if s.signal() != nil {
			pause(ctx, s.linger)
		}
		cancel()
	})
	return ctx, func() { stop(); cancel() }
}

// shutdown closes the socket when everything is handed over. The error says what was left.
func (s *session) shutdown(sock conn) error {
	ctx, cancel := s.grace()
	defer cancel()
	return sock.Shutdown(ctx)
}

// discard counts what had arrived and was not asked for any more.
func (s *session) discard() {
	if s.inbox == nil {
		return
	}
	n := int64(0)
	for {
		if _, err := s.inbox.Recv(expired); err != nil {
			break
		}
		n++
	}
	if n > 0 {
		s.say("%s more had arrived and are discarded", messages(n))
	}
}

// verdict turns the error that ended the session into the one that carries the exit code.
func (s *session) verdict(err error) error {
	silence := errors.Is(err, errSilence)
	sig := s.signal()
	refused, refusal := errors.AsType[*errRefused](context.Cause(s.ctx))
	switch {
	case s.broken != nil && (err == nil || isContext(err) || silence || errors.Is(err, socket.ErrSpooled)):
		return fail(exitError, "%w: %s", s.broken, s.summary())
	case refusal:
		return fail(exitError, "%w: %s", refused, s.summary())
	case silence:
		return s.late(fmt.Sprintf("no message for %s", s.wait))
	case err == nil, s.ctx.Err() == nil, !isContext(err) && !errors.Is(err, socket.ErrSpooled):
		return err
	case sig != nil:
		return fail(exitInterrupt, "%w: %s", sig, s.summary())
	case errors.Is(err, spool.ErrFull):
		return fail(exitTimeout, "timeout after %s: %w: %s", s.timeout, s.spool.advise(err), s.summary())
	case s.kept > 0 || s.spool.published(): // safe, with a peer or without
		return fail(exitTimeout, "timeout after %s: %s", s.timeout, s.summary())
	}
	return s.late(fmt.Sprintf("timeout after %s", s.timeout))
}

// late says that time was up, and whether for want of a peer.
func (s *session) late(what string) error {
	seen, trouble := s.events.peerSeen()
	switch {
	case seen:
		return fail(exitTimeout, "%s: %s", what, s.summary())
	case trouble == "":
		trouble = "none was ever connected"
	}
	return fail(exitNoPeer, "%s: no peer (%s): %s", what, trouble, s.summary())
}

func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errTimeout) ||
		isSignal(err)
}

func isSignal(err error) bool {
	_, ok := errors.AsType[*interrupted](err)
	return ok
}

// signal returns the interrupt that ended the session, nil if none did.
func (s *session) signal() error {
	if cause := context.Cause(s.ctx); isSignal(cause) {
		return cause
	}
	return nil
}

// say tells people something, unless they want quiet.
func (s *session) say(format string, args ...any) {
	if !s.quiet {
		fmt.Fprintf(s.stderr, format+"\n", args...)
	}
}

func (s *session) summary() string {
	text := fmt.Sprintf("%s sent, %d received in %s",
		messages(s.sent.Load()-int64(s.unsent)), s.received.Load(), time.Since(s.start).Round(time.Millisecond))
	if s.unsent > 0 {
		text += fmt.Sprintf("; %d accepted but not handed over", s.unsent)
	}
	if s.kept > 0 {
		text += fmt.Sprintf("; %s not acknowledged and kept in %s", messages(int64(s.kept)), s.spool.dir)
	}
	if s.gone > 0 {
		text += fmt.Sprintf("; %s gone from %s before they were acknowledged", messages(int64(s.gone)), s.spool.dir)
	}
	if s.missed > 0 {
		text += fmt.Sprintf("; %s missed", messages(int64(s.missed)))
	}
	return text
}

// lostMessages counts those that were accepted, and that no peer took or will. Dead letters in a spool are none of them.
func lostMessages(stats socket.Stats) (n uint64) {
	for _, reason := range []socket.DropReason{socket.DropFull, socket.DropPeerGone, socket.DropClosed, socket.DropDisconnected,
		socket.DropDead, socket.DropRefused, socket.DropQuota, socket.DropDamaged} {
		n += stats.Dropped[reason]
	}
	return n
}

func messages(n int64) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// count1 counts a message, and when it moved.
func (s *session) count1(n *atomic.Int64) {
	n.Add(1)
	s.moved.Store(int64(time.Since(s.start)))
}
