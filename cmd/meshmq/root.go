package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const rootHelp = `meshmq makes peers of a mesh from a shell. It speaks ZMTP 3.1: libzmq, pyzmq and go-zeromq peers are as
good as its own.

Standard output carries data only; events, summaries and errors go to standard error. Flags may stand before
or after arguments. Endpoints are tcp://HOST:PORT, tls+tcp://HOST:PORT and ws:// or wss://HOST:PORT/PATH, ipc://PATH and, for
-c, mdns://NAME, which connects to every instance of a service that announces NAME (see --announce).

` + exitHelp

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:                "meshmq VERB",
		Short:              "Peers of a mesh from a shell",
		Long:               rootHelp,
		Args:               cobra.ArbitraryArgs,
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true, // they take several lines; unknownVerb makes them in one
		RunE:               unknownVerb,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateFlagGroups(); err != nil {
				return usage(cmd, "%w", err)
			}
			return nil
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, "%w", err) })
	root.AddGroup(
		&cobra.Group{ID: groupSocket, Title: "Sockets:"},
		&cobra.Group{ID: groupMesh, Title: "Mesh:"},
	)
	for _, cmd := range []*cobra.Command{
		newPush(), newPull(), newPub(), newSub(), newReq(), newRep(), newPair(), newDealer(), newRouter(),
	} {
		cmd.GroupID = groupSocket
		root.AddCommand(cmd)
	}
	for _, cmd := range []*cobra.Command{newProxy(), newDiscover(), newSpool(), newKeygen(), newTop(), newDash(), newDoctor(), newPerf(), newBench(), newDemo()} {
		cmd.GroupID = groupMesh
		root.AddCommand(cmd)
	}
	root.AddCommand(newDemoPeer(), newBenchPeer(), newVersion(), newCompletion())
	root.SetHelpCommand(newHelp(root))
	return root
}

const (
	groupSocket = "socket"
	groupMesh   = "mesh"
)

// unknownVerb runs when no verb was recognised.
func unknownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usage(cmd, "want a verb: %s", strings.Join(verbs(cmd), ", "))
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usage(cmd, "unknown verb %.40q, did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usage(cmd, "unknown verb %.40q: want one of %s", args[0], strings.Join(verbs(cmd), ", "))
}

func verbs(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// newHelp replaces cobra's, which takes an unknown verb for a success.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [VERB]",
		Short: "Say what a verb does",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(args) > 0 && (about == root || len(rest) > 0) {
				return unknownVerb(root, args)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
