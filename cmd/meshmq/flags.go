package main

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshmq/meshmq/socket/spool"
)

// socketFlags are the flags that every socket verb has.
type socketFlags struct {
	binds      []string
	connects   []string
	announce   string
	monitor    string
	interfaces []string
	count      int
	timeout    time.Duration
	hwm        int
	linger     time.Duration
	verbose    bool
	quiet      bool
	tls        tlsFlags
	security   securityFlags

	// Only where the pattern has a use for them.
	identity  string
	immediate bool
	wait      time.Duration
	spool     *spoolFlags // nil where there is none
	ack       *ackFlags   // likewise
	warnPlain bool        // tell of peers that do not acknowledge
}

// add registers the flags on cmd. counted says what --count counts.
func (f *socketFlags) add(cmd *cobra.Command, counted string) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&f.binds, "bind", "b", nil, "listen on `ENDPOINT`, port 0 for a free one (repeatable)")
	flags.StringArrayVarP(&f.connects, "connect", "c", nil, "connect to `ENDPOINT`, or to all of mdns://NAME (repeatable)")
	flags.StringVar(&f.announce, "announce", "", "announce what was bound by mDNS, as an instance of `NAME`")
	flags.StringVar(&f.monitor, "monitor", "", "let meshmq top and dash look at this socket, at `ENDPOINT`; with --announce they find it. Whoever can connect may look: to loopback or ipc, unless this side is a server of CURVE or PLAIN, which it is there too")
	f.addInterfaces(cmd)
	flags.VarP((*number)(&f.count), "count", "n", counted)
	f.addRun(cmd)
}

func (f *socketFlags) addInterfaces(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.interfaces, "interface", nil,
		"use network interface `NAME` for mDNS (repeatable; default: all but loopback)")
}

// addRun registers how long to run and how much to say.
func (f *socketFlags) addRun(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Var((*duration)(&f.timeout), "timeout", "give up `AFTER` this long in all, such as 500ms or 1m (default: never)")
	flags.IntVar(&f.hwm, "hwm", defaultHWM, "let `N` messages wait per peer and direction; 0: no limit")
	flags.DurationVar(&f.linger, "linger", 2*time.Second, "after an interrupt, hand over what is queued for this `LONG`")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "report every connection and a summary on standard error")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "report errors only")
	cmd.MarkFlagsMutuallyExclusive("verbose", "quiet")
	f.tls.add(cmd)
	f.security.add(cmd)
}

// defaultHWM is that of package socket.
const defaultHWM = 1000

func (f *socketFlags) addWait(cmd *cobra.Command) {
	cmd.Flags().Var((*duration)(&f.wait), "wait", "stop after this `LONG` without a message")
}

func (f *socketFlags) addIdentity(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.identity, "identity", "", "announce `NAME`, by which a ROUTER knows this peer")
}

func (f *socketFlags) addImmediate(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.immediate, "immediate", false, "queue only for peers that are connected")
}

// duration is a flag's value of more than zero.
type duration time.Duration

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (d *duration) Type() string { return "duration" }

func (d *duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil || v <= 0 {
		return errors.New("want a duration above zero, such as 500ms, 2s or 1m")
	}
	*d = duration(v)
	return nil
}

// number is a flag's value of at least one.
type number int

func (n *number) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.Itoa(int(*n))
}

func (n *number) Type() string { return "N" }

func (n *number) Set(s string) error {
	v, err := parseNumber(s, 1)
	if err == nil {
		*n = number(v)
	}
	return err
}

// counts is a flag's list of numbers of at least one. The first one that is given replaces those by default, each further one adds to it.
type counts struct {
	list  *[]int
	given bool
}

func (n *counts) String() string {
	if n.list == nil {
		return ""
	}
	return strings.ReplaceAll(fmt.Sprint(*n.list), " ", ",")
}

func (n *counts) Type() string { return "N" }

func (n *counts) Set(s string) error {
	if !n.given {
		*n.list, n.given = nil, true
	}
	for text := range strings.SplitSeq(s, ",") {
		v, err := parseNumber(strings.TrimSpace(text), 1)
		if err != nil {
			return errors.New("want whole numbers from 1, such as 1,10,100")
		}
		*n.list = append(*n.list, v)
	}
	return nil
}

func parseNumber(s string, least int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least {
		return 0, fmt.Errorf("want a whole number from %d", least)
	}
	return n, nil
}

// policy is the value of --sync.
type policy spool.Policy

func (p *policy) String() string { return spool.Policy(*p).String() }
func (p *policy) Type() string   { return "POLICY" }

// Set takes the name of a policy.
func (p *policy) Set(s string) error {
	for _, known := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		if s == known.String() {
			*p = policy(known)
			return nil
		}
	}
	return errors.New("want always, interval or os")
}

// size is a flag's value of at least leastQuota bytes.
type size int64

// leastQuota is room for a few of the smallest segments of a spool.
const leastQuota = 256 << 10

func (z *size) Type() string { return "SIZE" }

func (z *size) String() string {
	if *z == 0 {
		return ""
	}
	return strconv.FormatInt(int64(*z), 10)
}

// Set takes a number of bytes, or of KiB, MiB, GiB or TiB.
func (z *size) Set(text string) error {
	digits := strings.TrimRight(text, "KMGTiB")
	n, err := strconv.ParseInt(digits, 10, 64)
	shift, known := map[string]int{"": 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}[text[len(digits):]]
	if err != nil || !known || n > math.MaxInt64>>shift || n<<shift < leastQuota {
		return errors.New("want a size from 256KiB, such as 512MiB or 20GiB")
	}
	*z = size(n << shift)
	return nil
}
