package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	anyPort = "tcp://127.0.0.1:0"
	nobody  = "tcp://127.0.0.1:1" // a port that needs privileges and that no test binds
)

// TestBadInput: exit code 2, and exactly one line that names what is wrong and what would be right.
func TestBadInput(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	tests := []struct {
		args  string // separated by blanks
		names string // what is wrong
		right string // what would be right
	}{
		{"", "want a verb", "push"},
		{"pusch", `"pusch"`, "did you mean push"},
		{"frobnicate", `"frobnicate"`, "want one of bench"},
		{"help frobnicate", `"frobnicate"`, "want one of bench"},
		{"--frobnicate", "--frobnicate", "see meshmq --help"},
		{"push --frobnicate", "--frobnicate", "see meshmq push --help"},
		{"push hello", "endpoint", "-b/--bind ENDPOINT or -c/--connect"},
		{"pull", "endpoint", "-b/--bind ENDPOINT"},
		{"push -c", "-c", "see meshmq push --help"},
		{"push -c localhost:5555 x", `"localhost:5555"`, "begin with tcp://"},
		{"push -c http://localhost:5555 x", `"http"`, "known are tcp, tls+tcp, ipc, inproc, ws and wss"},
		{"push -c tcp://localhost x", `"tcp://localhost"`, "write tcp://host:port"},
		{"push -c tcp://*:5555 x", `"tcp://*:5555"`, "see meshmq push --help"},
		{"push -c mdns://No_Good x", `No_Good`, "lower-case"},
		{"pull -b tcp://127.0.0.1:70000", `"70000"`, "0 to 65535"},
		{"pull -b tcp://300.1.2.3:1", `"300.1.2.3"`, "0 to 255"},
		{"pull -b ipc://", `"ipc://"`, "ipc:///path"},
		{"pull -b mdns://orders", "mdns://orders", "--announce NAME"},
		{"pull -b " + anyPort + " --announce Not_A_Name", "Not_A_Name", "lower-case"},
		{"pull -c " + nobody + " --announce work", "--announce work", "-b/--bind"},
		{"pull -b " + anyPort + " extra", `"extra"`, "takes none"},
		{"sub -c " + nobody + " extra", `"extra"`, "takes none"},
		{"router -b " + anyPort + " extra", `"extra"`, "takes none"},
		{"rep --echo -b " + anyPort + " extra", `"extra"`, "takes none"},
		{"rep -b " + anyPort, "no answer", "--echo, --exec COMMAND or --reply TEXT"},
		{"rep --echo --reply x -b " + anyPort, "[echo reply]", "none of the others"},
		{"req -c " + nobody, "BODY", "see meshmq req --help"},
		{"req -c " + nobody + " one two", `"two"`, "want 1"},
		{"req -c " + nobody + " --frame one two", `"two"`, "--frame"},
		{"pub -b " + anyPort + " hello", "--topic", "--topic TOPIC"},
		{"push --frame a b -c " + nobody, `"b"`, "--frame"},
		{"bench push", `"push"`, "want throughput, latency, fanout, fanin"},
		{"bench --size 1GB", `"1GB"`, "such as 100, 1KiB"},
		{"bench --plot x.gif", `"x.gif"`, ".svg or .png"},
		{"bench --transport udp", `"udp"`, "want tcp, ipc, inproc"},
		{"bench --rounds 0", `"0"`, "from 1"},
		{"bench --rate x", `"x"`, "from 1"},
		{"bench --rate 2000000000", "--rate: 2000000000", "want 1 to 1000000"},
		{"bench --frames 1,x", `"1,x"`, "such as 1,10,100"},
		{"bench --peers=", `"--peers"`, "such as 1,10,100"},
		{"bench --size=", "--size: none", "at least 1"},
		{"bench --duration 1ms", "--duration: 1ms", "at least 10ms"},
		{"bench --csv --json", "[csv json]", "none of the others"},
		{"pull --count 0 -b " + anyPort, `"0"`, "from 1"},
		{"pull --count many -b " + anyPort, `"many"`, "from 1"},
		{"pull --timeout 5 -b " + anyPort, `"5"`, "such as 500ms"},
		{"pull --timeout -5s -b " + anyPort, `"-5s"`, "above zero"},
		{"pull --wait soon -b " + anyPort, `"soon"`, "such as 500ms"},
		{"pull --hwm -1 -b " + anyPort, "--hwm -1", "0 (no limit) or more"},
		{"pull --linger -1s -b " + anyPort, "--linger -1s", "0s or more"},
		{"push --receipts -c " + nobody + " x", "--receipts", "--spool DIR"},
		{"push --sync always -c " + nobody + " x", "--sync", "--spool DIR"},
		{"push --spool x --sync never -c " + nobody + " x", `"never"`, "want always, interval or os"},
		{"push --spool= -c " + nobody + " x", "--spool", "want --spool DIR"},
		{"pull --prefetch 5 -b " + anyPort, "--prefetch without --ack", "see meshmq pull --help"},
		{"pull --ack --prefetch 0 -b " + anyPort, `"0"`, "from 1"},
		{"pull --window x -b " + anyPort, "--window without --ack", "see meshmq pull --help"},
		{"pull --ack --window= -b " + anyPort, "--window", "want --window DIR"},
		{"sub --from end -c " + nobody, "--from", "want --durable NAME"},
		{"sub --durable= -c " + nobody, "--durable", "want --durable NAME"},
		{"sub --durable x --from yesterday -c " + nobody, `"yesterday"`, "how long ago, such as 90m"},
		{"sub --durable a/b -c " + nobody, `"a/b"`, "1 to 128 letters"},
		{"sub --prefetch 5 -c " + nobody, "--prefetch without --durable NAME", "see meshmq sub --help"},
		{"pub --topic x --receipts -b " + anyPort, "--receipts", "--spool DIR"},
		{"pub --topic x --keep-for 1h -b " + anyPort, "--keep-for", "--spool DIR"},
		{"pub --topic x --spool y --keep-last 0 -b " + anyPort, `"0"`, "from 1"},
		{"push --spool x --quota 100KiB -c " + nobody + " x", `"100KiB"`, "from 256KiB"},
		{"push --spool x --quota 5GB -c " + nobody + " x", `"5GB"`, "such as 512MiB"},
		{"push --spool x --quota 99999999999TiB -c " + nobody + " x", "--quota", "such as 512MiB"},
		{"pull --json --hex -b " + anyPort, "[hex json]", "none of the others"},
		{"pull -q -v -b " + anyPort, "[quiet verbose]", "none of the others"},
		{"push --identity x -c " + nobody, "--identity", "see meshmq push --help"},
		{"dealer --identity " + long + " -c " + nobody, "300 bytes", "at most 255"},
		{"pub --topic x --wait-subscribers 0 -b " + anyPort, `"0"`, "from 1"},
		{"pull -b tls+tcp://127.0.0.1:0", "certificate", "--tls-cert FILE"},
		{"push --tls-cert x -c tls+" + nobody, "--tls-cert", "--tls-key"},
		{"push --tls-key x -c tls+" + nobody, "--tls-key", "--tls-cert"},
		{"push --tls-ca x -c " + nobody, "--tls-ca", "nothing would be encrypted"},
		{"push --tls-ca nowhere.pem -c tls+" + nobody, "nowhere.pem", "no such file"},
		{"proxy --frontend " + anyPort + " --backend " + anyPort, "--type", "forwarder, queue or streamer"},
		{"proxy --type pipe --frontend " + anyPort + " --backend " + anyPort, `"pipe"`, "forwarder, queue or streamer"},
		{"proxy --type queue --backend " + anyPort, "frontend", "--connect-frontend ENDPOINT"},
		{"proxy --type queue --frontend " + anyPort, "backend", "--backend ENDPOINT"},
		{"proxy --type queue --frontend mdns://x --backend " + anyPort, "mdns://x", "tcp://*:0"},
		{"proxy --type queue --frontend " + anyPort + " --backend http://x:1", `"http"`, "known are tcp"},
		{"proxy --type queue --frontend " + anyPort + " --backend " + anyPort + " --capture x", `"x"`, "begin with tcp://"},
		{"proxy --type queue --frontend " + anyPort + " --backend " + anyPort + " --hwm -1", "--hwm -1", "0 (no limit) or more"},
		{"proxy --type queue extra", `"extra"`, "takes none"},
		{"discover extra", `"extra"`, "takes none"},
		{"discover --service No_Good", "No_Good", "lower-case"},
		{"perf", "local_thr", "remote_lat"},
		{"perf frobnicate", `"frobnicate"`, "local_thr"},
		{"perf local_thr", "ENDPOINT", "see meshmq perf local_thr --help"},
		{"perf local_thr " + anyPort + " 10", "COUNT", "see meshmq perf local_thr --help"},
		{"perf local_thr " + anyPort + " 10 10 10", `"10"`, "want 3"},
		{"perf local_thr " + anyPort + " -- -1 10", `"-1"`, "from 0"},
		{"perf remote_lat " + nobody + " 10 0", `"0"`, "from 1"},
		{"perf sub 127.0.0.1:1 10 10", `"127.0.0.1:1"`, "begin with tcp://"},
		{"perf pub " + anyPort + " 10 10", "SUBSCRIBERS", "see meshmq perf pub --help"},
		{"spool", "want a verb", "ls, purge"},
		{"spool lst", `"lst"`, "did you mean ls"},
		{"spool ls", "DIR", "see meshmq spool ls --help"},
		{"spool dead", "DIR", "see meshmq spool dead --help"},
		{"spool verify one two", `"two"`, "want 1"},
		{"spool cat x --from yesterday", `"yesterday"`, "how long ago, such as 90m"},
		{"spool cat x --from 0", `"0"`, "a number from 1"},
		{"spool cat x --to 0", `"0"`, "from 1"},
		{"spool cat x --all --consumer y", "[all consumer]", "none of the others"},
		{"spool replay x 0", `"0"`, "such as 7, 3-9 or 12-"},
		{"spool replay x 9-3", `"9-3"`, "such as 7, 3-9 or 12-"},
		{"spool replay x --rate 0", `"0"`, "from 1"},
		{"spool purge x all", `"all"`, "such as 7, 3-9 or 12-"},
		{"spool purge x --dead --consumer y", "[consumer dead]", "none of the others"},
		{"spool purge x --remove", "--remove", "--consumer NAME"},
		{"spool purge x 7 --consumer y --remove", "--remove", "no numbers"},
		{"version extra", `"extra"`, "takes none"},
		{"completion", "SHELL", "bash, zsh, fish or powershell"},
		{"completion csh", `"csh"`, "bash, zsh, fish or powershell"},
		{"demo extra", `"extra"`, "takes none"},
		{"demo --registry carrier-pigeon", `"carrier-pigeon"`, "mdns:INTERFACE or dir:PATH"},
	}
	for _, tt := range tests {
		t.Run(tt.args[:min(len(tt.args), 60)], func(t *testing.T) {
			t.Parallel()
			r := meshmq(t, strings.Fields(tt.args)...)
			assert.Equal(t, 2, r.code)
			assert.Empty(t, r.stdout)
			assert.Len(t, lines(r.stderr), 1, r.stderr)
			assert.Contains(t, r.stderr, "meshmq")
			assert.Contains(t, r.stderr, tt.names)
			assert.Contains(t, r.stderr, tt.right)
		})
	}
}

// TestPortInUse: the socket verbs and perf name the endpoint in one line.
func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ep := "tcp://" + l.Addr().String()
	for _, args := range [][]string{{"pull", "-b", ep}, {"push", "-b", ep, "x"}, {"perf", "local_thr", ep, "1", "1"}} {
		r := meshmq(t, args...)
		assert.Equal(t, 1, r.code)
		assert.Empty(t, r.stdout)
		assert.Len(t, lines(r.stderr), 1, r.stderr)
		assert.Contains(t, r.stderr, ep)
		assert.Contains(t, r.stderr, "in use")
	}
}

// TestHelpOfKeeping: what a publisher is told to keep it keeps at least, since whole files go, and the help says how large those are.
func TestHelpOfKeeping(t *testing.T) {
	t.Parallel()
	assert.Contains(t, ok(t, "help", "pub"), "whole files of 16 MiB, or of a quarter of --quota")
	f := spoolFlags{topic: true, keepLast: 50, keepFor: time.Second}
	assert.Zero(t, f.logOptions().SegmentSize, "the default, which the documentation of spool.Options says is 16 MiB")
	f.quota = 1 << 20
	assert.Equal(t, int64(256<<10), f.logOptions().SegmentSize)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	help := ok(t, "--help")
	assert.Equal(t, help, ok(t, "help"))
	for _, code := range []string{"  0 ", "  1 ", "  2 ", "  3 ", "  4 ", "  5 ", "  6 ", "  130 "} {
		assert.Contains(t, help, "\n"+code)
	}
	for _, verb := range strings.Fields("push pull pub sub req rep pair dealer router discover perf version completion demo spool") {
		assert.Contains(t, help, "\n  "+verb+" ")
		assert.Contains(t, ok(t, "help", verb), "meshmq "+verb)
	}
	assert.NotContains(t, help, "demo-peer")
}

func TestVersion(t *testing.T) {
	t.Parallel()
	out := lines(ok(t, "version"))
	require.Len(t, out, 4)
	assert.Regexp(t, `^meshmq \S+$`, out[0])
	assert.Regexp(t, `^commit \S+`, out[1])
	assert.Regexp(t, `^go1\.`, out[2])
	assert.Equal(t, "ZMTP 3.1", out[3])
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		assert.Contains(t, ok(t, "completion", shell), "meshmq", shell)
	}
	assert.Equal(t, []string{"beginning", "end"}, lines(ok(t, "__complete", "sub", "--from", ""))[:2])
	assert.Contains(t, lines(ok(t, "__complete", "pu")), "push\tSend messages, each to one PULL peer in turn")
}
