package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			info, ok := debug.ReadBuildInfo()
			if !ok {
				return fail(exitError, "this binary was built without module information")
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), versionText(info))
			return written(err)
		},
	}
}

func versionText(info *debug.BuildInfo) string {
	version, commit := info.Main.Version, "unknown"
	if version == "" {
		version = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			commit += " with changes"
		}
	}
	return fmt.Sprintf("meshmq %s\ncommit %s\n%s\nZMTP 3.1\n", version, commit, info.GoVersion)
}
