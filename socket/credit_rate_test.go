package socket_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

// Row 37 by the clock, for as long as MESHMQ_SLOW says (make slow): of 100,000 messages a second another receiver gets at least 95 % of what it gets alone, beside one of one
// message a second. The two are measured in turns, so that what else the machine does hits both. How it is when the sender goes as fast as it can is told, too: with a second
// peer, slow or not, Send has to choose.
func TestCredit_RateBesideASlowOne(t *testing.T) {
	length := slowly(t)
	for name, keep := range map[string]func() socket.Option{
		"memory": socket.WithAck,
		"spool": func() socket.Option {
			return socket.WithSpool(filepath.Join(t.TempDir(), "spool"), spool.Options{Policy: spool.OS})
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.GreaterOrEqual(t, besideToAlone(t, keep, length, 100_000), 0.95)
			besideToAlone(t, keep, length, math.Inf(1))
		})
	}
}

// slowly is for how long make slow measures.
func slowly(t *testing.T) time.Duration {
	length, err := time.ParseDuration(os.Getenv("MESHMQ_SLOW"))
	if err != nil {
		t.Skip("runs as make slow")
	}
	return length
}

// besideToAlone returns the ratio of what one receiver gets with and without a slow one beside it.
func besideToAlone(t *testing.T, keep func() socket.Option, length time.Duration, pace float64) float64 {
	alone, beside := newProducer(t, keep()), newProducer(t, keep())
	beside.slowDown(t)
	const turn = 500 * time.Millisecond
	for end := time.Now().Add(length); time.Now().Before(end); {
		alone.run(t, turn, pace)
		beside.run(t, turn, pace)
	}
	ratio := beside.rate() / alone.rate()
	t.Logf("%.0f messages a second alone, %.0f beside a slow one: %.3f", alone.rate(), beside.rate(), ratio)
	return ratio
}

// producer sends to a quick receiver.
type producer struct {
	push *socket.Push
	at   string
	slow int // messages that its slow receiver may have

	sent int
	took time.Duration
}

func (p *producer) rate() float64 { return float64(p.sent) / p.took.Seconds() }

func newProducer(t *testing.T, keep socket.Option) *producer {
	push, quick := socket.NewPush(keep, socket.WithLinger(0)), socket.NewPull(socket.WithAck())
	closing(t, quick)
	t.Cleanup(func() { _ = push.Close() }) // says what the slow one has
	p := &producer{push: push, at: bind(t, push, "tcp://127.0.0.1:0")}
	require.NoError(t, quick.Connect(p.at))
	require.NoError(t, push.WaitPeers(limit(t), 1))
	go func() { // ends with Close
		for range quick.Messages(t.Context()) {
		}
	}()
	return p
}

// slowDown adds a receiver of one message a second.
func (p *producer) slowDown(t *testing.T) {
	p.slow = 20
	pull := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(p.slow, 1<<20))
	closing(t, pull)
	require.NoError(t, pull.Connect(p.at))
	require.NoError(t, p.push.WaitPeers(limit(t), 2))
	go func() { // ends with Close
		for m := range pull.Messages(t.Context()) {
			<-time.After(time.Second)
			_ = m.Ack()
		}
	}()
}

// run sends for some time, so many messages a second at most, and until the quick one has handled them all.
func (p *producer) run(t *testing.T, length time.Duration, pace float64) {
	const batch = 1000
	begun := time.Now()
	for due := 0.0; time.Since(begun) < length; due += batch / pace {
		<-time.After(time.Duration(due*float64(time.Second)) - time.Since(begun))
		for range batch {
			require.NoError(t, p.push.Send(t.Context(), ordinal(p.sent, 100)))
			p.sent++
		}
	}
	require.Eventually(t, func() bool { return heldBy(p.push) <= p.slow }, sockettest.Timeout, time.Millisecond)
	p.took += time.Since(begun)
}
