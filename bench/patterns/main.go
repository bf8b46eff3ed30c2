// Command patterns measures typed calls, events and jobs next to what people would use in their place, in turns in one run: reqrep next to NATS, gRPC, net/http with
// JSON and net/rpc with gob; pubsub and pushpull next to NATS.
//
//	go run ./patterns [-rounds N] [-seconds S] [-only NAME]
//
// A call sends a value with so many bytes in it and has it back; all callers share one client. An event goes to each of the subscribers, with a wildcard in what they
// subscribed to; a job to one of the workers; neither is dropped, and the last one is waited for. Caller or sender is one process, the service, all subscribers or all
// workers another, NATS's server a third, on loopback. meshmq, NATS and gRPC have the values in msgpack by this project's codec (with protobuf, gRPC takes as much, within
// about a tenth); the others have what comes with them. All is as it is by default, but that a Publisher waits for slow subscribers, that NATS's limits leave room for what is
// measured here, and that net/http keeps a connection for each caller.
//
// Figures are medians of the rounds. CPU time is that of all processes, for each call and for each event or job that was handled. bench/all.sh runs it, too.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"google.golang.org/grpc"
)

// row is one thing to measure: calls from so many callers, events to so many subscribers, jobs to so many workers.
type row struct {
	pattern     string
	size, peers int
}

const (
	calls  = "call"
	events = "event"
	jobs   = "job"
)

// rows are all there is to measure.
func rows() (all []row) {
	add := func(pattern string, sizes, peers []int) {
		for _, size := range sizes {
			for _, n := range peers {
				all = append(all, row{pattern, size, n})
			}
		}
	}
	add(calls, []int{100, 1 << 10, 64 << 10, 1 << 20}, []int{1, 8, 64})
	add(events, []int{100, 1 << 10}, []int{1, 8})
	add(jobs, []int{100, 16 << 10}, []int{1, 4})
	return all
}

func (r row) String() string {
	size, peers := fmt.Sprintf("%d B", r.size), map[string]string{calls: "caller", events: "subscriber", jobs: "worker"}[r.pattern]
	switch {
	case r.size >= 1<<20:
		size = fmt.Sprintf("%d MiB", r.size>>20)
	case r.size >= 1<<10:
		size = fmt.Sprintf("%d KiB", r.size>>10)
	}
	if r.peers > 1 {
		peers += "s"
	}
	return fmt.Sprintf("%s, %s, %d %s", r.pattern, size, r.peers, peers)
}

// contender is something to measure. It opens a stage for each pattern that it has.
type contender struct {
	name string
	open map[string]func(r row) *stage
}

var contenders = []contender{
	{"meshmq", map[string]func(row) *stage{calls: callMeshmq, events: publishMeshmq, jobs: sendMeshmq}},
	{"NATS", map[string]func(row) *stage{calls: callNATS, events: flowNATS, jobs: flowNATS}},
	{"gRPC", map[string]func(row) *stage{calls: callGRPC}},
	{"net/http", map[string]func(row) *stage{calls: callHTTP}},
	{"net/rpc", map[string]func(row) *stage{calls: callRPC}},
}

// figures are those of a turn. Calls alone have times.
type figures struct {
	rate, p50, p99, cpu float64 // a second, and microseconds
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("patterns: ")
	if len(os.Args) > 1 && sides[os.Args[1]] != nil {
		sides[os.Args[1]](os.Args[2:], bufio.NewScanner(os.Stdin))
		return
	}
	rounds := flag.Int("rounds", 3, "measure everything this often, in turns")
	seconds := flag.Float64("seconds", 0.5, "length of each measurement")
	only := flag.String("only", "", "measure what has this in its name")
	flag.Parse()
	var chosen []row
	var measured []map[string]figures
	for _, r := range rows() {
		if strings.Contains(r.String(), *only) {
			log.Print(r)
			chosen, measured = append(chosen, r), append(measured, measure(r, *rounds, time.Duration(*seconds*float64(time.Second))))
		}
	}
	revision, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		revision = []byte("unknown")
	}
	fmt.Printf("%s, %s/%s, %d cores, %s, meshmq %s, nats-server %s, gRPC %s, %d rounds of %gs, medians\n", time.Now().Format(time.DateOnly), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), runtime.Version(), strings.TrimSpace(string(revision)), server.VERSION, grpc.Version, *rounds, *seconds)
	report("a second", chosen, measured, func(f figures) string { return grouped(f.rate) })
	report("CPU time of all processes, us", chosen, measured, func(f figures) string { return fmt.Sprintf("%.2f", f.cpu) })
	report("time of a call, p50 / p99, us", chosen, measured, func(f figures) string {
		if f.p50 == 0 {
			return ""
		}
		return grouped(f.p50) + " / " + grouped(f.p99)
	})
}

// measure has the contenders take turns at a row, and returns the medians of each that has its pattern.
func measure(r row, rounds int, d time.Duration) map[string]figures {
	turns, nears := map[string][]figures{}, map[string]*process{}
	for _, c := range contenders {
		if c.open[r.pattern] != nil {
			nears[c.name] = start(nearSide, c.name, r.pattern, strconv.Itoa(r.size), strconv.Itoa(r.peers))
			defer nears[c.name].end()
		}
	}
	for range rounds {
		for _, c := range contenders {
			if p := nears[c.name]; p != nil {
				var f figures
				p.ask(int64(d), &f.rate, &f.p50, &f.p99, &f.cpu)
				turns[c.name] = append(turns[c.name], f)
			}
		}
	}
	medians := map[string]figures{}
	for name, all := range turns {
		of := func(one func(f figures) float64) float64 {
			values := make([]float64, len(all))
			for i, f := range all {
				values[i] = one(f)
			}
			return median(values)
		}
		medians[name] = figures{of(func(f figures) float64 { return f.rate }), of(func(f figures) float64 { return f.p50 }),
			of(func(f figures) float64 { return f.p99 }), of(func(f figures) float64 { return f.cpu })}
	}
	return medians
}

// report prints a table of one thing that was measured. Rows that have nothing of it are left out.
func report(title string, chosen []row, measured []map[string]figures, say func(f figures) string) {
	header, rule := "| "+title+" |", "|---|"
	for _, c := range contenders {
		header, rule = header+" "+c.name+" |", rule+"--:|"
	}
	fmt.Printf("\n%s\n%s\n", header, rule)
	for i, r := range chosen {
		line, some := "| "+r.String()+" |", false
		for _, c := range contenders {
			word := ""
			if f, found := measured[i][c.name]; found {
				word = say(f)
			}
			if word != "" {
				line, some = line+" "+word, true
			}
			line += " |"
		}
		if some {
			fmt.Println(line)
		}
	}
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

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

var background = context.Background()
