//go:build linux || darwin

package spool_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

const (
	killDir    = "MESHMQ_SPOOL_KILL_DIR"
	killPolicy = "MESHMQ_SPOOL_KILL_POLICY"
)

// TestKillChild is the process that TestKill kills: it tells the number of each message that is confirmed.
func TestKillChild(t *testing.T) {
	dir := os.Getenv(killDir)
	if dir == "" {
		t.Skip("runs as the child of TestKill")
	}
	policy, err := strconv.Atoi(os.Getenv(killPolicy))
	require.NoError(t, err)
	o := small
	o.Policy = spool.Policy(policy)
	l, err := spool.Open(dir, o)
	require.NoError(t, err)
	for from := l.Next(); ; from += 8 {
		for i := range 8 {
			_, err := l.Enqueue(context.Background(), body(from+uint64(i), 300))
			require.NoError(t, err)
		}
		require.NoError(t, l.Wait(context.Background(), from+7))
		if from > 500 {
			require.NoError(t, l.Queue().Ack(1, from-500))
		}
		fmt.Println(from + 7)
	}
}

// TestKill ends a process that writes, or that opens the spool, with SIGKILL, again and again, and looks for what
// it had been promised: the end of a process takes nothing that the system has, whatever the policy. MESHMQ_KILLS says how often; 5 times without it.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, policy := range []spool.Policy{spool.Always, spool.Interval, spool.OS} {
		t.Run(policy.String(), func(t *testing.T) {
			t.Parallel()
			killAgainAndAgain(t, policy)
		})
	}
}

func killAgainAndAgain(t *testing.T, policy spool.Policy) {
	t.Helper()
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("MESHMQ_KILLS")); err == nil {
		kills = n
	}
	dir, confirmed := filepath.Join(t.TempDir(), "spool"), uint64(0)
	for i := range kills {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKillChild$")
		cmd.Env = append(os.Environ(), killDir+"="+dir, killPolicy+"="+strconv.Itoa(int(policy)))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines, enough := bufio.NewScanner(out), i*37%150
		limit := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
		for n := 0; n < enough && lines.Scan(); n++ {
			last, err := strconv.ParseUint(lines.Text(), 10, 64)
			require.NoError(t, err, lines.Text())
			confirmed = last
		}
		require.NoError(t, cmd.Process.Kill())
		for lines.Scan() { // what it still said
			if last, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
				confirmed = max(confirmed, last)
			}
		}
		require.Error(t, cmd.Wait())
		require.True(t, limit.Stop(), "the child was too slow")

		if _, err := os.Stat(dir); err != nil {
			continue // killed before it had begun
		}
		l, err := spool.Open(dir, small)
		require.NoError(t, err)
		require.Empty(t, l.Recovery().Damage)
		numbers, gaps := read(t, l.Queue().Reader(), 300)
		require.Empty(t, gaps)
		require.Equal(t, fromTo(l.Queue().Floor()+1, l.Next()-1), numbers)
		require.GreaterOrEqual(t, l.Next(), confirmed+1)
		require.NoError(t, l.Close())
	}
	require.NotZero(t, confirmed)
}
