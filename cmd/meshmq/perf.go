package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport"
)

const perfHelp = `perf measures with the verbs, arguments and result lines of libzmq's perf tools. Start the side that binds
(local_thr, local_lat, pub) and the other one or ones; each ends by itself.`

func newPerf() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "perf",
		Short: "Measure throughput and latency as libzmq's perf tools do",
		Long:  perfHelp,
		Example: `  meshmq perf local_thr tcp://127.0.0.1:5555 100 1000000 &
  meshmq perf remote_thr tcp://127.0.0.1:5555 100 1000000`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, "want local_thr, remote_thr, local_lat, remote_lat, pub or sub")
			}
			return usage(cmd, "unknown measurement %.40q: want local_thr, remote_thr, local_lat, remote_lat, pub or sub", args[0])
		},
	}
	cmd.AddCommand(
		newMeasure("local_thr", "Receive by PULL and print the throughput", true, localThroughput),
		newMeasure("remote_thr", "Send by PUSH", false, remoteThroughput),
		newMeasure("local_lat", "Echo by REP", true, localLatency),
		newMeasure("remote_lat", "Ask by REQ and print the average one-way latency", false, remoteLatency),
		newMeasure("pub", "Wait for SUBSCRIBERS, then publish, dropping nothing", true, publish, "SUBSCRIBERS"),
		newMeasure("sub", "Subscribe and print the throughput", false, subscribe),
	)
	return cmd
}

// measure is the work of one side of a measurement.
type measure struct {
	ctx         context.Context
	out         io.Writer
	endpoint    string
	size, count int
	subscribers int
	busyPoll    time.Duration
	security    securityFlags
}

// options are what the flags say about security, and more.
func (m *measure) options(more ...socket.Option) []socket.Option {
	return append(m.security.opts[:len(m.security.opts):len(m.security.opts)], more...)
}

func newMeasure(name, short string, binds bool, work func(*measure) error, more ...string) *cobra.Command {
	arguments := append([]string{"ENDPOINT", "SIZE", "COUNT"}, more...)
	use := name
	for _, a := range arguments {
		use += " " + a
	}
	m := new(measure)
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  wantArgs(arguments...),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.ctx, m.out, m.endpoint = cmd.Context(), cmd.OutOrStdout(), args[0]
			if err := m.parse(cmd, binds, args); err != nil {
				return err
			}
			err := work(m)
			if cause := context.Cause(m.ctx); err != nil && isSignal(cause) {
				return fail(exitInterrupt, "%w", cause)
			}
			return err
		},
	}
	cmd.Flags().DurationVar(&m.busyPoll, "busy-poll", 0, "look for messages for this `LONG` before sleeping")
	m.security.add(cmd)
	return cmd
}

func (m *measure) parse(cmd *cobra.Command, binds bool, args []string) (err error) {
	if binds {
		_, err = transport.ParseBind(m.endpoint)
	} else {
		_, err = transport.ParseConnect(m.endpoint)
	}
	if err != nil {
		return usage(cmd, "%w", err)
	}
	numbers := []struct {
		name  string
		least int
		to    *int
	}{{"SIZE", 0, &m.size}, {"COUNT", 1, &m.count}, {"SUBSCRIBERS", 1, &m.subscribers}}
	for i, text := range args[1:] {
		n := numbers[i]
		if *n.to, err = parseNumber(text, n.least); err != nil {
			return usage(cmd, "%s %.40q: %w", n.name, text, err)
		}
	}
	return m.security.check(cmd)
}

// forever is the context of calls that are to cost nothing but themselves: guard ends them.
var forever = context.Background()

// guard closes the socket at an interrupt, which ends the call it blocks in. done closes it in any case.
func (m *measure) guard(sock io.Closer) (done func()) {
	stop := context.AfterFunc(m.ctx, func() { sock.Close() })
	return func() {
		stop()
		sock.Close()
	}
}

func localThroughput(m *measure) error {
	pull := socket.NewPull(m.options(socket.WithBusyPoll(m.busyPoll))...)
	defer m.guard(pull)()
	if _, err := pull.Bind(m.endpoint); err != nil {
		return err
	}
	return m.receive(pull)
}

// receive takes COUNT messages and prints how fast they came, from the first to the last.
func (m *measure) receive(in receiver) error {
	var start time.Time
	for i := range m.count {
		msg, err := in.Recv(forever)
		if err != nil {
			return err
		}
		if msg.Size() != m.size || len(msg.Frames) != 1 {
			return fail(exitCheck, "message %d has %d frames of %d bytes together, want one of %d", i+1, len(msg.Frames), msg.Size(), m.size)
		}
		msg.Release()
		if i == 0 {
			start = time.Now()
		}
	}
	rate := float64(m.count) / time.Since(start).Seconds()
	_, err := fmt.Fprintf(m.out, "message size: %d [B]\nmessage count: %d\nmean throughput: %.0f [msg/s]\nmean throughput: %.3f [Mb/s]\n",
		m.size, m.count, rate, rate*float64(m.size)*8/1e6)
	return written(err)
}

func remoteThroughput(m *measure) error {
	push := socket.NewPush(m.options()...)
	defer m.guard(push)()
	if err := push.Connect(m.endpoint); err != nil {
		return err
	}
	if err := m.send(push); err != nil {
		return err
	}
	return push.Shutdown(m.ctx)
}

func (m *measure) send(out sender) error {
	frames := [][]byte{make([]byte, m.size)} // through an interface, one slice for each call would be allocated
	for range m.count {
		if err := out.Send(forever, frames...); err != nil {
			return err
		}
	}
	return nil
}

func localLatency(m *measure) error {
	rep := socket.NewRep(m.options(socket.WithBusyPoll(m.busyPoll))...)
	defer m.guard(rep)()
	if _, err := rep.Bind(m.endpoint); err != nil {
		return err
	}
	for range m.count {
		msg, err := rep.Recv(forever)
		if err != nil {
			return err
		}
		if err := rep.Send(forever, msg.Frames...); err != nil {
			return err
		}
		msg.Release()
	}
	return rep.Shutdown(m.ctx)
}

func remoteLatency(m *measure) error {
	req := socket.NewReq(m.options(socket.WithBusyPoll(m.busyPoll))...)
	defer m.guard(req)()
	if err := req.Connect(m.endpoint); err != nil {
		return err
	}
	body := make([]byte, m.size)
	start := time.Now()
	for i := range m.count {
		if err := req.Send(forever, body); err != nil {
			return err
		}
		msg, err := req.Recv(forever)
		if err != nil {
			return err
		}
		if msg.Size() != m.size {
			return fail(exitCheck, "reply %d has %d bytes, want %d", i+1, msg.Size(), m.size)
		}
		msg.Release()
	}
	average := time.Since(start).Seconds() / float64(2*m.count) * 1e6
	_, err := fmt.Fprintf(m.out, "message size: %d [B]\nroundtrip count: %d\naverage latency: %.3f [us]\n", m.size, m.count, average)
	return written(err)
}

// publish takes each subscription for a subscriber: those of sub make one each.
func publish(m *measure) error {
	pub := socket.NewXPub(m.options(socket.WithNoDrop(), socket.WithVerbose())...)
	defer m.guard(pub)()
	if _, err := pub.Bind(m.endpoint); err != nil {
		return err
	}
	for left := m.subscribers; left > 0; {
		msg, err := pub.Recv(forever)
		if err != nil {
			return err
		}
		if b := msg.Bytes(); len(b) > 0 && b[0] == 1 {
			left--
		}
	}
	if err := m.send(pub); err != nil {
		return err
	}
	return pub.Shutdown(m.ctx)
}

func subscribe(m *measure) error {
	sub := socket.NewSub(m.options(socket.WithBusyPoll(m.busyPoll))...)
	defer m.guard(sub)()
	if err := sub.Subscribe(""); err != nil {
		return err
	}
	if err := sub.Connect(m.endpoint); err != nil {
		return err
	}
	return m.receive(sub)
}
