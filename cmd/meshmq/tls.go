package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/socket"
)

// tlsFlags are the files of TLS, all in PEM.
type tlsFlags struct{ cert, key, ca string }

func (f *tlsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.cert, "tls-cert", "", "show the certificate in `FILE` (PEM) to peers of tls+tcp:// and wss://")
	flags.StringVar(&f.key, "tls-key", "", "its key is in `FILE` (PEM, mode 0600)")
	flags.StringVar(&f.ca, "tls-ca", "", "trust peers with a certificate of an authority in `FILE` (PEM) only, those that connect to us among them")
}

func (f *tlsFlags) check(cmd *cobra.Command, binds, connects []string) error {
	given := *f != tlsFlags{}
	secureBinds := slices.ContainsFunc(binds, underTLS)
	switch {
	case f.cert != "" && f.key == "":
		return usage(cmd, "--tls-cert without --tls-key: want the file of its key")
	case f.key != "" && f.cert == "":
		return usage(cmd, "--tls-key without --tls-cert: want the file of its certificate")
	case secureBinds && f.cert == "":
		return usage(cmd, "a bound tls+tcp:// or wss:// endpoint needs a certificate: want --tls-cert FILE --tls-key FILE")
	case given && !secureBinds && !slices.ContainsFunc(connects, underTLS):
		return usage(cmd, "--tls-cert, --tls-key or --tls-ca without a tls+tcp:// or wss:// endpoint: nothing would be encrypted")
	}
	return nil
}

// underTLS reports whether an endpoint is one, or with mDNS may be.
func underTLS(endpoint string) bool {
	return strings.HasPrefix(endpoint, "tls+tcp://") || strings.HasPrefix(endpoint, "wss://") || strings.HasPrefix(endpoint, discovery.Scheme)
}

func (f *tlsFlags) options() []socket.Option {
	if (*f == tlsFlags{}) {
		return nil
	}
	return []socket.Option{socket.WithTLSFiles(f.cert, f.key, f.ca)}
}
