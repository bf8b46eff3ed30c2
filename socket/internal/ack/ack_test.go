package ack

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/transport/zmtp"
)

// acksIn takes the ACKs out of what Receiver.Append has made.
func acksIn(t *testing.T, frames []byte) (acks []zmtp.Ack) {
	t.Helper()
	for len(frames) > 0 {
		_, size, n, err := zmtp.ParseHeader(frames)
		require.NoError(t, err)
		name, data, err := zmtp.ParseCommand(frames[n : n+int(size)])
		require.NoError(t, err)
		require.Equal(t, zmtp.CommandAck, string(name))
		a, err := zmtp.ParseAck(data)
		require.NoError(t, err)
		acks, frames = append(acks, a), frames[n+int(size):]
	}
	return acks
}

// TestAnyOrder settles 100 k messages in random order, within a credit, with duplicates and refusals, and holds both ends against a model. Row 25 of the
// fault plan: the floor is the first open tag less one, memory goes with the ranges, and exactly what is settled is released, once.
func TestAnyOrder(t *testing.T) {
	t.Parallel()
	const total, credit = 100_000, 1000
	rng := rand.New(rand.NewPCG(25, 1))
	var s Sender
	var r Receiver
	r.Grant(credit, 1<<20)
	state := make([]byte, total+1) // of each tag: 0 not sent, 1 open at both, 2 settled at the receiver, 3 settled at both
	var open []uint64
	var buf []byte
	first, stuck := uint64(1), uint64(0)
	release := func(run Range) {
		for tag := run.First; tag <= run.Last; tag++ {
			if state[tag] != 2 {
				t.Fatalf("released tag %d in state %d", tag, state[tag])
			}
			state[tag] = 3
		}
	}
	for first <= total {
		if n := min(uint64(rng.IntN(50)), credit-s.Open(), total-s.Sent()); n > 0 {
			tag := s.Send(n)
			got, err := r.Deliver(n)
			require.NoError(t, err)
			require.Equal(t, tag, got)
			for ; n > 0; n-- {
				open, state[tag] = append(open, tag), 1
				tag++
			}
		}
		for range rng.IntN(50) {
			if len(open) == 0 {
				break
			}
			i := rng.IntN(len(open))
			tag := open[i]
			if tag == stuck && len(open) > 1 { // the oldest stays for long: everything lies above the floor
				continue
			}
			open[i] = open[len(open)-1]
			open = open[:len(open)-1]
			state[tag] = 2
			if rng.IntN(100) == 0 {
				require.True(t, r.Refuse(tag))
				require.False(t, r.Settle(tag, 100))
				fresh, err := s.Nack(tag)
				require.NoError(t, err)
				require.True(t, fresh)
				state[tag] = 3
			} else if !r.Settle(tag, 100) || r.Settle(tag, 100) || r.Refuse(tag) {
				t.Fatalf("tag %d is not settled once", tag)
			}
		}
		if r.Due() || rng.IntN(4) == 0 {
			buf = r.Append(buf[:0])
			acks := acksIn(t, buf)
			for _, a := range acks {
				stale, err := s.Ack(a, release)
				require.NoError(t, err)
				require.Zero(t, stale)
			}
			if len(acks) > 0 && rng.IntN(10) == 0 { // again: nothing is released twice
				_, err := s.Ack(acks[0], release)
				require.NoError(t, err)
			}
			require.False(t, r.Pending())
			for first <= total && state[first] == 3 {
				first++
			}
			require.Equal(t, first-1, s.Floor())
			require.Equal(t, uint64(len(open)), s.Open())
		}
		if rng.IntN(200) == 0 && len(open) > 0 {
			stuck = first
		}
		require.Equal(t, uint64(len(open)), r.Open())
		require.LessOrEqual(t, len(r.settled.ranges), len(open)+1)
		require.LessOrEqual(t, len(s.settled.ranges), credit+1)
		require.LessOrEqual(t, len(r.fresh), credit)
	}
	require.Empty(t, s.settled.ranges)
}

func TestReceiver_PacksAcks(t *testing.T) {
	t.Parallel()
	var r Receiver
	r.Grant(10, 1000)
	first, err := r.Deliver(10)
	require.NoError(t, err)
	require.EqualValues(t, 1, first)
	_, err = r.Deliver(1)
	require.ErrorIs(t, err, ErrCredit)

	assert.False(t, r.Settle(11, 0), "never came")
	assert.True(t, r.Settle(1, 10))
	assert.False(t, r.Due())
	assert.True(t, r.Pending())
	for _, tag := range []uint64{3, 4, 7, 2} {
		assert.True(t, r.Settle(tag, 10))
	}
	assert.True(t, r.Due(), "half of the messages")
	assert.Equal(t, zmtp.AppendAck(nil, 4, []Range{{First: 7, Last: 7}}), r.Append(nil))
	assert.Empty(t, r.Append(nil))

	assert.True(t, r.Settle(6, 500))
	assert.True(t, r.Due(), "half of the bytes")
	assert.Equal(t, zmtp.AppendAck(nil, 4, []Range{{First: 6, Last: 6}}), r.Append(nil), "only what is new")
	assert.True(t, r.Refuse(5))
	assert.False(t, r.Pending(), "the NACK said it")
	assert.EqualValues(t, 3, r.Open())
	_, err = r.Deliver(7)
	require.NoError(t, err)
	r.Grant(1, 1)
	_, err = r.Deliver(1)
	require.ErrorIs(t, err, ErrCredit, "the smaller grant changes nothing")
}

// A credit of one message is one at a time; of none, what was out may still be settled.
func TestReceiver_SmallGrants(t *testing.T) {
	t.Parallel()
	var r Receiver
	_, err := r.Deliver(1)
	require.ErrorIs(t, err, ErrCredit, "nothing was granted")
	r.Grant(1, 1)
	_, err = r.Deliver(1)
	require.NoError(t, err)
	r.Grant(0, 0)
	require.True(t, r.Settle(1, 5))
	require.True(t, r.Due())
	require.Equal(t, zmtp.AppendAck(nil, 1, nil), r.Append(nil))
}

// ACK.md, 4.1: to the sender all is open that it has not been told of, and the smaller of two grants may not have arrived; what is more than that is too much for certain.
func TestReceiver_KnowsWhatTheSenderKnows(t *testing.T) {
	t.Parallel()
	var r Receiver
	r.Grant(2, 100)
	r.Grant(1, 100)
	_, err := r.Deliver(2)
	require.NoError(t, err)
	require.True(t, r.Settle(1, 1))
	_, err = r.Deliver(1)
	require.ErrorIs(t, err, ErrCredit, "it was not told")
	require.Equal(t, zmtp.AppendAck(nil, 1, nil), r.Append(nil))
	_, err = r.Deliver(1)
	require.NoError(t, err)
	_, err = r.Deliver(1)
	require.ErrorIs(t, err, ErrCredit)
}

// More ranges than fit one ACK become several.
func TestReceiver_ManyRanges(t *testing.T) {
	t.Parallel()
	const n = 5000
	var s Sender
	var r Receiver
	r.Grant(n, 1<<20)
	s.Send(n)
	_, err := r.Deliver(n)
	require.NoError(t, err)
	for tag := uint64(2); tag <= n; tag += 2 {
		r.Settle(tag, 1)
	}
	acks := acksIn(t, r.Append(nil))
	require.Len(t, acks, 3)
	released := 0
	for _, a := range acks {
		_, err := s.Ack(a, func(run Range) {
			require.Equal(t, run.First, run.Last)
			require.Zero(t, run.First%2)
			released++
		})
		require.NoError(t, err)
	}
	require.Equal(t, n/2, released)
	left := uint64(0)
	for run := range s.Unsettled {
		left += run.Last - run.First + 1
	}
	require.Equal(t, s.Open(), left)
}

func TestSequence_AllocatesNothing(t *testing.T) {
	var s Sender
	var r Receiver
	r.Grant(100, 1<<20)
	buf := make([]byte, 0, 1<<10)
	release := func(Range) {}
	assert.Zero(t, testing.AllocsPerRun(1000, func() {
		tag := s.Send(10)
		_, _ = r.Deliver(10)
		for i := range uint64(10) {
			r.Settle(tag+(i^1), 100) // not quite in order
		}
		buf = r.Append(buf[:0])
		a, err := zmtp.ParseAck(buf[6:])
		if _, err2 := s.Ack(a, release); err != nil || err2 != nil {
			t.Fail()
		}
	}))
	assert.Zero(t, s.Open())
}

// Next does what Settle does, for the message above the floor, and leaves to it whatever makes an ACK due.
func TestReceiver_NextIsSettle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 26))
		var quick, slow Receiver
		both := func(do func(r *Receiver) any) {
			require.Equal(t, do(&slow), do(&quick), "seed %d", seed)
		}
		both(func(r *Receiver) any { r.Grant(100, 5000); return nil })
		nexts := 0
		for range 500 {
			n, tag, size := uint64(1+rng.IntN(20)), slow.settled.floor+1, rng.IntN(100)
			if rng.IntN(10) == 0 {
				tag = 1 + rng.Uint64N(slow.got+2)
			}
			switch rng.IntN(40) {
			case 0, 1, 2, 3:
				both(func(r *Receiver) any { _, err := r.Deliver(n); return err == nil })
			case 4:
				both(func(r *Receiver) any { return r.Refuse(tag) })
			case 5:
				both(func(r *Receiver) any { return r.Append(nil) })
			case 6:
				both(func(r *Receiver) any { r.Grant(50+n, 3000+100*n); return nil })
			case 7, 8, 9:
				few, bytes, sum := uint64(0), 0, 0
				for most, enough := quick.Ahead(tag); few < min(n, most); few, sum = few+1, bytes {
					if bytes += rng.IntN(100); bytes >= enough {
						break
					}
					require.True(t, slow.Settle(tag+few, bytes-sum), "seed %d", seed)
				}
				quick.NextFew(few, sum)
				nexts += int(few)
				require.False(t, few > 0 && quick.Due(), "seed %d", seed)
			default:
				taken := quick.Next(tag, size)
				if taken {
					nexts++
					require.False(t, quick.Due(), "seed %d", seed)
				}
				require.Equal(t, slow.Settle(tag, size), taken || quick.Settle(tag, size), "seed %d", seed)
			}
			both(func(r *Receiver) any { return [3]any{r.Due(), r.Pending(), r.Open()} })
			both(func(r *Receiver) any { return []any{r.settled, r.fresh, r.size, r.told} })
		}
		require.Greater(t, nexts, 50)
	}
}
