package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// row is one thing to measure.
type row struct {
	name, pattern, transport string
	size, peers, inFlight    int
}

var rows = []row{
	{"PUSH/PULL, 16 B", "throughput", "tcp", 16, 1, 1},
	{"PUSH/PULL, 100 B", "throughput", "tcp", 100, 1, 1},
	{"PUSH/PULL, 1 KiB", "throughput", "tcp", 1 << 10, 1, 1},
	{"PUSH/PULL, 16 KiB", "throughput", "tcp", 16 << 10, 1, 1},
	{"PUSH/PULL, 256 KiB", "throughput", "tcp", 256 << 10, 1, 1},
	{"PUSH/PULL, 1 MiB", "throughput", "tcp", 1 << 20, 1, 1},
	{"PUSH/PULL with CURVE, 100 B", "throughput", "curve", 100, 1, 1},
	{"PUSH/PULL with CURVE, 1 KiB", "throughput", "curve", 1 << 10, 1, 1},
	{"PUSH/PULL with CURVE, 64 KiB", "throughput", "curve", 64 << 10, 1, 1},
	{"REQ/REP, 8 B, one requester", "requests", "tcp", 8, 1, 1},
	{"REQ/REP, 1 KiB, one requester", "requests", "tcp", 1 << 10, 1, 1},
	{"REQ/REP, 1 MiB, one requester", "requests", "tcp", 1 << 20, 1, 1},
	{"REQ/REP, 8 B, 8 requesters", "requests", "tcp", 8, 8, 1},
	{"1,000 DEALER, one ROUTER, 100 B", "router", "tcp", 100, 1000, 1},
	{"1,000 DEALER, one ROUTER, 100 B, 16 in flight each", "router", "tcp", 100, 1000, 16},
	{"One DEALER, one ROUTER, 1 KiB, 100 in flight", "router", "tcp", 1 << 10, 1, 100},
	{"One DEALER, one ROUTER, 16 KiB, 5 in flight", "router", "tcp", 16 << 10, 1, 5},
	{"8 PUSH, one PULL, 100 B", "fanin", "tcp", 100, 8, 1},
	{"PUB/SUB, 100 B, 1 subscriber", "fanout", "tcp", 100, 1, 1},
	{"PUB/SUB, 100 B, 8 subscribers", "fanout", "tcp", 100, 8, 1},
	{"PUB/SUB, 1 KiB, 200 subscribers", "fanout", "tcp", 1 << 10, 200, 1},
	{"PUSH/PULL over ipc, 100 B", "throughput", "ipc", 100, 1, 1},
	{"PUSH/PULL over ipc, 256 KiB", "throughput", "ipc", 256 << 10, 1, 1},
	{"REQ/REP over ipc, 8 B, one requester", "requests", "ipc", 8, 1, 1},
	{"REQ/REP over ipc, 1 MiB, one requester", "requests", "ipc", 1 << 20, 1, 1},
	{"PUSH/PULL in one process, 16 B", "throughput", "inproc", 16, 1, 1},
	{"PUSH/PULL in one process, 1 KiB", "throughput", "inproc", 1 << 10, 1, 1},
	{"PUSH/PULL in one process, 64 KiB", "throughput", "inproc", 64 << 10, 1, 1},
	{"REQ/REP in one process, 16 KiB, one requester", "requests", "inproc", 16 << 10, 1, 1},
}

// contender is something to measure. Its command is nil for what it does not do.
type contender struct {
	name    string
	command func(r row, seconds float64) []string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bench: ")
	rounds := flag.Int("rounds", 5, "measure everything this often, in turns")
	seconds := flag.Float64("seconds", 1, "length of each measurement")
	only := flag.String("only", "", "measure rows whose name or pattern contains this, in whatever case")
	flag.Parse()
	dir, err := os.MkdirTemp("", "bench")
	check(err)
	defer os.RemoveAll(dir)
	contenders := build(dir)
	fmt.Printf("%s, %s, %s, %d rounds of %gs, messages a second, medians\n\n", time.Now().Format(time.DateOnly), machine(), versions(dir), *rounds, *seconds)
	header, rule := "| what |", "|---|"
	for _, c := range contenders {
		header, rule = header+" "+c.name+" |", rule+"--:|"
	}
	fmt.Println(header + " to libzmq | of the limit |\n" + rule + "--:|--:|")
	for _, r := range rows {
		if strings.Contains(strings.ToLower(r.name+" "+r.pattern), strings.ToLower(*only)) {
			fmt.Println(measure(r, contenders, *rounds, *seconds))
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// build makes the programs to be measured.
func build(dir string) []contender {
	at := func(name string) string { return filepath.Join(dir, name) }
	run := func(in string, args ...string) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Stderr = in, os.Stderr
		check(cmd.Run())
	}
	run("..", "go", "build", "-o", at("meshmq"), "./cmd/meshmq")
	run(".", "go", "build", "-o", at("zmq4"), "./zmq4")
	run(".", "go", "build", "-o", at("nats"), "./nats")
	run(".", "go", "build", "-o", at("raw"), "./raw")
	run(".", "cc", "-O2", "-o", at("zmqbench"), "libzmq/zmqbench.c", "-lzmq", "-lpthread")
	number := func(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
	return []contender{
		{"meshmq", func(r row, s float64) []string {
			how := []string{"--transport", r.transport}
			if r.transport == "curve" {
				how = []string{"--curve"}
			}
			return append([]string{at("meshmq"), "bench", r.pattern, "--json", "--rounds", "1", "--size", strconv.Itoa(r.size),
				"--peers", strconv.Itoa(r.peers), "--in-flight", strconv.Itoa(r.inFlight), "--duration", number(s) + "s"}, how...)
		}},
		{"libzmq", func(r row, s float64) []string {
			return []string{at("zmqbench"), r.pattern, r.transport, strconv.Itoa(r.size), strconv.Itoa(r.peers), number(s), strconv.Itoa(r.inFlight)}
		}},
		{"go-zeromq", func(r row, s float64) []string {
			if r.transport != "tcp" || r.peers > 1 || r.pattern != "throughput" && r.pattern != "requests" {
				return nil
			}
			return []string{at("zmq4"), r.pattern, strconv.Itoa(r.size), number(s)}
		}},
		{"NATS", func(r row, s float64) []string {
			if r.transport != "tcp" || r.size >= 1<<20 || !slices.Contains([]string{"throughput", "fanout", "requests"}, r.pattern) {
				return nil
			}
			return []string{at("nats"), r.pattern, strconv.Itoa(r.size), strconv.Itoa(r.peers), number(s)}
		}},
		{"limit", func(r row, s float64) []string {
			pattern := r.pattern
			switch {
			case r.inFlight > 1:
				return nil
			case pattern == "router":
				return []string{at("raw"), pattern, strconv.Itoa(r.size), number(s), strconv.Itoa(r.peers)}
			case r.peers > 1 || r.transport == "curve" || r.transport == "ipc" || pattern == "fanout":
				return nil
			case r.transport == "inproc" && pattern != "throughput":
				return nil
			case r.transport == "inproc":
				pattern = "channel"
			}
			return []string{at("raw"), pattern, strconv.Itoa(r.size), number(s)}
		}},
	}
}

// versions says what is compared.
func versions(dir string) string {
	say := func(command ...string) string {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	return fmt.Sprintf("meshmq %s, libzmq %s, go-zeromq/zmq4 %s, NATS %s", say("git", "describe", "--always", "--dirty"), say(filepath.Join(dir, "zmqbench"), "version"),
		say("go", "list", "-m", "-f", "{{.Version}}", "github.com/go-zeromq/zmq4"), say("go", "list", "-m", "-f", "{{.Version}}", "github.com/nats-io/nats-server/v2"))
}

// measure has the contenders take turns and returns a row of the table.
func measure(r row, contenders []contender, rounds int, seconds float64) string {
	rates := make([][]float64, len(contenders))
	for range rounds {
		for i, c := range contenders {
			if command := c.command(r, seconds); command != nil {
				rates[i] = append(rates[i], rate(command))
			}
		}
	}
	line := "| " + r.name + " |"
	for _, of := range rates {
		if len(of) == 0 {
			line += " |"
			continue
		}
		line += " " + grouped(median(of)) + " |"
	}
	for _, other := range [][]float64{rates[1], rates[len(rates)-1]} { // libzmq and the limit
		if len(other) == 0 {
			line += " |"
			continue
		}
		line += fmt.Sprintf(" x%.2f |", median(rates[0])/median(other))
	}
	return line
}

// rate runs one measurement.
func rate(command []string) float64 {
	cmd := exec.Command(command[0], command[1:]...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var result struct {
		Rate float64 `json:"msgs_per_second"`
	}
	if err == nil {
		err = json.Unmarshal(out, &result)
	}
	if err != nil || result.Rate == 0 {
		log.Fatalf("%s: %v\n%s%s", strings.Join(command, " "), err, out, stderr.String())
	}
	return result.Rate
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// grouped writes a number with its thousands set apart.
func grouped(f float64) string {
	s := strconv.FormatInt(int64(f+0.5), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + " " + s[i:]
	}
	return s
}

// machine says what this runs on.
func machine() string {
	model := runtime.GOARCH
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		text, err := io.ReadAll(f)
		err = errors.Join(err, f.Close())
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(line, "model name"); ok && err == nil {
				model = strings.TrimSpace(strings.TrimLeft(name, " \t:"))
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s, %s", model, runtime.NumCPU(), runtime.GOOS, runtime.Version())
}
