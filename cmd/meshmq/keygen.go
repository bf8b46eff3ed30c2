package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket"
)

func newKeygen() *cobra.Command {
	var out, name string
	cmd := &cobra.Command{
		Use:   "keygen [--out FILE]",
		Short: "Make a key pair of CURVE",
		Long: `keygen makes a key pair of CURVE at random and prints it in Z85, the public key first. With --out it writes ZeroMQ's
certificate files instead: FILE with the public key, for others, and FILE_secret with both, for the owner alone (mode 0600). The
flags --curve-... take either as @FILE. Files that are there already stay as they are.`,
		Example: `  meshmq keygen --out server && meshmq keygen --out client
  meshmq pull -b tcp://*:5555 --curve-secret-key @server_secret
  meshmq push -c tcp://10.0.0.7:5555 --curve-secret-key @client_secret --curve-server-key @server hello`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name != "" && out == "" {
				return usage(cmd, "--name without --out: it goes into the certificate files")
			}
			keys := socket.NewKeyPair()
			if out == "" {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "public-key %s\nsecret-key %s\n", keys.Public, keys.Secret.Z85())
				return written(err)
			}
			c := socket.CurveCertificate{Public: keys.Public, Secret: keys.Secret}
			if name != "" {
				c.Metadata = map[string]string{"name": name}
			}
			if err := c.Save(out); err != nil {
				return err
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n", out, out+socket.SecretSuffix)
			return written(err)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write the keys to `FILE` and FILE_secret")
	cmd.Flags().StringVar(&name, "name", "", "note the owner's `NAME` in them")
	return cmd
}
