package socket

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

func TestDenials(t *testing.T) {
	t.Parallel()
	d := newDenials(2, time.Minute)
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip)} }
	now := time.Unix(1000, 0)
	d.add(at("10.0.0.1"), now)
	assert.NoError(t, d.check(at("10.0.0.1"), now))
	d.add(at("::ffff:10.0.0.1"), now.Add(time.Second))
	assert.Error(t, d.check(at("10.0.0.1"), now.Add(time.Second)))
	assert.NoError(t, d.check(at("10.0.0.2"), now.Add(time.Second)))
	assert.Error(t, d.check(at("10.0.0.1"), now.Add(59*time.Second)))
	assert.NoError(t, d.check(at("10.0.0.1"), now.Add(time.Minute)), "the period is over")
	d.add(at("10.0.0.1"), now.Add(time.Minute))
	assert.NoError(t, d.check(at("10.0.0.1"), now.Add(time.Minute)), "counting begins anew")

	d.add(at("fd00::1"), now)
	d.add(at("fd00::2"), now)
	assert.Error(t, d.check(at("fd00::3"), now), "a network of IPv6 is one")
	assert.NoError(t, d.check(at("fd00:0:0:1::1"), now))
	local := &net.UnixAddr{Net: "unix"}
	d.add(local, now)
	d.add(local, now)
	assert.NoError(t, d.check(local, now))
	assert.NoError(t, (*denials)(nil).check(at("10.0.0.1"), now))

	for i := range maxTallies + 100 {
		d.add(&net.TCPAddr{IP: net.IPv4(11, byte(i>>16), byte(i>>8), byte(i))}, now.Add(2*time.Minute))
	}
	assert.LessOrEqual(t, len(d.of), maxTallies)
}

func TestReloaded(t *testing.T) {
	t.Parallel()
	state, value, loads := "1", "a", 0
	var failure error
	var reported []string
	r := &reloaded[string]{
		state:  func() (string, error) { return state, nil },
		load:   func() (string, error) { loads++; return value, failure },
		report: func(err error) { reported = append(reported, err.Error()) },
	}
	assert.NoError(t, r.open())
	now := r.looked
	get := func() string { v, _ := r.get(now); return v }
	state, value = "2", "b"
	assert.Equal(t, "a", get(), "too soon")
	now = now.Add(reloadEvery)
	assert.Equal(t, "b", get())
	now = now.Add(reloadEvery)
	assert.Equal(t, "b", get())
	assert.Equal(t, 2, loads, "nothing had changed")
	state, failure = "3", assert.AnError
	for range 3 {
		now = now.Add(reloadEvery)
		v, err := r.get(now)
		assert.Equal(t, "b", v)
		assert.ErrorIs(t, err, assert.AnError)
	}
	assert.Equal(t, []string{assert.AnError.Error()}, reported, "once")
	failure, value = nil, "c"
	_, err := r.get(now)
	assert.Error(t, err, "too soon to know better")
	now = now.Add(reloadEvery)
	assert.Equal(t, "c", get())
}

// Any answer of a handler that is not as RFC 27 has it is an error, which is no yes.
func FuzzZAPReply(f *testing.F) {
	ready := []byte("\x06X-Role\x00\x00\x00\x05admin")
	f.Add([]byte{}, []byte("1.0"), []byte("7"), []byte("200"), []byte("OK"), []byte("joe"), ready, uint8(7))
	f.Add([]byte{}, []byte("1.0"), []byte("7"), []byte("400"), []byte("no\x1b"), []byte("joe"), ready, uint8(7))
	f.Add([]byte("x"), []byte("2.0"), []byte("70"), []byte("200\n"), []byte("OK"), []byte("joe"), ready[:9], uint8(9))
	f.Fuzz(func(t *testing.T, empty, version, id, status, text, user, metadata []byte, n uint8) {
		frames := append([][]byte{empty, version, id, status, text, user, metadata}, make([][]byte, 9)...)[:n%16]
		v, err := zapReply([]byte("7"), frames)
		right := n%16 == 7 && len(empty) == 0 && string(version) == "1.0" && string(id) == "7" && len(user) <= 255
		yes := right && string(status) == "200" && err == nil
		require.Equal(t, yes, err == nil && v.Decision == Allow)
		if err != nil {
			require.False(t, strings.ContainsFunc(err.Error(), func(r rune) bool { return !strconv.IsPrint(r) }), "%q", err)
			return
		}
		require.True(t, right)
		require.True(t, isZAPString([]byte(v.Reason)))
		if yes {
			require.Equal(t, string(user), v.UserID)
			require.Equal(t, string(metadata), string(zmtp.AppendMetadata(nil, v.Metadata)))
		}
	})
}

// Whoever is in a file of passwords comes in with what stands there, and with nothing else.
func FuzzPasswordFile(f *testing.F) {
	f.Add([]byte("# who may come in\n\njoe:secret:with colon\r\nann:other"), "joe", "other")
	f.Add([]byte("joe:secret\njoe:secret\n"), "joe", "secret")
	f.Add([]byte("joe\n"), "", "")
	f.Fuzz(func(t *testing.T, text []byte, user, password string) {
		users, err := parsePasswords(text)
		if err != nil {
			require.Nil(t, users)
			require.NotContains(t, err.Error(), "\n")
			return
		}
		stands := map[string]string{}
		for _, line := range strings.Split(string(text), "\n") {
			if name, secret, found := strings.Cut(strings.TrimSuffix(line, "\r"), ":"); found && line[0] != '#' && strings.TrimSpace(line) != "" {
				stands[name] = secret
			}
		}
		require.Len(t, users, len(stands))
		for name, secret := range stands {
			v := users.verdict(Request{Mechanism: "PLAIN", User: name, Password: secret})
			require.Equal(t, Verdict{Decision: Allow, UserID: name}, v)
			require.Equal(t, Deny, users.verdict(Request{Mechanism: "CURVE", User: name, Password: secret}).Decision)
		}
		secret, known := stands[user]
		v := users.verdict(Request{Mechanism: "PLAIN", User: user, Password: password})
		require.Equal(t, known && secret == password, v.Decision == Allow)
	})
}
