//go:build linux || darwin

package socket_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// windowSteps are what a call to the disk of a window may be part of, by a function that is then on its stack. Those of marking are the write of some marks and its sync, in turn.
var windowSteps = map[string]string{
	"opening": "spool.openLog(", "marking": "spool.(*Window).Mark(", "turning": "spool.(*Log).turnTo(", "dropping": "spool.(*Log).drop(", "closing": "spool.(*Log).Close(",
}

// stepDisk is a directory. The process is killed at one of the calls of a step: before it, or when half is written.
type stepDisk struct {
	dir   string
	mu    sync.Mutex // guards calls
	calls map[string]int
	step  string
	at    int
}

// call runs first, if that is given, where the process is killed.
func (d *stepDisk) call(first func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stack := string(debug.Stack())
	for step, function := range windowSteps {
		if !strings.Contains(stack, function) {
			continue
		}
		if d.calls[step]++; step == d.step && d.calls[step] == d.at {
			if first != nil {
				first()
			}
			die()
		}
	}
}

func (d *stepDisk) in(name string) string { return filepath.Join(d.dir, name) }

func (d *stepDisk) Open(name string, flag int) (spool.File, error) {
	d.call(nil)
	f, err := os.OpenFile(d.in(name), flag, 0o600)
	return stepFile{f, d}, err
}

func (d *stepDisk) Rename(oldname, newname string) error {
	d.call(nil)
	return os.Rename(d.in(oldname), d.in(newname))
}

func (d *stepDisk) Remove(name string) error {
	d.call(nil)
	return os.Remove(d.in(name))
}

func (d *stepDisk) List(dir string) (names []string, err error) {
	d.call(nil)
	entries, err := os.ReadDir(d.in(dir))
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if os.IsNotExist(err) {
		err = nil
	}
	return names, err
}

// Sync need do nothing for what is killed alone.
func (d *stepDisk) Sync(string) error {
	d.call(nil)
	return nil
}

type stepFile struct {
	*os.File
	d *stepDisk
}

func (f stepFile) WriteAt(b []byte, off int64) (int, error) {
	f.d.call(func() { _, _ = f.File.WriteAt(b[:len(b)/2], off) })
	return f.File.WriteAt(b, off)
}

func (f stepFile) Truncate(size int64) error {
	f.d.call(nil)
	return f.File.Truncate(size)
}

func (f stepFile) Allocate(size int64) error {
	if now, err := f.Size(); err != nil || now >= size {
		return err
	}
	return f.Truncate(size)
}

func (f stepFile) Sync() error {
	f.d.call(nil)
	return nil
}

func (f stepFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// killStepping is a receiver with a window that is killed at a call to the disk. One that is not goes on until its input ends, and tells then how many calls there were.
func killStepping(t *testing.T, w way, dir, endpoint, step, at string) {
	ctx := untilInputEnds(t)
	n, err := strconv.Atoi(at)
	require.NoError(t, err)
	disk := &stepDisk{dir: dir, calls: map[string]int{}, step: step, at: n}
	window, err := spool.OpenWindowFS(disk, spool.WindowOptions{Count: 4 * killCredit, SegmentSize: smallSpool.SegmentSize})
	require.NoError(t, err)
	s := w.receiver(socket.WithManualAck(), socket.WithAckCredit(killCredit, 1<<20), sluggish(), socket.WithWindowOn(teller{window}), swift())
	require.NoError(t, s.Connect(endpoint))
	for m, err := range s.Messages(ctx) {
		if err != nil {
			break
		}
		number, life, whole := openLetterOf(m)
		require.True(t, whole)
		say("handled", number, life, lifeOf(m))
		require.NoError(t, m.Ack())
	}
	require.NoError(t, s.Close())
	require.NoError(t, window.Close())
	for step, n := range disk.calls {
		say(step, uint64(n))
	}
}

// Rows 2 and 5 of the fault plan, with a window: a receiver is killed at calls to the disk of its window: within the write of marks, between that and the next, while the window turns, forgets, is opened and
// closed. Nothing is handled again that was marked, and of all else no more than the credit.
func TestWindow_KillAtEveryStep(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, name string, w way) {
		dir, o, n := t.TempDir(), newOracle(t), kills(2*len(windowSteps))
		window := filepath.Join(dir, "window")
		require.NoError(t, os.Mkdir(window, 0o700))
		s := w.open(t, filepath.Join(dir, "spool"))
		closing(t, s)
		endpoint := bind(t, s, "tcp://127.0.0.1:0")
		calls, hit, sent := map[string]int{}, map[string]int{}, uint64(0)
		hear := func(l line) {
			if o.hear(l); windowSteps[l.word] != "" {
				calls[l.word] = int(l.n[0])
			}
		}
		const each = 1500 // marks fill a segment
		run := func(step string, at int) (killed bool) {
			for range each {
				sent++
				_, err := s.Enqueue(limit(t), letter(sent, 0))
				require.NoError(t, err)
			}
			require.NoError(t, s.Flush(limit(t)))
			o.hear(line{"receipt", []uint64{sent}})
			receiver, left := startChild(t, "step", name, window, endpoint, step, fmt.Sprint(at)), each
			err := receiver.rest(func(l line) {
				if hear(l); l.word != "handled" {
					return
				}
				if left--; left == 0 {
					require.NoError(t, receiver.in.Close())
				}
			})
			if err != nil {
				require.ErrorContains(t, err, "killed")
			}
			s.waitAlone(t)
			o.costs(killCredit, "a kill")
			return err != nil
		}
		require.False(t, run("", 0), "one that nobody kills says how many calls there are")
		steps := slices.Sorted(maps.Keys(windowSteps))
		for i := range n {
			step, nth, of := steps[i%len(steps)], i/len(steps), (n+len(steps)-1)/len(steps)
			if run(step, 1+nth*calls[step]/of) {
				hit[step]++
			}
		}
		for _, step := range steps {
			assert.Positive(t, hit[step], "%s was not hit", step)
		}
		last := startChild(t, "step", name, window, endpoint, "", "0")
		told := last.listen(hear)
		for settled := floorOf(s.log); settled < sent; settled = floorOf(s.log) { // those that were killed left much, which takes long on a busy machine
			require.Eventually(t, func() bool { return floorOf(s.log) > settled }, sockettest.Timeout, time.Millisecond)
		}
		require.NoError(t, s.waitSettled(limit(t), sent))
		last.end(t, hear)
		<-told
		o.check(n * killCredit)
		t.Logf("killed %v", hit)
		require.NoError(t, s.Shutdown(limit(t)))
		w.requireDrained(t, filepath.Join(dir, "spool"))
		requireSound(t, window)
	})
}
