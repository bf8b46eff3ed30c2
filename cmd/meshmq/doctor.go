package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/doctor"
	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/transport/zmtp"
)

// examination is what doctor was asked to look at.
type examination struct {
	endpoints, interfaces []string
	spool                 string
	timeout               time.Duration
	json                  bool
	tls                   tlsFlags
	security              securityFlags
	failed                int
}

func newDoctor() *cobra.Command {
	x := examination{timeout: 5 * time.Second}
	cmd := &cobra.Command{
		Use:   "doctor [EP...]",
		Short: "Say whether this machine, its LAN and these endpoints are fit",
		Long: `doctor looks at the limits of this machine and at discovery on its network interfaces, and at each endpoint given: does its name
resolve, does somebody listen, is it ZMTP, does it let us in, does it answer a PING, is its certificate good. With --spool it looks at
the place of a spool. It prints a line for each check: PASS, WARN or FAIL, what, what was found, and what to do about it. Nothing
is sent to a peer but a handshake and a PING, and no message is taken from it. If anything FAILs the exit code is 6.`,
		Example: `  meshmq doctor
  meshmq doctor tcp://10.0.0.7:5555 mdns://orders --timeout 3s
  meshmq doctor tcp://10.0.0.7:5555 --curve-server-key @server --spool outbox`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			x.endpoints = args
			return x.run(cmd)
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVar(&x.interfaces, "interface", nil, "look at discovery on network interface `NAME` (repeatable; default: all but loopback)")
	flags.StringVar(&x.spool, "spool", "", "look at the spool in `DIR`, or the place for one")
	flags.Var((*duration)(&x.timeout), "timeout", "give each endpoint, and discovery, this `LONG`")
	flags.BoolVar(&x.json, "json", false, "print a JSON object per line")
	x.tls.add(cmd)
	x.security.add(cmd)
	return cmd
}

func (x *examination) run(cmd *cobra.Command) error {
	caller, err := x.caller(cmd)
	if err != nil {
		return err
	}
	ctx, root := cmd.Context(), os.DirFS("/")
	if err := x.print(cmd, doctor.ReadMachine(root).Findings()); err != nil {
		return err
	}
	lan, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	l, err := doctor.ReadLAN(lan, root, x.interfaces, slices.ContainsFunc(x.endpoints, isName))
	if err != nil {
		return err
	}
	if err := x.print(cmd, l.Findings()); err != nil {
		return err
	}
	for _, ep := range x.endpoints {
		if err := x.print(cmd, x.look(ctx, caller, ep)); err != nil {
			return err
		}
	}
	if x.spool != "" {
		if err := x.print(cmd, doctor.ReadDisk(ctx, x.spool).Findings()); err != nil {
			return err
		}
	}
	switch cause := context.Cause(ctx); {
	case isSignal(cause):
		return fail(exitInterrupt, "%w", cause)
	case x.failed > 0:
		return fail(exitCheck, "%d checks failed", x.failed)
	}
	return nil
}

func (x *examination) print(cmd *cobra.Command, findings []doctor.Finding) error {
	if cmd.Context().Err() != nil {
		return fail(exitInterrupt, "%w", context.Cause(cmd.Context())) // what was cut short says nothing
	}
	for _, f := range findings {
		if f.State == doctor.Fail {
			x.failed++
		}
		line := f.String()
		if x.json {
			b, err := marshal(struct {
				State   string `json:"state"`
				Subject string `json:"subject"`
				Found   string `json:"found"`
				Advice  string `json:"advice,omitempty"`
			}{f.State.String(), f.Subject, f.Found, f.Advice})
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

// look calls an endpoint, or all that a name stands for.
func (x *examination) look(ctx context.Context, caller *doctor.Caller, ep string) (all []doctor.Finding) {
	service, named, _ := discovery.ParseName(ep)
	if !named {
		return caller.Endpoint(ctx, ep)
	}
	found, err := x.find(ctx, service)
	switch {
	case err != nil:
		return []doctor.Finding{{State: doctor.Fail, Subject: ep, Found: err.Error(), Advice: "see what is said of the interfaces"}}
	case len(found) == 0:
		return []doctor.Finding{{State: doctor.Fail, Subject: ep, Found: fmt.Sprintf("nobody was found within %s on %s", x.timeout, searched(x.interfaces)), Advice: "start a peer with --announce " + service + ", on the same network and interface"}}
	}
	for _, e := range found {
		all = append(all, doctor.Finding{Subject: ep, Found: "found " + e})
		all = append(all, caller.Endpoint(ctx, e)...)
	}
	return all
}

// find returns the endpoints of the instances of service.
func (x *examination) find(ctx context.Context, service string) ([]string, error) {
	registry, err := openRegistry(x.interfaces)
	if err != nil {
		return nil, err
	}
	defer registry.Close()
	ctx, cancel := context.WithTimeout(ctx, x.timeout)
	defer cancel()
	found := map[string]bool{}
	for e, err := range registry.Watch(ctx, service) {
		if err != nil {
			return nil, err
		}
		for _, ep := range e.Instance.Endpoints {
			if len(found) == 0 {
				defer time.AfterFunc(settle, cancel).Stop()
			}
			if len(found) < maxFound {
				found[ep] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

const (
	// settle is how long is waited for further instances when one was found.
	settle = time.Second
	// maxFound bounds what strangers can make doctor call.
	maxFound = 32
)

// caller checks all that was given.
func (x *examination) caller(cmd *cobra.Command) (*doctor.Caller, error) {
	if err := checkEndpoints(cmd, nil, x.endpoints); err != nil {
		return nil, err
	}
	for _, ep := range x.endpoints {
		if strings.HasPrefix(ep, "inproc://") {
			return nil, usage(cmd, "%.80s: it is in another process, out of reach", ep)
		}
	}
	if err := x.tls.check(cmd, nil, x.endpoints); err != nil {
		return nil, err
	}
	f := &x.security
	if f.plainPasswords != "" || f.curveAllow != "" || f.curveSecret != "" && f.curveServer == "" {
		return nil, usage(cmd, "doctor is the client: want --curve-server-key or --plain-user, without flags for servers")
	}
	if err := f.check(cmd); err != nil {
		return nil, err
	}
	c := &doctor.Caller{Timeout: x.timeout}
	var err error
	if c.TLS, err = x.tls.config(); err != nil {
		return nil, usage(cmd, "%w", err)
	}
	return c, x.secure(cmd, c)
}

func (x *examination) secure(cmd *cobra.Command, c *doctor.Caller) error {
	f := &x.security
	switch {
	case f.curveServer != "":
		keys, err := f.keys()
		if err != nil {
			return usage(cmd, "%w", err)
		}
		server, err := publicKey("--curve-server-key", f.curveServer)
		if err != nil {
			return usage(cmd, "%w", err)
		}
		c.Mechanism = "CURVE"
		c.New = func() (zmtp.Mechanism, error) {
			return zmtp.CurveClient(zmtp.CurveKeys{Public: keys.Public, Secret: keys.Secret}, server, rand.Reader)
		}
	case f.plainUser != "":
		password, err := f.password()
		if err != nil {
			return usage(cmd, "%w", err)
		}
		c.Mechanism = "PLAIN"
		c.New = func() (zmtp.Mechanism, error) { return zmtp.PlainClient(f.plainUser, password) }
	}
	return nil
}

// config is what the files mean for one who connects.
func (f *tlsFlags) config() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.cert != "" {
		files, err := socket.CertificateFiles(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		t.GetClientCertificate = files.GetClientCertificate
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("--tls-ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--tls-ca: %s holds no certificate in PEM", f.ca)
		}
	}
	return t, nil
}
