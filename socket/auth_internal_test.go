package socket

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
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

	for i := range 3 * maxTallies {
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
