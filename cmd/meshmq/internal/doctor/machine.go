package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"path"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

const (
	// filesApart is how many files a process has open besides its peers: those of the runtime, of discovery, of a spool.
	filesApart   = 32
	fewFiles     = 1024      // what systems give by default; a busy ROUTER has more peers
	leastFiles   = 128       // fewer do not carry a small mesh
	leastBuffer  = 208 << 10 // the kernel's own largest socket buffer where nobody has raised it
	leastBacklog = 128       // fewer and peers that all come back at once are turned away
	fewPorts     = 10000     // each connection out takes one for a minute after its end
)

// Machine is what is known of the machine and the limits of this process. Zero means not known, but where said.
type Machine struct {
	Processors, Procs int     // of the machine; GOMAXPROCS
	Quota             float64 // processors that the cgroup allows; 0: no limit
	Files             uint64  // that may be open
	Memory, Total     uint64  // limit of the cgroup, 0: none; what the machine has
	GoLimit           int64   // GOMEMLIMIT; math.MaxInt64: none
	RMem, WMem        int     // the largest socket buffers
	Backlog           int
	Congestion        string
	PortLow, PortHigh int
	Loopback          map[string]error // by family: why it does not work
	Now               time.Time
	Synced            *bool // nil: not known
}

// ReadMachine gathers facts, from the files below root among others.
func ReadMachine(root fs.FS) Machine {
	m := Machine{
		Processors: runtime.NumCPU(),
		Procs:      runtime.GOMAXPROCS(0),
		Files:      openFiles(),
		GoLimit:    debug.SetMemoryLimit(-1),
		Loopback:   map[string]error{"IPv4": loopback("127.0.0.1:0"), "IPv6": loopback("[::1]:0")},
		Now:        time.Now(),
		Synced:     clockSynced(),
	}
	m.readKernel(root)
	m.readCgroup(root)
	return m
}

func (m *Machine) readKernel(root fs.FS) {
	m.RMem, m.WMem = number(root, "proc/sys/net/core/rmem_max"), number(root, "proc/sys/net/core/wmem_max")
	m.Backlog = number(root, "proc/sys/net/core/somaxconn")
	m.Congestion = strings.TrimSpace(text(root, "proc/sys/net/ipv4/tcp_congestion_control"))
	if f := strings.Fields(text(root, "proc/sys/net/ipv4/ip_local_port_range")); len(f) == 2 {
		m.PortLow, _ = strconv.Atoi(f[0])
		m.PortHigh, _ = strconv.Atoi(f[1])
	}
	for line := range strings.Lines(text(root, "proc/meminfo")) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseUint(f[1], 10, 64)
			m.Total = kib << 10
		}
	}
}

// readCgroup takes the narrowest limits from the cgroup of this process up to the root, of version 2 and of version 1.
func (m *Machine) readCgroup(root fs.FS) {
	for line := range strings.Lines(text(root, "proc/self/cgroup")) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			m.limit(root, parts[1], dir)
			if dir == "/" {
				break
			}
		}
	}
}

func (m *Machine) limit(root fs.FS, controllers, dir string) {
	var quota, period float64
	var memory uint64
	if controllers == "" {
		base := path.Join("sys/fs/cgroup", dir)
		_, _ = fmt.Sscanf(text(root, path.Join(base, "cpu.max")), "%g %g", &quota, &period)
		memory, _ = strconv.ParseUint(strings.TrimSpace(text(root, path.Join(base, "memory.max"))), 10, 64)
	}
	for c := range strings.SplitSeq(controllers, ",") {
		base := path.Join("sys/fs/cgroup", c, dir)
		switch c {
		case "cpu":
			quota, period = float64(number(root, path.Join(base, "cpu.cfs_quota_us"))), float64(number(root, path.Join(base, "cpu.cfs_period_us")))
		case "memory":
			memory, _ = strconv.ParseUint(strings.TrimSpace(text(root, path.Join(base, "memory.limit_in_bytes"))), 10, 64)
		}
	}
	if quota > 0 && period > 0 && (m.Quota == 0 || quota/period < m.Quota) {
		m.Quota = quota / period
	}
	if memory > 0 && memory < math.MaxInt64>>1 && (m.Memory == 0 || memory < m.Memory) { // version 1 has a huge number for none
		m.Memory = memory
	}
}

// Findings judges the machine.
func (m Machine) Findings() []Finding {
	all := []Finding{m.processors(), m.files(), m.memory(), m.buffers(), m.backlog(), m.congestion(), m.ports()}
	for _, family := range []string{"IPv4", "IPv6"} {
		subject := "loopback " + family
		switch err := m.Loopback[family]; {
		case err == nil:
			all = append(all, pass(subject, "works"))
		case family == "IPv6":
			all = append(all, warn(subject, "use 127.0.0.1, not [::1] or a name that may mean it", "%v", err))
		default:
			all = append(all, fail(subject, "bring the loopback interface up: ip link set lo up", "%v", err))
		}
	}
	return append(all, m.clock())
}

func (m Machine) processors() Finding {
	const subject = "processors"
	switch allowed := max(2, int(math.Ceil(m.Quota))); { // the runtime never goes below two for a quota
	case m.Quota > 0 && m.Procs > allowed:
		return warn(subject, fmt.Sprintf("unset GOMAXPROCS, or set it to %d", allowed), "GOMAXPROCS is %d where the cgroup allows %.3g processors: it will be throttled", m.Procs, m.Quota)
	case m.Quota > 0:
		return pass(subject, "%d, of which the cgroup allows %.3g; GOMAXPROCS is %d", m.Processors, m.Quota, m.Procs)
	case m.Procs > m.Processors:
		return warn(subject, "unset GOMAXPROCS", "GOMAXPROCS is %d where there are %d", m.Procs, m.Processors)
	}
	return pass(subject, "%d, no quota; GOMAXPROCS is %d", m.Processors, m.Procs)
}

func (m Machine) files() Finding {
	const subject, advice = "open files", "raise ulimit -n, or LimitNOFILE of the service"
	if m.Files == 0 {
		return unknown(subject)
	}
	peers := m.Files - min(m.Files, filesApart)
	switch {
	case m.Files < leastFiles:
		return fail(subject, advice, "%d: about %d peers", m.Files, peers)
	case m.Files < fewFiles:
		return warn(subject, advice, "%d: about %d peers", m.Files, peers)
	case m.Files > math.MaxInt64:
		return pass(subject, "no limit")
	}
	return pass(subject, "%d: about %d peers", m.Files, peers)
}

func (m Machine) memory() Finding {
	const subject = "memory"
	limit := m.Memory
	switch {
	case limit == 0 && m.Total == 0:
		return unknown(subject)
	case limit == 0 && m.GoLimit == math.MaxInt64:
		return pass(subject, "%s, no limit of a cgroup", size(m.Total))
	case limit == 0:
		return pass(subject, "%s, no limit of a cgroup; GOMEMLIMIT is %s", size(m.Total), size(uint64(m.GoLimit)))
	case m.GoLimit == math.MaxInt64:
		return warn(subject, "set GOMEMLIMIT to nine tenths of it, so that memory is given back before the kernel kills", "the cgroup allows %s and GOMEMLIMIT is not set", size(limit))
	case uint64(m.GoLimit) >= limit:
		return warn(subject, "set GOMEMLIMIT to nine tenths of the cgroup's limit", "the cgroup allows %s and GOMEMLIMIT is %s, which is no less", size(limit), size(uint64(m.GoLimit)))
	}
	return pass(subject, "the cgroup allows %s, GOMEMLIMIT is %s", size(limit), size(uint64(m.GoLimit)))
}

func (m Machine) buffers() Finding {
	const subject = "socket buffers"
	switch {
	case m.RMem == 0 || m.WMem == 0:
		return unknown(subject)
	case min(m.RMem, m.WMem) < leastBuffer:
		return warn(subject, fmt.Sprintf("sysctl -w net.core.rmem_max=%d net.core.wmem_max=%[1]d", leastBuffer), "at most %s in and %s out: large messages will be slow", size(uint64(m.RMem)), size(uint64(m.WMem)))
	}
	return pass(subject, "at most %s in, %s out", size(uint64(m.RMem)), size(uint64(m.WMem)))
}

func (m Machine) backlog() Finding {
	const subject = "somaxconn"
	switch {
	case m.Backlog == 0:
		return unknown(subject)
	case m.Backlog < leastBacklog:
		return warn(subject, "sysctl -w net.core.somaxconn=4096", "%d peers may wait to be accepted: more that come at once are turned away", m.Backlog)
	}
	return pass(subject, "%d peers may wait to be accepted", m.Backlog)
}

func (m Machine) congestion() Finding {
	const subject = "congestion control"
	switch m.Congestion {
	case "":
		return unknown(subject)
	case "bbr":
		return pass(subject, "bbr, which paces: meshmq takes reno in its place between programs of one host")
	}
	return pass(subject, "%s", m.Congestion)
}

func (m Machine) ports() Finding {
	const subject = "ephemeral ports"
	switch n := m.PortHigh - m.PortLow + 1; {
	case m.PortHigh == 0:
		return unknown(subject)
	case n < fewPorts:
		return warn(subject, "sysctl -w net.ipv4.ip_local_port_range='32768 60999'", "%d: each connection to one peer takes one, also a minute after its end", n)
	default:
		return pass(subject, "%d, %d to %d", n, m.PortLow, m.PortHigh)
	}
}

// founded is before any of this was written: a clock that says less is wrong.
var founded = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (m Machine) clock() Finding {
	const subject, advice = "clock", "start chrony, ntpd or systemd-timesyncd"
	now := m.Now.UTC().Format(time.RFC3339)
	switch {
	case m.Now.Before(founded):
		return fail(subject, advice, "it says %s, which is over: certificates will not be valid", now)
	case m.Synced == nil:
		return pass(subject, "%s; whether it is synchronised is not known", now)
	case !*m.Synced:
		return warn(subject, advice, "%s, not synchronised as far as the kernel knows", now)
	}
	return pass(subject, "%s, synchronised", now)
}

// loopback connects this process with itself.
func loopback(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	defer ln.Close()
	conn, err := net.DialTimeout("tcp", ln.Addr().String(), 2*time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// text returns a small file, empty if it cannot be read.
func text(root fs.FS, name string) string {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return ""
	}
	return string(b)
}

func number(root fs.FS, name string) int {
	n, _ := strconv.Atoi(strings.TrimSpace(text(root, name)))
	return n
}

// size is a size for people.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	return fmt.Sprintf("%.4g %s", v, units[i])
}

var errUnknown = errors.New("this system does not tell")
