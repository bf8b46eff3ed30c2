package socket

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport"
)

// let is what a newcomer was told.
type let struct {
	from    string
	g, gone *guest
	err     error
}

// doorkeeper is a door and what newcomers are told there.
type doorkeeper struct {
	*door
	told chan let
}

func keep(cfg limitConfig) doorkeeper {
	return doorkeeper{&door{cfg: &cfg}, make(chan let, 10_000)}
}

// come has somebody come from an address, and be silent once it is in.
func (k doorkeeper) come(from string) {
	k.door.come(&newcomer{conn: comer{from: from}, let: func(g, gone *guest, err error) {
		k.listen(g, true)
		k.told <- let{from, g, gone, err}
	}})
}

// of counts an address's guests, and all who wait.
func (k doorkeeper) of(from string) (inside, waiting int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.guests[originOf(comer{from: from}.RemoteAddr())]), k.waits
}

// pass has the next one in finish its handshake. Tests call it in a bubble, where nobody becomes late meanwhile.
func (k doorkeeper) pass(t *testing.T) (from string) {
	t.Helper()
	require.NotEmpty(t, k.told)
	l := <-k.told
	require.NoError(t, l.err)
	require.NoError(t, k.door.pass(l.g, nil))
	return l.from
}

// A fleet behind one address of another host is let in as it gets on: nobody is refused, or gives way.
func TestCrowd_OfOneAddress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(defaultLimits())
		const fleet = 4000
		for range fleet {
			k.come("192.0.2.1")
		}
		require.Equal(t, k.cfg.maxHandshakes, k.count)
		require.Equal(t, fleet-k.cfg.maxHandshakes, k.waits)
		for i := range fleet {
			l := <-k.told
			require.NoError(t, l.err)
			require.Nil(t, l.gone)
			if i%10 == 0 {
				k.leave(l.g) // it fails
			} else {
				require.NoError(t, k.door.pass(l.g, nil))
			}
		}
		assert.Zero(t, k.waits)
		assert.Empty(t, k.waiting)
		assert.Equal(t, fleet*9/10, k.inside)
	})
}

// Whoever comes with many connections has nobody else wait for more than one of them.
func TestCrowd_AddressesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(limitConfig{maxHandshakes: 2})
		k.come("10.0.0.1")
		k.come("10.0.0.2")
		for range 10 {
			k.come("10.0.0.1")
		}
		k.come("10.0.0.3")
		k.come("10.0.0.3")
		k.come("10.0.0.4")
		require.Equal(t, 13, k.waits)
		var order []string
		for range 6 {
			order = append(order, k.pass(t))
		}
		assert.Equal(t, []string{"10.0.0.1", "10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.4", "10.0.0.1"}, order, "two were in, and each pass lets one in")
	})
}

// Nobody is passed over, however many addresses wait, and however many places there are.
func TestCrowd_EveryAddressHasItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ addresses, places int }{{17, 16}, {51, 16}, {100, 32}, {100, 64}, {1000, 256}} {
			k := keep(limitConfig{maxHandshakes: c.places})
			for range c.places {
				k.come("192.0.2.1")
			}
			address := func(i int) string { return fmt.Sprintf("10.0.%d.%d", i/250, i%250+1) }
			for i := range 3 * c.addresses {
				k.come(address(i % c.addresses))
			}
			for range c.places {
				k.pass(t)
			}
			served := map[string]int{}
			for range 2 * c.addresses {
				from := k.pass(t)
				served[from]++
				k.come(from)
			}
			for i := range c.addresses {
				assert.Equal(t, 2, served[address(i)], "%s of %d, %d places", address(i), c.addresses, c.places)
			}
			k.clock.Stop()
		}
	})
}

// When as many wait as may, the newest of the address of which the most do is refused: it does not come before those, and nobody gives way to it.
func TestCrowd_OfTooManyTheNewestIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(limitConfig{maxHandshakes: 8})
		for range 8 {
			k.come("10.0.0.2")
		}
		time.Sleep(20 * time.Millisecond) // so that their grace ends between two looks at who is late
		for range 8 * crowdOfPlace {
			k.come("10.0.0.1")
		}
		for _, later := range []time.Duration{0, 990 * time.Millisecond} {
			time.Sleep(later)
			for len(k.told) > 0 {
				<-k.told
			}
			k.door.come(&newcomer{conn: comer{from: "10.0.0.1"}, let: func(g, gone *guest, err error) { k.told <- let{"the newest", g, gone, err} }})
			for len(k.told) > 0 {
				if l := <-k.told; l.from == "the newest" {
					assert.ErrorIs(t, l.err, errTooManyHandshakes)
					assert.Nil(t, l.gone)
				}
			}
		}
		k.clock.Stop()
	})
}

// Peers of an address that are slow, or silent, make room for others when no place has become free, and leave those that do to them.
func TestCrowd_TheFewestInsideAreNext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(limitConfig{maxHandshakes: 4})
		for range 8 {
			k.come("10.0.0.1") // and says nothing
		}
		for range 4 {
			<-k.told
		}
		for range 8 {
			k.come("10.0.0.2")
		}
		require.Empty(t, k.told, "of a crowd that gets on somebody is done soon")
		time.Sleep(2*crowdTick + 1)
		inside, _ := k.of("10.0.0.1")
		require.Equal(t, 2, inside)
		for range 8 {
			require.Equal(t, "10.0.0.2", k.pass(t))
		}
		inside, _ = k.of("10.0.0.1")
		assert.Equal(t, 4, inside)
		for waiting := 1; waiting > 0; _, waiting = k.of("10.0.0.1") {
			time.Sleep(time.Second)
		}
	})
}

// A crowd of one address that gets on loses nobody to another.
func TestCrowd_GivesNobodyUpForAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(limitConfig{maxHandshakes: 4})
		for range 20 {
			k.come("10.0.0.1")
		}
		for range 4 {
			k.come("10.0.0.2")
		}
		for range 24 {
			time.Sleep(crowdTick / 5)
			l := <-k.told
			require.NoError(t, l.err)
			require.Nil(t, l.gone)
			require.NoError(t, k.door.pass(l.g, nil))
		}
	})
}

// Who waits comes in when somebody has had its grace, and is refused when it has waited for as long as a handshake may take.
func TestCrowd_WaitsForTheLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(limitConfig{maxHandshakes: 2})
		began := time.Now()
		for range 7 {
			k.come("10.0.0.1")
		}
		first := [2]let{<-k.told, <-k.told}
		for _, out := range first {
			l := <-k.told
			require.NoError(t, l.err)
			assert.Same(t, out.g, l.gone)
		}
		assert.Equal(t, handshakeGrace, time.Since(began))
		for _, g := range k.guests[originOf(comer{from: "10.0.0.1"}.RemoteAddr())] {
			k.listen(g, false) // it is our turn from now on
		}
		for range 3 {
			assert.ErrorIs(t, (<-k.told).err, errTooManyHandshakes)
		}
		assert.Equal(t, acceptedHandshake, time.Since(began))
		time.Sleep(time.Hour)
		_, waiting := k.of("10.0.0.1")
		assert.Zero(t, waiting)
	})
}

// Of more than may wait the last of the address with the most are refused.
func TestCrowd_IsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := keep(limitConfig{maxHandshakes: 1})
		for range 1 + crowdOfPlace {
			k.come("10.0.0.1")
		}
		require.NoError(t, (<-k.told).err)
		require.Empty(t, k.told)
		k.come("10.0.0.1")
		require.ErrorIs(t, (<-k.told).err, errTooManyHandshakes)
		k.come("10.0.0.2")
		require.ErrorIs(t, (<-k.told).err, errTooManyHandshakes)
		assert.Equal(t, crowdOfPlace, k.waits)
		assert.Len(t, k.waiting[originOf(comer{from: "10.0.0.1"}.RemoteAddr())], crowdOfPlace-1)

		k = keep(limitConfig{maxHandshakes: 2, maxPeers: 4})
		for range 5 {
			k.come("10.0.0.1")
		}
		require.NoError(t, (<-k.told).err)
		require.NoError(t, (<-k.told).err)
		require.ErrorIs(t, (<-k.told).err, errTooManyHandshakes, "as many as there may be peers")
		assert.Equal(t, 2, k.waits)

		for _, tc := range []struct{ places, files, want int }{{256, 0, 4096}, {256, 1024, 256}, {256, 1 << 20, 4096}, {0, 0, 4096}, {4, 1024, 64}} {
			assert.Equal(t, tc.want, crowdBound(tc.places, tc.files), fmt.Sprint(tc))
		}
	})
}

// Who waits behind a bound for its address does not keep others waiting.
func TestCrowd_OfAddressesWithABound(t *testing.T) {
	t.Parallel()
	k := keep(limitConfig{maxHandshakes: 4, maxHandshakesEach: 1})
	for range 3 {
		k.come("10.0.0.1")
	}
	k.come("10.0.0.2")
	require.Equal(t, 2, k.waits)
	assert.Equal(t, "10.0.0.1", k.pass(t))
	assert.Equal(t, "10.0.0.2", k.pass(t))
	assert.Equal(t, "10.0.0.1", k.pass(t))
	assert.Equal(t, "10.0.0.1", k.pass(t))
	assert.Zero(t, k.count)
}

// Unbind and Close wait for nobody who waits at the door.
func TestCrowd_UnbindRefusesIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := NewPull()
		endpoint, err := s.Bind("inproc://" + t.Name())
		require.NoError(t, err)
		to, err := transport.ParseConnect(endpoint)
		require.NoError(t, err)
		for range s.cfg.maxHandshakes + 2 {
			silent, err := to.Dial(t.Context())
			require.NoError(t, err)
			defer silent.Close()
		}
		synctest.Wait()
		require.Equal(t, 2, s.door.waits)
		began := time.Now()
		require.NoError(t, s.Unbind(endpoint))
		assert.Zero(t, s.door.waits)
		assert.Zero(t, s.Stats().Refused[RefusedHandshakes], "it is not that they were too many")
		require.NoError(t, s.Close())
		assert.Zero(t, time.Since(began))
	})
}
