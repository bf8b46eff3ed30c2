package main

import "github.com/spf13/cobra"

func newDemo() *cobra.Command { return &cobra.Command{Use: "demo", RunE: noArgs} }
func newDemoPeer() *cobra.Command {
	return &cobra.Command{Use: "demo-peer", Hidden: true, RunE: noArgs}
}
