package main

import (
	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newDealer() *cobra.Command {
	return newTalk("dealer", "Exchange messages with ROUTER, REP and DEALER peers in turn", socket.NewDealer,
		(*socketFlags).addIdentity, (*socketFlags).addImmediate)
}
