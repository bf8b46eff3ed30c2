package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

// answer makes the reply to a request. The error is for the asker.
type answer func(ctx context.Context, request [][]byte) (reply [][]byte, err error)

func newRep() *cobra.Command {
	var f socketFlags
	var out output
	var echo bool
	var command, text string
	cmd := &cobra.Command{
		Use:   "rep -b|-c ENDPOINT --echo | --exec COMMAND | --reply TEXT",
		Short: "Answer requests of REQ peers",
		Long: `rep prints each request and answers it: with the request itself, with a fixed text, or with what a command writes
to its standard output when it is given the request on its standard input (one newline at the end is taken off). If the
command fails, a meshmq req ends with exit code 5 and says why; other peers get the text "error: ..." for a reply.
Without --count, --wait and --timeout it goes on until interrupted.`,
		Example: `  meshmq rep -b tcp://*:5559 --exec date
  meshmq rep -b tcp://*:5559 --exec 'tr a-z A-Z'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var reply answer
			switch {
			case cmd.Flags().Changed("exec"):
				reply = shell(command, cmd)
			case cmd.Flags().Changed("reply"):
				reply = func(context.Context, [][]byte) ([][]byte, error) { return [][]byte{[]byte(text)}, nil }
			case echo:
				reply = func(_ context.Context, request [][]byte) ([][]byte, error) { return request, nil }
			default:
				return usage(cmd, "no answer: want --echo, --exec COMMAND or --reply TEXT")
			}
			open := func(opts ...socket.Option) *socket.Rep { return socket.NewRep(append(opts, withStatus())...) }
			return serve(cmd, &f, &out, open, func(s *session, rep *socket.Rep) error {
				return s.receive(s.ctx, rep, rep, func(m socket.Msg) error { return s.answer(rep, m, reply) })
			})
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&echo, "echo", false, "answer with the request")
	flags.StringVar(&command, "exec", "", "answer with the output of this shell `COMMAND`")
	flags.StringVar(&text, "reply", "", "answer with `TEXT`")
	cmd.MarkFlagsMutuallyExclusive("echo", "exec", "reply")
	f.add(cmd, "stop after `N` requests")
	f.addWait(cmd)
	out.add(cmd)
	return cmd
}

// answer prints a request and replies to it.
func (s *session) answer(rep *socket.Rep, m socket.Msg, reply answer) error {
	if err := s.out.end(s.print(m)); err != nil {
		return err
	}
	ctx, cancel := s.grace()
	defer cancel()
	frames, err := reply(ctx, m.Frames)
	err = s.reply(ctx, rep, m.Peer(), frames, err)
	if errors.Is(err, socket.ErrTooLarge) { // the asker is told, and the next one is served
		err = s.reply(ctx, rep, m.Peer(), nil, err)
	}
	if errors.Is(err, socket.ErrClosed) {
		s.say("request of %s: it came too late for an answer", m.Peer().Address())
		return nil
	}
	s.count1(&s.sent)
	return err
}

// reply sends the frames, or that there are none because of failure, in the way that the peer understands.
func (s *session) reply(ctx context.Context, rep *socket.Rep, to *socket.Peer, frames [][]byte, failure error) error {
	status := ""
	if failure != nil {
		status = oneLine(failure.Error())
		s.say("%s", status)
		frames = [][]byte{nil}
	}
	switch {
	case knowsStatus(to):
		frames = append([][]byte{[]byte(status)}, frames...)
	case failure != nil:
		frames = [][]byte{[]byte("error: " + status)}
	}
	return rep.Send(ctx, frames...)
}

// hangOn is how long a command's own children may hold its output open after it has ended.
const hangOn = time.Second

// shell answers with the output of a shell command.
func shell(command string, cmd *cobra.Command) answer {
	return func(ctx context.Context, request [][]byte) ([][]byte, error) {
		name, flag := "sh", "-c"
		if runtime.GOOS == "windows" {
			name, flag = "cmd", "/c"
		}
		run := exec.CommandContext(ctx, name, flag, command)
		run.Stdin = bytes.NewReader(bytes.Join(request, []byte("\t")))
		run.Stderr = cmd.ErrOrStderr()
		run.WaitDelay = hangOn
		var out bounded
		run.Stdout = &out
		err := run.Run()
		if out.err != nil { // which ended the command, too
			err = out.err
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", command, err)
		}
		return [][]byte{bytes.TrimSuffix(bytes.TrimSuffix(out.kept.Bytes(), []byte("\n")), []byte("\r"))}, err
	}
}

// bounded keeps what may be one message, with its last newline, and refuses more.
type bounded struct {
	kept bytes.Buffer // not embedded: its ReadFrom would go round Write
	err  error
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.kept.Len()+len(p) > maxLine+len("\r\n") {
		b.err = fmt.Errorf("the output is larger than %d bytes, which is the largest message", maxLine)
		return 0, b.err
	}
	return b.kept.Write(p)
}
