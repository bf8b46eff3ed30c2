package socket

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var limitRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| `(With\\w+)` \\| ([^|]+) \\| ([^|]+) \\|$")

// The table of limits in SECURITY.md has each of them, with the default of the code and a refusal that there is.
func TestSecurityPage_Limits(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../SECURITY.md")
	require.NoError(t, err)
	rows := map[string][]string{}
	for _, m := range limitRow.FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = m[2:]
	}
	c := defaultConfig()
	orNone := func(n int) string { return strings.Replace(fmt.Sprint(n), "0", "none", 1) }
	for option, standard := range map[string]string{
		"WithHandshakeTimeout":     fmt.Sprintf("%s for who connects to us, %s where we connect", c.handshakeTime(false), c.handshakeTime(true)),
		"WithMaxHandshakes":        fmt.Sprint(c.maxHandshakes),
		"WithMaxHandshakeBytes":    fmt.Sprint(c.maxHandshakeBytes),
		"WithMaxProperties":        fmt.Sprintf("%d, %d", c.maxProperties, c.maxPropertyBytes),
		"WithMaxIdentity":          fmt.Sprint(c.maxIdentity),
		"WithMaxPeers":             fmt.Sprint(c.maxPeers),
		"WithMaxPeersPerAddress":   orNone(c.maxPeersEach),
		"WithMaxMessageSize":       fmt.Sprint(c.maxMessageSize),
		"WithMaxFrameSize":         orNone(c.maxFrameSize),
		"WithMaxFrames":            fmt.Sprint(c.maxFrames),
		"WithRecvHWM":              fmt.Sprint(c.recvHWM),
		"WithRecvHWMBytes":         fmt.Sprint(c.recvHWMBytes),
		"WithSendHWM":              fmt.Sprint(c.sendHWM),
		"WithSendHWMBytes":         fmt.Sprint(c.sendHWMBytes),
		"WithMaxSubscriptions":     fmt.Sprint(c.maxSubscriptions),
		"WithMaxDurables":          fmt.Sprint(c.maxDurables),
		"WithMaxTopic":             fmt.Sprint(c.maxTopic),
		"WithMaxSubscriptionBytes": fmt.Sprint(c.maxSubscriptionBytes),
		"WithMaxPings":             fmt.Sprint(c.maxPings),
		"WithHeartbeat":            fmt.Sprintf("%s, asked every %s", c.pingTimeout, c.pingInterval),
	} {
		if assert.Contains(t, rows, option) {
			assert.Equal(t, standard, rows[option][0], option)
			refusal := rows[option][1]
			assert.True(t, strings.HasPrefix(refusal, "(") || strings.Contains(strings.Join(refusalNames[1:], "|"), refusal), "%s: no refusal %q", option, refusal)
		}
		delete(rows, option)
	}
	assert.Empty(t, rows, "options that the test does not know")
	for name := range exportedFuncs(t) {
		if strings.HasPrefix(name, "WithMax") {
			assert.Contains(t, string(page), "`"+name+"`")
		}
	}
}

// Every refusal has a name of its own.
func TestRefusal_Names(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for r := Refusal(1); r < refusals; r++ {
		require.NotEqual(t, "?", r.String())
		require.False(t, seen[r.String()], r.String())
		seen[r.String()] = true
	}
	require.Equal(t, "?", refusals.String())
	require.Equal(t, "?", Refusal(0).String())
}
