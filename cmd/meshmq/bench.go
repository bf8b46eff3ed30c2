package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/bench"
)

func newBench() *cobra.Command {
	cfg := bench.Config{Frames: []int{1}, Rounds: 3, Peers: []int{8}, Subscriptions: []int{1000}, Rate: bench.UsualRate, InFlight: 1}
	var sizes []string
	var out benchOutput
	cmd := &cobra.Command{
		Use:   "bench [PATTERN...]",
		Short: "Measure rates and latencies on this machine",
		Long: `bench measures PUSH/PULL (throughput), a DEALER and an echoing ROUTER (latency), one PUB with many SUBs (fanout), many PUSHes
with one PULL (fanin), many REQs with one REP (requests) and many DEALERs with one ROUTER (router), or those PATTERNs that are given. There
are more to be given: one PUSH with many PULLs (workers), a PUB with one SUB of many topics (topics), a PUB that drops what its SUBs cannot take
(dropping), the same when one of them has stopped reading (stalled), both of which have the rate of one that reads; and a ROUTER with many
idle DEALERs, their memory and the way to any of them and back (idle). The far side is a process of its own, but over inproc.
Figures are medians of the rounds.

Of what several values are given for, each is measured with each. If that is one thing, the table says between which neighbours the time for a
message grows most, in powers of what grows: 0 where it stays, 1 where both double, more where there is a knee.

Latencies are of an open loop: requests are due at a fixed rate, and each is timed from when it was due.

Standard output gets a table, or every measurement with --json, --csv or --benchstat.`,
		Example: `  meshmq bench throughput --size 16,1KiB,64KiB --plot throughput.svg
  meshmq bench topics --size 16 --subscriptions 1,1000,1000000
  meshmq bench latency --rate 5000 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cfg.Patterns = args; len(args) == 0 {
				cfg.Patterns = bench.Usual
			}
			for _, s := range sizes {
				n, err := bench.ParseSize(s)
				if err != nil {
					return usage(cmd, "--size: %w", err)
				}
				cfg.Sizes = append(cfg.Sizes, n)
			}
			if err := cfg.Check(); err != nil {
				return usage(cmd, "%w", err)
			}
			if out.plot != "" {
				if err := cfg.CheckPlot(out.plot); err != nil {
					return usage(cmd, "--plot: %w", err)
				}
			}
			return runBench(cmd, &cfg, &out)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&sizes, "size", []string{"16", "100", "1KiB", "16KiB", "256KiB"}, "measure messages of these `SIZES`, such as 100 or 16KiB")
	flags.Var(&counts{list: &cfg.Frames}, "frames", "`N` frames of each message, each of that size")
	flags.StringVar(&cfg.Transport, "transport", "tcp", "`NAME` of the transport: "+strings.Join(bench.Transports, ", "))
	flags.DurationVar(&cfg.Duration, "duration", time.Second, "measure each for this `LONG`")
	flags.Var((*number)(&cfg.Rounds), "rounds", "measure everything `N` times, in turns")
	flags.Var(&counts{list: &cfg.Peers}, "peers", "`N` peers of the patterns that have many")
	flags.Var(&counts{list: &cfg.Subscriptions}, "subscriptions", "`N` subscriptions for topics, of 32 bytes each")
	flags.Var((*number)(&cfg.Rate), "rate", "`N` requests a second for latency")
	flags.Var((*number)(&cfg.InFlight), "in-flight", "`N` messages that each DEALER of router has on its way")
	flags.BoolVar(&cfg.Curve, "curve", false, "seal everything with CURVE")
	flags.BoolVar(&cfg.OneProcess, "one-process", false, "have both sides in one process (which leaves the memory of idle out)")
	flags.BoolVar(&out.markdown, "markdown", false, "print the table as Markdown")
	flags.BoolVar(&out.json, "json", false, "print each measurement as a JSON object")
	flags.BoolVar(&out.csv, "csv", false, "print each measurement as a row of CSV")
	flags.BoolVar(&out.benchstat, "benchstat", false, "print lines that benchstat reads")
	flags.StringVar(&out.plot, "plot", "", "draw the medians into `FILE`, which ends in .svg or .png")
	cmd.MarkFlagsMutuallyExclusive("markdown", "json", "csv", "benchstat")
	return cmd
}

// benchOutput is where results go.
type benchOutput struct {
	markdown, json, csv, benchstat bool
	plot                           string
}

func (o *benchOutput) write(w io.Writer, title string, results []bench.Result) error {
	write := bench.WriteTable
	switch {
	case o.markdown:
		write = bench.WriteMarkdown
	case o.json:
		write = bench.WriteJSON
	case o.csv:
		write = bench.WriteCSV
	case o.benchstat:
		write = bench.WriteBenchstat
	}
	if err := write(w, results); err != nil {
		return written(err)
	}
	if o.plot != "" {
		return bench.Plot(o.plot, title, results)
	}
	return nil
}

func runBench(cmd *cobra.Command, cfg *bench.Config, out *benchOutput) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cfg.Self, cfg.Stderr = self, cmd.ErrOrStderr()
	if out.plot != "" {
		if err := bench.CheckWritable(out.plot); err != nil {
			return err
		}
	}
	stop := showProgress(cfg)
	var results []bench.Result
	err = bench.Run(cmd.Context(), cfg, func(r bench.Result) error {
		results = append(results, r)
		return nil
	})
	stop(err)
	if cause := context.Cause(cmd.Context()); err != nil && isSignal(cause) {
		err = fail(exitInterrupt, "%w: %d measured", cause, len(results))
	}
	if err != nil && len(results) == 0 {
		return err
	}
	title := fmt.Sprintf("meshmq %s, %s, %d cores", cfg.Way(), runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU())
	if left := bench.LeftOut(results); out.plot != "" && left != nil {
		fmt.Fprintf(cfg.Stderr, "%s is not in the plot, which is of rates\n", strings.Join(left, ", "))
	}
	return errors.Join(err, out.write(cmd.OutOrStdout(), title, results))
}

// showProgress draws a bar on standard error if that is a terminal, else writes a line for each measurement.
func showProgress(cfg *bench.Config) (stop func(error)) {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 || cfg.Stderr != os.Stderr {
		cfg.Progress = func(s bench.Step) {
			fmt.Fprintf(cfg.Stderr, "%d/%d: %s\n", s.Done+1, s.Of, s)
		}
		return func(error) {}
	}
	return showBar(os.Stderr, cfg)
}

// showBar draws a bar until stop is told how it ended.
func showBar(out io.Writer, cfg *bench.Config) (stop func(error)) {
	w := progress.NewWriter()
	w.SetOutputWriter(out)
	w.SetUpdateFrequency(100 * time.Millisecond)
	w.SetAutoStop(false)
	var bar *progress.Tracker
	cfg.Progress = func(s bench.Step) {
		if bar == nil {
			bar = &progress.Tracker{Total: int64(s.Of)}
			w.AppendTracker(bar)
		}
		bar.UpdateMessage(s.String())
		bar.SetValue(int64(s.Done))
	}
	done := make(chan struct{})
	go func() { // ends at stop
		defer close(done)
		w.Render()
	}()
	return func(err error) {
		switch {
		case bar == nil: // nothing has begun
		case err != nil:
			bar.MarkAsErrored()
		default:
			bar.SetValue(bar.Total)
		}
		for {
			w.Stop() // which is lost if drawing has not begun
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}
}

// newBenchPeer is the far side of a measurement. An interrupt from the terminal reaches it as well as its parent, whose
// business it is.
func newBenchPeer() *cobra.Command {
	return &cobra.Command{
		Use:    "bench-peer PEER",
		Short:  "Be the far side of a measurement",
		Hidden: true,
		Args:   wantArgs("PEER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var p bench.Peer
			if err := json.Unmarshal([]byte(args[0]), &p); err != nil {
				return usage(cmd, "PEER %.40q: %w", args[0], err)
			}
			return p.Run(context.WithoutCancel(cmd.Context()), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
