package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/demo"
)

func newDemo() *cobra.Command {
	var registry string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a small mesh at work on this machine",
		Long: `demo runs a small order business as several processes: an order desk, two workers, a price service and an auditor.
They find each other by mDNS on the loopback interface, or through a directory where multicast is not possible, and work
over PUSH/PULL, REQ/REP and PUB/SUB. Half-way a worker leaves and another takes its place while orders flow.

Then a packing desk sends parcels through a shipper to a carrier. The shipper keeps them in a spool on disk. It is killed with
SIGKILL in the middle, and another process goes on with its spool: each parcel arrives, some of them twice.

The tables at the end are made of what each process counted for itself; the exit code is 6 if they do not add up.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if registry != "" {
				if err := demo.CheckRegistry(registry); err != nil {
					return usage(cmd, "%w", err)
				}
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			err = demo.Run(cmd.Context(), demo.Config{
				Self: self, Registry: registry, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
			})
			return demoVerdict(cmd.Context(), err)
		},
	}
	cmd.Flags().StringVar(&registry, "registry", "", "find peers by `KIND`: mdns:INTERFACE or dir:PATH (default: what works)")
	return cmd
}

func demoVerdict(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case err == nil:
		return nil
	case isSignal(cause):
		return fail(exitInterrupt, "%w", cause)
	case errors.Is(err, demo.ErrCheck):
		return fail(exitCheck, "%w", err)
	case errors.Is(err, demo.ErrLate):
		return fail(exitTimeout, "%w", err)
	}
	return err
}

// newDemoPeer is one process of the demo. An interrupt from the terminal reaches it as well as its parent, whose
// business it is.
func newDemoPeer() *cobra.Command {
	var cfg demo.PeerConfig
	cmd := &cobra.Command{
		Use:    "demo-peer ROLE",
		Short:  "Be one process of the demo",
		Hidden: true,
		Args:   wantArgs("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Role, cfg.In, cfg.Out = args[0], cmd.InOrStdin(), cmd.OutOrStdout()
			return demo.Peer(context.WithoutCancel(cmd.Context()), cfg)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&cfg.Name, "name", "", "`NAME` in the table")
	flags.StringVar(&cfg.Run, "run", "", "`ID` of the run")
	flags.StringVar(&cfg.Registry, "registry", "", "mdns:INTERFACE or dir:PATH")
	flags.StringVar(&cfg.Spool, "spool", "", "`DIR` of the shipper")
	flags.Uint64Var(&cfg.Stop, "stop", 0, "stop with parcel `N` in hand, to be killed")
	return cmd
}
