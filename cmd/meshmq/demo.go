package main

import (
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/demo"
)

func newDemo() *cobra.Command {
	var registry string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a small mesh at work on this machine",
		Long: `demo starts an order business of several processes on this machine: an order desk, two workers, a price
service and an auditor. They find each other by mDNS on the loopback interface, or through a directory where multicast is not
possible, and do real work: orders (PUSH/PULL), quotes (request and reply) and events (PUB/SUB). Half-way one worker leaves
and is replaced while orders flow. The table at the end is made of what each process counted; if it does
not add up the exit code is 6. It takes less than 20 seconds.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			err = demo.Run(cmd.Context(), demo.Config{Self: self, Registry: registry, Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()})
			if errors.Is(err, demo.ErrCheck) {
				return &failure{exitCheck, err}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&registry, "registry", "", "mdns:INTERFACE or dir:PATH instead of what works here")
	return cmd
}

// newDemoPeer is how the demo starts itself.
func newDemoPeer() *cobra.Command {
	var cfg demo.PeerConfig
	cmd := &cobra.Command{
		Use:    "demo-peer ROLE",
		Short:  "One process of the demo",
		Hidden: true,
		Args:   wantArgs("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Role, cfg.In, cfg.Out = args[0], cmd.InOrStdin(), cmd.OutOrStdout()
			return demo.Peer(cmd.Context(), cfg)
		},
	}
	cmd.Flags().StringVar(&cfg.Name, "name", "", "the peer's name")
	cmd.Flags().StringVar(&cfg.Run, "run", "", "names the services of one demo")
	cmd.Flags().StringVar(&cfg.Registry, "registry", "", "mdns:INTERFACE or dir:PATH")
	return cmd
}
