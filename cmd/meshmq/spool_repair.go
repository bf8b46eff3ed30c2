package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

func newSpoolVerify() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR",
		Short: "Read all of a spool and print what is damaged",
		Long: `verify reads every byte of the spool and of its dead letters, and prints a line for each damage: the file, where, what is wrong, and
which messages are lost with it. It changes nothing. If there is any the exit code is 6. What looks as if it
was being written at a crash is no damage; opening the spool cuts it off.`,
		Example:           `  meshmq spool verify outbox`,
		Args:              spoolDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := spool.VerifyContext(cmd.Context(), args[0])
			if err != nil {
				return spoolFailure(cmd.Context(), args[0], err)
			}
			if err := printDamage(cmd, r, asJSON); err != nil {
				return err
			}
			sum := fmt.Sprintf("%s, %d dead, in %d segments", messages(int64(r.Messages)), r.Letters, r.Segments)
			if r.Torn > 0 {
				sum += fmt.Sprintf("; %d bytes of a write that was cut short", r.Torn)
			}
			if len(r.Damage) > 0 {
				return fail(exitCheck, "%d damaged: %s: meshmq spool repair %s puts the damaged files aside", len(r.Damage), sum, args[0])
			}
			fmt.Fprintln(cmd.ErrOrStderr(), "sound:", sum)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object per line")
	return cmd
}

// damage is a spool.Damage in JSON.
type damage struct {
	Segment string `json:"segment"`
	Offset  int64  `json:"offset"`
	Bytes   int64  `json:"bytes"`
	From    uint64 `json:"from,omitempty"`
	To      uint64 `json:"to,omitempty"`
	Acks    bool   `json:"acks,omitempty"`
	What    string `json:"what"`
}

func printDamage(cmd *cobra.Command, r spool.Report, asJSON bool) error {
	for _, d := range r.Damage {
		line := d.String()
		if asJSON {
			b, err := marshal(damage(d))
			if err != nil {
				return err
			}
			line = string(b)
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), line); err != nil {
			return written(err)
		}
	}
	return nil
}

func newSpoolRepair() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "repair DIR",
		Short: "Make a damaged spool sound, deleting nothing",
		Long: `repair makes a spool sound that verify finds damaged. It deletes nothing: a damaged file is kept under its name and ".bad",
which it prints, and what can be read of it stays in the spool. So is a file or a link that lies where the dead letters should be. Who reads the spool is told which messages are lost. A spool that is
sound is left as it is. To repair a file takes twice its size on the disk, of which half is given back; one for which there is no room is left as it was.`,
		Example:           `  meshmq spool repair outbox && meshmq spool verify outbox`,
		Args:              spoolDir,
		ValidArgsFunction: completeSpool,
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := spool.RepairContext(cmd.Context(), args[0])
			for _, name := range r.Aside {
				if _, err := fmt.Fprintln(cmd.OutOrStdout(), name); err != nil {
					return written(err)
				}
			}
			if err != nil {
				return spoolFailure(cmd.Context(), args[0], err)
			}
			for _, d := range r.Damage {
				fmt.Fprintln(cmd.ErrOrStderr(), d)
			}
			what := "nothing was damaged"
			if len(r.Damage) > 0 {
				what = fmt.Sprintf("%d damaged, %d files put aside in %s", len(r.Damage), len(r.Aside), args[0])
			}
			fmt.Fprintln(cmd.ErrOrStderr(), what)
			return nil
		},
	}
	return cmd
}
