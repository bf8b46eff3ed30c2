package socket_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// attacks are all that were thought of against a library like this one, from the flaws of others and the formats that are read. Each has a test, by its number
// in this package or by name in another, or a reason why there is none.
var attacks = [...]struct{ what, tests, reason string }{
	1:  {"connect and say nothing", "", ""},
	2:  {"a greeting of one octet a second", "", ""},
	3:  {"5,000 handshakes begun from one address", "", ""},
	4:  {"garbage in place of a greeting", "", ""},
	5:  {"ZMTP 1.0 or 2.0 where there is a mechanism", "", ""},
	6:  {"another mechanism", "", ""},
	7:  {"the same side of a mechanism", "", ""},
	8:  {"lengths of 2^63, 2^62, 2^48, 2^31 and one too many", "", ""},
	9:  {"the largest length, ten octets and then nothing", "", ""},
	10: {"reserved flags", "", ""},
	11: {"MORE on a command, commands inside a message", "", ""},
	12: {"frames without end", "", ""},
	13: {"READY with lengths that lie", "", ""},
	14: {"10,000 properties, or one twice", "", ""},
	15: {"READY twice", "", ""},
	16: {"socket types that do not fit, or are control characters", "", ""},
	17: {"identities that are too long, reserved or taken", "", ""},
	18: {"PING too long, too often; PONG for nothing", "", ""},
	19: {"topics of 16 MiB, and their cancellation", "", ""},
	20: {"subscriptions without end", "", ""},
	21: {"cancellations of what was not subscribed to", "", ""},
	22: {"subscriptions of ZMTP 3.0 in odd forms", "", ""},
	23: {"messages to those who receive none", "", ""},
	24: {"malformed CURVE HELLO", "", ""},
	25: {"CURVE cookies and INITIATE used again", "", ""},
	26: {"CURVE INITIATE of 64 KiB", "", ""},
	27: {"CURVE nonces again or lower, a flipped bit", "", ""},
	28: {"a ZAP handler that is silent, wrong or says too much", "socket/conformance TestBehaviour90", ""},
	29: {"TLS: expired, of another authority or name, none, 1.1", "socket TestTLS", ""},
	30: {"compressed frames that grow", "", "nothing is compressed, neither frames nor WebSocket messages"},
	31: {"msgpack that claims 2^32 elements, nests 10,000 deep, repeats keys", "codec TestScanRefusesHostile, codec TestMsgpackRefusesHostile", ""},
	32: {"nesting a million deep", "codec TestScanLimits", ""},
	33: {"acknowledgements that lie", "socket/internal/link TestRetain_FalseTags, socket TestSpool_HostileReceivers, socket TestDurable_LyingSubscribers, socket TestAck_HostileSender", ""},
	34: {"credits that overflow", "transport/zmtp TestTranscripts, socket TestAck_Floods, socket TestSpool_HostileReceivers, socket TestDurable_LyingSubscribers", ""},
	35: {"replay from where nothing is", "socket TestDurable_HostileSubscribers, socket TestDurable_SaysWhatIsGone", ""},
	36: {"a million different ids, and ten by make faults, one of a mebibyte, one that two messages have", "socket TestWindow_ClonedSpool, socket/spool TestWindowKnowsWhatWasHandled", ""},
	37: {"names of spools that lead elsewhere", "socket/spool TestNamesThatAreRefused, socket/spool TestPathsThatAreRefused", ""},
	38: {"spool directories that are links, or others'", "socket/spool TestDirectoriesThatAreRefused", ""},
	39: {"damaged segments", "socket/spool TestEveryBit, socket/spool TestDamagedDirectory", ""},
	40: {"two processes on one spool", "socket/spool TestInspectWhileInUse", ""},
	41: {"mDNS: forged, endless, looping, too large, from elsewhere", "discovery/mdns TestHostilePackets, discovery/mdns TestParseHostile, discovery/mdns TestCacheBounds, discovery/mdns TestReaches", ""},
	42: {"forged membership", "", "there is no gossip yet"},
	43: {"a peer that reads nothing", "socket TestCredit_SlowOnesTakeNothingFromOthers, socket TestCredit_MemoryIsBounded, socket TestDurable_SlowOnesHoldUpNobody", ""},
	44: {"resets behind every octet of a message", "", ""},
	45: {"a message that has the handler panic", "patterns/pushpull TestFailuresAreReportedAndEndNothing, patterns/pushpull TestFault29_PoisonAmongMany", ""},
	46: {"the clock jumps", "socket/spool TestClockJumps, patterns/pushpull TestFault42_DelayedMessagesDoNotJump", ""}, // and all that waits for a time: make clocks
}

var testFunc = regexp.MustCompile(`(?m)^func (Test\w+)\(`)

// testsIn returns the names of the tests in a folder of the module.
func testsIn(t *testing.T, folder string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", folder, "*_test.go"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range testFunc.FindAllStringSubmatch(string(b), -1) {
			names = append(names, m[1])
		}
	}
	return names
}

func TestAttacks_AreAllPlayed(t *testing.T) {
	t.Parallel()
	own, others := testsIn(t, "socket"), map[string][]string{}
	have := func(names []string, start string) bool {
		for _, n := range names {
			if strings.HasPrefix(n, start) {
				return true
			}
		}
		return false
	}
	for n, a := range attacks {
		if n == 0 {
			continue
		}
		numbered := have(own, fmt.Sprintf("TestAttack%02d_", n))
		assert.False(t, numbered && a.reason != "", "%d has a test, and a reason to have none", n)
		assert.True(t, numbered || a.tests != "" || a.reason != "", "%d, %s: no test and no reason", n, a.what)
		for _, test := range strings.Split(a.tests, ", ") {
			if folder, name, ok := strings.Cut(test, " "); ok {
				if others[folder] == nil {
					others[folder] = testsIn(t, folder)
				}
				assert.True(t, have(others[folder], name), "%d: there is no %s in %s", n, name, folder)
			}
		}
	}
}
