package socket_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/meshmq/meshmq/socket"
)

// What an old peer claims is held against the same limits as everybody's, before anything is kept for it.
func TestOldPeers_AreBounded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ version, wire, reason string }{
		"1.0 claim of 2^62":    {"1.0", "\xff\x40\x00\x00\x00\x00\x00\x00\x00\x00x", "too large"},
		"1.0 claim of 2^63":    {"1.0", "\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00x", "2^63-1"},
		"1.0 long zero":        {"1.0", "\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00x", "zero"},
		"1.0 many frames":      {"1.0", strings.Repeat("\x01\x01", 65<<10), "frames"},
		"1.0 frames too large": {"1.0", message("1.0", strings.Repeat("x", 900), strings.Repeat("y", 200)), "too large"},
		"2.0 claim of 2^62":    {"2.0", "\x02\x40\x00\x00\x00\x00\x00\x00\x00x", "too large"},
		"2.0 reserved bit":     {"2.0", "\x08\x00", "reserved"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pull := socket.NewPull(socket.WithMaxMessageSize(1000))
			await := watch(t, pull)
			p := meetOld(t, pull, c.version, "binds", "PUSH")
			p.Write([]byte(message(c.version, "good") + c.wire))
			requireMsg(t, recv(t, pull), "good")
			assert.ErrorContains(t, await(socket.Disconnected).Err, c.reason)
			p.ExpectClosed()
		})
	}
}

// Nothing but zeros is no frame at all, and keeps nobody.
func TestOldPeers_ZerosAreNothing(t *testing.T) {
	t.Parallel()
	pull := socket.NewPull()
	p := meetOld(t, pull, "1.0", "binds", "PUSH")
	p.Write(make([]byte, 1<<20))
	p.Write([]byte(message("1.0", "behind")))
	requireMsg(t, recv(t, pull), "behind")
}
