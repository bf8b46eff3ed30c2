package spool_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket/spool"
	"github.com/meshmq/meshmq/socket/spool/spooltest"
)

// TestRepairInterrupted ends the context before each call: Verify and Repair then say so, unless they were at their end, and a file is as it was, or repaired and put aside.
func TestRepairInterrupted(t *testing.T) {
	t.Parallel()
	for name, sick := range ailing(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := &spooltest.Faulty{FS: sick.FS.(*spooltest.Mem).Crash(nil), Unreadable: sick.Unreadable}
			_, err := spool.RepairFS(whole)
			require.NoError(t, err)
			want, _ := read(t, open(t, whole.FS, small).Queue().Reader(), damageBody)
			interrupted := 0
			for call := int64(1); ; call++ {
				ctx, cancel := context.WithCancel(t.Context())
				disk := sick.FS.(*spooltest.Mem).Crash(nil)
				before := files(t, disk)
				fs := &spooltest.Faulty{FS: disk, Unreadable: sick.Unreadable, Before: func(n int64, _, _ string) error {
					if n == call {
						cancel()
					}
					return nil
				}}
				_, err := spool.VerifyFSContext(ctx, fs)
				if err != nil {
					require.ErrorIs(t, err, context.Canceled, "call %d", call)
					interrupted++
				}
				require.Equal(t, before, files(t, disk))
				ended := fs.Calls() < call
				cancel()

				ctx, cancel = context.WithCancel(t.Context())
				start := fs.Calls()
				fs.Before = func(n int64, _, _ string) error {
					if n == start+call {
						cancel()
					}
					return nil
				}
				if _, err = spool.RepairFSContext(ctx, fs); err != nil {
					require.ErrorIs(t, err, context.Canceled, "call %d", call)
					interrupted++
				}
				asItWasOrRepaired(t, before, files(t, disk), "")
				cancel()
				_, err = spool.RepairFS(&spooltest.Faulty{FS: disk, Unreadable: sick.Unreadable})
				require.NoError(t, err)
				require.Equal(t, uint64(len(want)), open(t, disk.Crash(nil), small).Queue().Pending(), "call %d", call)
				if ended && fs.Calls() < start+call {
					break
				}
			}
			require.Greater(t, interrupted, 20)
		})
	}
}
