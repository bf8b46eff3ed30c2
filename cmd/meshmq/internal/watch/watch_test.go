package watch_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/cmd/meshmq/internal/watch"
	"github.com/meshmq/meshmq/patterns/monitor"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the files in testdata")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, string(want), text)
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// desk is what a process says after so many rounds of two seconds: it gets slower, loses messages, and has a queue that grows.
func desk(round int) monitor.Snapshot {
	n, now := uint64(round), noon.Add(time.Duration(round)*2*time.Second)
	s := monitor.Snapshot{
		Time:    now,
		Process: monitor.Process{ID: "1", Name: "order-desk", Host: "anna", PID: 4711, Started: noon.Add(-3 * time.Hour), Go: "go1.26", Goroutines: 31, Memory: 24 << 20},
		Sockets: []monitor.Socket{
			{
				Name: "events", Type: "PUB", Connected: 2, Load: monitor.Load{MessagesOut: 250_000 * n, Drops: 40 * n, QueueMessages: 2000},
				Dropped: map[string]uint64{"queue full": 40 * n},
				Peers:   []monitor.Peer{{Endpoint: "tcp://0.0.0.0:5556", Address: "10.0.0.9:40312", Identity: "slow", Connected: true, Load: monitor.Load{MessagesOut: 100 * n, Drops: 40 * n, QueueMessages: 1000}}},
				Others:  &monitor.Rest{Peers: 1, Connected: 1},
				Spool:   &monitor.Spool{Pending: 12, Oldest: now.Add(-90 * time.Minute), Durables: []monitor.Durable{{Name: "billing", Members: 0, Lag: 12}}},
			},
			{
				Name: "orders", Type: "PUSH", Connected: 1, Seeking: 1, Load: monitor.Load{MessagesOut: 41 * n, QueueMessages: 10 * round, Unacked: 7}, DeadLettered: 3,
				Spool:   &monitor.Spool{Pending: 5 * n, Oldest: noon, DeadLettered: 3},
				Refused: map[string]uint64{"denied": 2},
				Peers: []monitor.Peer{
					{Endpoint: "tcp://10.0.0.7:5555", Load: monitor.Load{Reconnects: 4}},
					{Endpoint: "tcp://10.0.0.8:5555", Address: "10.0.0.8:5555", Connected: true, Load: monitor.Load{MessagesOut: 41 * n}},
				},
			},
		},
		Trouble: []monitor.Trouble{{Socket: "events", Kind: "dropped", First: noon, Last: now, Times: n, Count: 40 * n, Text: "dropped tcp://0.0.0.0:5556 peer 10.0.0.9:40312 40 (queue full)"}},
	}
	return s
}

// bench is a process in order.
func bench(round int) monitor.Snapshot {
	return monitor.Snapshot{
		Time:    noon.Add(time.Duration(round) * 2 * time.Second),
		Process: monitor.Process{ID: "2", Name: "bench", Host: "ben", PID: 12, Started: noon.Add(-time.Minute), Go: "go1.26", Goroutines: 8, Memory: 9 << 20},
		Sockets: []monitor.Socket{{Name: "work", Type: "PULL", Connected: 1, Load: monitor.Load{MessagesIn: 41 * uint64(round)}, Receiver: &monitor.Receiver{Handled: 41 * uint64(round), Failed: 1}}},
		Logs:    []monitor.Log{{Name: "journal", Consumers: []monitor.Consumer{{Pending: 4, Failed: 1}}}},
	}
}

var errLate = errors.New("call meshmq.snapshot: timeout")

// rounds is a history: two processes, of which one goes, one that does not answer and one that is not there.
func rounds() watch.View {
	var t watch.Tracker
	var v watch.View
	for n := range 4 {
		answers := []watch.Answer{
			{Endpoint: "tcp://anna:1", Connected: true, Snapshot: desk(n)},
			{Endpoint: "tcp://ben:1", Connected: true, Snapshot: bench(n)},
			{Endpoint: "tcp://carl:1", Connected: true, Err: errLate},
			{Endpoint: "tcp://dora:1", Err: errors.New("nobody is connected there")},
		}
		if n == 3 {
			answers[1] = watch.Answer{Endpoint: "tcp://ben:1", Err: errors.New("nobody is connected there")}
		}
		v = t.Note(noon.Add(time.Duration(n)*2*time.Second), answers)
	}
	return v
}

func TestTable(t *testing.T) {
	t.Parallel()
	for name, l := range map[string]watch.Layout{"table.txt": {}, "table-peers.txt": {Sort: "queue", Parts: true}} {
		var b strings.Builder
		require.NoError(t, watch.WriteTable(&b, rounds(), l))
		golden(t, name, b.String())
	}
}

// A process is up, then silent, then gone; it is forgotten after a while, and a new one at the same place is another.
func TestStates(t *testing.T) {
	t.Parallel()
	var tracker watch.Tracker
	at := noon
	state := func(answers ...watch.Answer) (states []string) {
		at = at.Add(time.Minute)
		for _, p := range tracker.Note(at, answers).Processes {
			states = append(states, strings.TrimSpace(p.Process.Name+" "+p.State))
		}
		return states
	}
	const ep = "tcp://anna:1"
	up := func(id string) watch.Answer {
		return watch.Answer{Endpoint: ep, Connected: true, Snapshot: monitor.Snapshot{Process: monitor.Process{ID: id, Name: "desk"}}}
	}
	absent := watch.Answer{Endpoint: ep, Err: errors.New("nobody is connected there")}
	silent := watch.Answer{Endpoint: ep, Connected: true, Err: errLate}
	assert.Equal(t, []string{"absent"}, state(absent))
	assert.Equal(t, []string{"silent"}, state(silent))
	assert.Equal(t, []string{"desk up"}, state(up("1")))
	assert.Equal(t, []string{"desk silent"}, state(silent))
	assert.Equal(t, []string{"desk up"}, state(up("1")))
	assert.Equal(t, []string{"desk gone"}, state(absent))
	assert.Equal(t, []string{"desk gone"}, state(), "its announcement ended")
	assert.ElementsMatch(t, []string{"desk gone", "desk up"}, state(up("2")))
	other := up("2")
	other.Endpoint = "tcp://127.0.0.1:1"
	assert.ElementsMatch(t, []string{"desk gone", "desk up"}, state(up("2"), other), "it is one, at two endpoints")
	at = at.Add(5 * time.Minute)
	assert.Equal(t, []string{"desk up"}, state(up("2")), "the first was gone for long enough")
}

// A counter that grew stands out for ten seconds, a queue as long as it grows; what falls or begins anew does not.
func TestWhatGotWorse(t *testing.T) {
	t.Parallel()
	var tracker watch.Tracker
	worse := func(second int, l monitor.Load, connected int) []string {
		at := noon.Add(time.Duration(second) * time.Second)
		s := monitor.Snapshot{Time: at, Process: monitor.Process{ID: "1"}, Sockets: []monitor.Socket{{Name: "a", Load: l, Connected: connected}}}
		return tracker.Note(at, []watch.Answer{{Endpoint: "x", Connected: true, Snapshot: s}}).Processes[0].Worse
	}
	assert.Empty(t, worse(0, monitor.Load{Drops: 5, QueueMessages: 7}, 2), "there is nothing to compare it with")
	assert.Equal(t, []string{"a queue", "a drops"}, worse(1, monitor.Load{Drops: 6, QueueMessages: 8}, 2))
	assert.Equal(t, []string{"a peers", "a drops"}, worse(2, monitor.Load{Drops: 6, QueueMessages: 8}, 1))
	assert.Equal(t, []string{"a drops"}, worse(10, monitor.Load{Drops: 6, QueueMessages: 1}, 1))
	assert.Empty(t, worse(11, monitor.Load{Drops: 6}, 1))
	assert.Empty(t, worse(12, monitor.Load{}, 1))
}

// What a stranger tells is bounded, can be written as JSON, and has nothing in it that controls a terminal.
func TestTame(t *testing.T) {
	t.Parallel()
	s := monitor.Snapshot{
		Time:    time.Date(100_000, 1, 1, 0, 0, 0, 0, time.UTC),
		Process: monitor.Process{ID: "1", Name: "\x1b[2Jdesk\u202e", Host: strings.Repeat("ä", 1000)},
		Sockets: make([]monitor.Socket, 1000),
	}
	s.Sockets[0].Dropped = map[string]uint64{"\n": 1}
	s.Sockets[0].Peers = []monitor.Peer{{RTT: infinity()}}
	watch.Tame(&s)
	assert.Equal(t, "\uFFFD[2Jdesk\uFFFD", s.Process.Name)
	assert.Equal(t, strings.Repeat("ä", 80), s.Process.Host)
	assert.Len(t, s.Sockets, 200)
	assert.Equal(t, map[string]uint64{"\uFFFD": 1}, s.Sockets[0].Dropped)
	_, err := json.Marshal(s)
	assert.NoError(t, err)
}

func infinity() float64 {
	zero := 0.0
	return 1 / zero
}
