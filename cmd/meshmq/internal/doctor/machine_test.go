package doctor

import (
	"errors"
	"math"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
)

func files(all map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, content := range all {
		m[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return m
}

// TestReadsLimits: the narrowest limit of the cgroups above this process counts, of either version.
func TestReadsLimits(t *testing.T) {
	t.Parallel()
	var two, one Machine
	two.readCgroup(files(map[string]string{
		"proc/self/cgroup":               "0::/a/b\n",
		"sys/fs/cgroup/a/b/cpu.max":      "max 100000\n",
		"sys/fs/cgroup/a/cpu.max":        "150000 100000\n",
		"sys/fs/cgroup/a/b/memory.max":   "max\n",
		"sys/fs/cgroup/a/memory.max":     "1073741824\n",
		"sys/fs/cgroup/memory.max":       "4294967296\n",
		"sys/fs/cgroup/a/b/unlike/other": "",
	}))
	assert.InDelta(t, 1.5, two.Quota, 0)
	assert.EqualValues(t, 1<<30, two.Memory)
	one.readCgroup(files(map[string]string{
		"proc/self/cgroup":                             "4:memory:/x\n3:cpu,cpuacct:/x\n",
		"sys/fs/cgroup/cpu/x/cpu.cfs_quota_us":         "50000\n",
		"sys/fs/cgroup/cpu/x/cpu.cfs_period_us":        "100000\n",
		"sys/fs/cgroup/memory/memory.limit_in_bytes":   "9223372036854771712\n",
		"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "536870912\n",
	}))
	assert.InDelta(t, 0.5, one.Quota, 0)
	assert.EqualValues(t, 512<<20, one.Memory)
}

func fit() Machine {
	yes := true
	return Machine{
		Processors: 4, Procs: 4, Files: 20000, Total: 8 << 30, GoLimit: math.MaxInt64, RMem: 4 << 20, WMem: 4 << 20, Backlog: 4096,
		Congestion: "cubic", PortLow: 32768, PortHigh: 60999, Loopback: map[string]error{}, Now: founded.AddDate(1, 0, 0), Synced: &yes,
	}
}

// TestJudgesMachine: each thing that is wrong is said of its subject, and of no other.
func TestJudgesMachine(t *testing.T) {
	t.Parallel()
	no := false
	for name, c := range map[string]struct {
		change  func(*Machine)
		state   State
		subject string
	}{
		"fit":               {func(*Machine) {}, Pass, ""},
		"nothing known":     {func(m *Machine) { *m = Machine{Now: m.Now, Processors: 1, Procs: 1} }, Pass, ""},
		"quota":             {func(m *Machine) { m.Quota = 2.5 }, Warn, "processors"},
		"quota heeded":      {func(m *Machine) { m.Quota, m.Procs = 2.5, 3 }, Pass, ""},
		"least GOMAXPROCS":  {func(m *Machine) { m.Quota, m.Procs = 0.5, 2 }, Pass, ""},
		"too many procs":    {func(m *Machine) { m.Procs = 8 }, Warn, "processors"},
		"few files":         {func(m *Machine) { m.Files = 256 }, Warn, "open files"},
		"hardly any files":  {func(m *Machine) { m.Files = 20 }, Fail, "open files"},
		"no GOMEMLIMIT":     {func(m *Machine) { m.Memory = 1 << 30 }, Warn, "memory"},
		"GOMEMLIMIT":        {func(m *Machine) { m.Memory, m.GoLimit = 1<<30, 900<<20 }, Pass, ""},
		"GOMEMLIMIT beyond": {func(m *Machine) { m.Memory, m.GoLimit = 1<<30, 2<<30 }, Warn, "memory"},
		"small buffers":     {func(m *Machine) { m.WMem = 64 << 10 }, Warn, "socket buffers"},
		"somaxconn":         {func(m *Machine) { m.Backlog = 16 }, Warn, "somaxconn"},
		"few ports":         {func(m *Machine) { m.PortHigh = 33000 }, Warn, "ephemeral ports"},
		"no IPv4":           {func(m *Machine) { m.Loopback["IPv4"] = errors.New("x") }, Fail, "loopback IPv4"},
		"no IPv6":           {func(m *Machine) { m.Loopback["IPv6"] = errors.New("x") }, Warn, "loopback IPv6"},
		"clock unset":       {func(m *Machine) { m.Now = time.Unix(0, 0) }, Fail, "clock"},
		"clock drifts":      {func(m *Machine) { m.Synced = &no }, Warn, "clock"},
	} {
		m := fit()
		c.change(&m)
		for _, f := range m.Findings() {
			want := Pass
			if f.Subject == c.subject {
				want = c.state
			}
			assert.Equal(t, want, f.State, "%s: %s", name, f)
			assert.Equal(t, f.State != Pass, f.Advice != "", "%s: %s", name, f)
		}
	}
}

func TestFindingIsOneLine(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "FAIL  x  a?b?[2J; c", fail("x", "c", "a\nb\x1b[2J").String())
}
