package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/bench"
)

func newBench() *cobra.Command {
	cfg := bench.Config{}
	var sizes []string
	var out benchOutput
	cmd := &cobra.Command{
		Use:   "bench [PATTERN...]",
		Short: "Measure rates and latencies on this machine",
		Long: `bench measures PUSH/PULL (throughput), a DEALER and an echoing ROUTER (latency), one PUB with many SUBs (fanout), many PUSHes
with one PULL (fanin), many REQs with one REP (requests) and many DEALERs with one ROUTER (router), or those PATTERNs that are given. The
far side is a process of its own, but over inproc. Figures are medians of the rounds.

Latencies are of an open loop: requests are due at a fixed rate, and each is timed from when it was due.

Standard output gets a table, or every measurement with --json, --csv or --benchstat.`,
		Example: `  meshmq bench throughput --size 16,1KiB,64KiB --plot throughput.svg
  meshmq bench latency --rate 5000 --json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cfg.Patterns = args; len(args) == 0 {
				cfg.Patterns = bench.Patterns
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
			if err := out.check(); err != nil {
				return usage(cmd, "--plot: %w", err)
			}
			return runBench(cmd, &cfg, &out)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringSliceVar(&sizes, "size", []string{"16", "100", "1KiB", "16KiB", "256KiB"}, "measure messages of these `SIZES`, such as 100 or 16KiB")
	flags.StringVar(&cfg.Transport, "transport", "tcp", "`NAME` of the transport: "+strings.Join(bench.Transports, ", "))
	flags.DurationVar(&cfg.Duration, "duration", time.Second, "measure each for this `LONG`")
	flags.IntVar(&cfg.Rounds, "rounds", 3, "measure everything `N` times, in turns")
	flags.IntVar(&cfg.Peers, "peers", 8, "`N` peers of the patterns that have many")
	flags.IntVar(&cfg.Rate, "rate", 1000, "`N` requests a second for latency")
	flags.BoolVar(&cfg.Curve, "curve", false, "seal everything with CURVE")
	flags.BoolVar(&cfg.OneProcess, "one-process", false, "have both sides in one process")
	flags.BoolVar(&out.json, "json", false, "print each measurement as a JSON object")
	flags.BoolVar(&out.csv, "csv", false, "print each measurement as a row of CSV")
	flags.BoolVar(&out.benchstat, "benchstat", false, "print lines that benchstat reads")
	flags.StringVar(&out.plot, "plot", "", "draw the medians into `FILE`, which ends in .svg or .png")
	cmd.MarkFlagsMutuallyExclusive("json", "csv", "benchstat")
	return cmd
}

// benchOutput is where results go.
type benchOutput struct {
	json, csv, benchstat bool
	plot                 string
}

func (o *benchOutput) check() error {
	if o.plot == "" {
		return nil
	}
	return bench.CheckPlot(o.plot)
}

func (o *benchOutput) write(w io.Writer, title string, results []bench.Result) error {
	write := bench.WriteTable
	switch {
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
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(perfGC)
	}
	stop := showProgress(cfg)
	var results []bench.Result
	err = bench.Run(cmd.Context(), cfg, func(r bench.Result) error {
		results = append(results, r)
		return nil
	})
	stop()
	if cause := context.Cause(cmd.Context()); err != nil && isSignal(cause) {
		return fail(exitInterrupt, "%w", cause)
	}
	if err != nil {
		return err
	}
	transport := cfg.Transport
	if cfg.Curve {
		transport += " with CURVE"
	}
	title := fmt.Sprintf("meshmq %s, %s, %d cores", transport, runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU())
	return out.write(cmd.OutOrStdout(), title, results)
}

// showProgress draws a bar on standard error if that is a terminal, else writes a line for each measurement.
func showProgress(cfg *bench.Config) (stop func()) {
	if info, err := os.Stderr.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 || cfg.Stderr != os.Stderr {
		cfg.Progress = func(s bench.Step) {
			fmt.Fprintf(cfg.Stderr, "%d/%d: %s, %s\n", s.Done+1, s.Of, s.Pattern, bench.FormatSize(s.Size))
		}
		return func() {}
	}
	w := progress.NewWriter()
	w.SetOutputWriter(os.Stderr)
	w.SetUpdateFrequency(100 * time.Millisecond)
	w.SetAutoStop(false)
	var bar *progress.Tracker
	cfg.Progress = func(s bench.Step) {
		if bar == nil {
			bar = &progress.Tracker{Total: int64(s.Of)}
			w.AppendTracker(bar)
		}
		bar.UpdateMessage(fmt.Sprintf("%s, %s", s.Pattern, bench.FormatSize(s.Size)))
		bar.SetValue(int64(s.Done))
	}
	done := make(chan struct{})
	go func() { // ends at stop
		defer close(done)
		w.Render()
	}()
	return func() {
		if bar != nil {
			bar.MarkAsDone()
		}
		w.Stop()
		<-done
	}
}

// newBenchPeer is the far side of a measurement. An interrupt from the terminal reaches it as well as its parent, whose
// business it is.
func newBenchPeer() *cobra.Command {
	var curve bool
	cmd := &cobra.Command{
		Use:    "bench-peer KIND ENDPOINT SIZE SOCKETS",
		Short:  "Be the far side of a measurement",
		Hidden: true,
		Args:   wantArgs("KIND", "ENDPOINT", "SIZE", "SOCKETS"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			p := bench.Peer{Kind: args[0], Endpoint: args[1], Curve: curve}
			if p.Size, err = parseNumber(args[2], 0); err != nil {
				return usage(cmd, "SIZE %.40q: %w", args[2], err)
			}
			if p.Sockets, err = parseNumber(args[3], 1); err != nil {
				return usage(cmd, "SOCKETS %.40q: %w", args[3], err)
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(perfGC)
			}
			return p.Run(context.WithoutCancel(cmd.Context()), cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVar(&curve, "curve", false, "as the near side")
	return cmd
}
