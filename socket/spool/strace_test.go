//go:build linux

package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
)

const straceDir = "MESHMQ_SPOOL_STRACE_DIR"

// Three messages fill a segment, so that the calls that turn to the next one are made often: strace counts the calls of each thread for itself, and one of them
// must get to the place where they are to fail.
const straceSize, straceCount = 20_000, 200

// TestStraceChild appends until that fails and says what was confirmed, and that the failure is for good unless there is no room.
func TestStraceChild(t *testing.T) {
	dir := os.Getenv(straceDir)
	if dir == "" {
		t.Skip("runs as the child of TestStrace")
	}
	o := small
	o.Full = spool.Reject
	l, err := spool.Open(dir, o)
	if err != nil {
		fmt.Println("not opened")
		return
	}
	for n := range uint64(straceCount) {
		_, err := l.Append(t.Context(), body(n+1, straceSize))
		if errors.Is(err, spool.ErrFull) {
			break
		} else if err != nil {
			_, again := l.Append(t.Context(), body(n+1, straceSize))
			fmt.Println("failed", assert.ErrorIs(t, again, spool.ErrFailed))
			break
		}
		fmt.Println("sent", n+1)
	}
	_ = l.Close()
}

// TestStrace lets calls of the system fail, at each of the first few places, once and for good: what was confirmed is
// there afterwards. Each case checks that a call did fail.
func TestStrace(t *testing.T) {
	places := []string{"2", "3", "5", "8", "5+"}
	switch os.Getenv("MESHMQ_STRACE") {
	case "":
		t.Skip("needs strace: make faults-strace")
	case "few":
		places = []string{"3", "5+"}
	}
	for _, call := range []string{"fdatasync", "fsync", "pwrite64", "ftruncate", "fallocate", "/^renameat", "openat"} {
		for _, fault := range []string{"error=EIO", "error=ENOSPC", "error=EINTR"} {
			for _, when := range places {
				if fault == "error=EINTR" && strings.HasSuffix(when, "+") {
					continue // again for ever
				}
				t.Run(call+" "+fault+" when "+when, func(t *testing.T) {
					straced(t, fmt.Sprintf("inject=%s:%s:when=%s", call, fault, when), call)
				})
			}
		}
	}
}

func straced(t *testing.T, inject, call string) {
	dir, trace := filepath.Join(t.TempDir(), "spool"), filepath.Join(t.TempDir(), "trace")
	l, err := spool.Open(dir, small) // else most of what fails is the making
	require.NoError(t, err)
	require.NoError(t, l.Close())
	args := []string{"-f", "-qq", "-o", trace, "-e", "trace=" + call, "-e", inject}
	if call == "openat" { // of other files the process may not do without
		args = append(args, "-P", dir)
	}
	cmd := exec.Command("strace", append(args, os.Args[0], "-test.run=^TestStraceChild$")...)
	cmd.Env = append(os.Environ(), straceDir+"="+dir)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	_ = cmd.Run() // what it says counts
	require.Contains(t, said.String(), "PASS", "the child did not end as it should: %s", &said)
	require.NotContains(t, said.String(), "failed false")
	made, err := os.ReadFile(trace)
	require.NoError(t, err)
	require.Contains(t, string(made), "(INJECTED)", "no call failed")
	if call == "fdatasync" && !strings.Contains(inject, "EINTR") {
		require.Regexp(t, "failed true|not opened", said.String(), "a failed sync was passed over")
	}
	sent := regexp.MustCompile(`(?m)^sent (\d+)$`).FindAllStringSubmatch(said.String(), -1)
	if strings.Contains(inject, "EINTR") && call != "/^renameat" { // which may have been done, and so ends it
		require.Len(t, sent, straceCount, "a signal ended it: %s", &said)
	}

	report, err := spool.Verify(dir)
	require.NoError(t, err)
	require.Empty(t, report.Damage)
	l, err = spool.Open(dir, small)
	require.NoError(t, err)
	defer l.Close()
	numbers, gaps := read(t, l.Queue().Reader(), straceSize)
	require.Empty(t, gaps)
	require.GreaterOrEqual(t, len(numbers), len(sent), "messages were confirmed and are lost")
}
