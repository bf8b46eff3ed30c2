package pushpull_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

// A message is sent when it is time, and not before; what is not delayed does not wait for it.
func TestDelay(t *testing.T) {
	t.Parallel()
	for name, spooled := range map[string]bool{"memory": false, "spool": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				var opts []patterns.Option
				if spooled {
					opts = append(opts, patterns.WithSpool(dir, spool.Options{SegmentSize: 64 << 10, Policy: spool.OS}))
				}
				p, w := bubble(t, opts, []patterns.Option{assured})
				start := time.Now()
				got := make(chan string, 10)
				run(t, w, func(_ context.Context, o Order) error {
					got <- fmt.Sprint(o.Item, " ", time.Since(start).Round(time.Second))
					return nil
				})
				for _, o := range []struct {
					item string
					when patterns.SendOption
				}{
					{"tea", patterns.WithDelay(time.Hour)}, {"cake", patterns.WithDelay(30 * time.Minute)}, {"milk", patterns.WithNotBefore(start.Add(time.Hour))},
					{"now", patterns.WithDelay(0)}, {"at once", patterns.WithHeader("a", "b")},
				} {
					require.NoError(t, p.Send(t.Context(), Order{Item: o.item}, o.when))
				}
				assert.Equal(t, 3, p.Delayed())
				for _, want := range []string{"now 0s", "at once 0s", "cake 30m0s", "tea 1h0m0s", "milk 1h0m0s"} {
					assert.Equal(t, want, <-got)
				}
				synctest.Wait()
				assert.Zero(t, p.Delayed())
				assert.ErrorIs(t, p.Send(t.Context(), Order{}, patterns.WithHeader(patterns.HeaderNotBefore, "noon")), patterns.ErrMalformed)
				synctest.Wait()
				assert.Empty(t, got, "what Send refuses is not sent")
			})
		})
	}
}

// bubble is pair over inproc, for a bubble of synctest. There is a second producer, which sends nothing: where there is one peer, Recv reads
// itself, and has the pump wait for it at a lock, which a bubble takes for work.
func bubble(t *testing.T, producer, worker []patterns.Option) (*pushpull.Producer[Order], *pushpull.Worker[Order]) {
	t.Helper()
	return bubbleAt(t, "", producer, worker)
}

// bubbleAt is bubble for a second pair.
func bubbleAt(t *testing.T, name string, producer, worker []patterns.Option) (*pushpull.Producer[Order], *pushpull.Worker[Order]) {
	t.Helper()
	w := pushpull.NewWorker[Order](worker...)
	t.Cleanup(func() { w.Close() })
	addr, err := w.Bind("inproc://" + t.Name() + name)
	require.NoError(t, err)
	var p *pushpull.Producer[Order]
	for _, opts := range [][]patterns.Option{nil, producer} {
		q := pushpull.NewProducer[Order](opts...)
		t.Cleanup(func() { q.Close() })
		p = q
		require.NoError(t, p.Connect(addr))
	}
	require.NoError(t, w.WaitPeers(t.Context(), 2))
	return p, w
}

// What waits in a spool is sent by the producer after it, and what waits in memory is lost and counted.
func TestDelayedMessagesSurviveInTheSpool(t *testing.T) {
	t.Parallel()
	p := pushpull.NewProducer[Order]()
	require.NoError(t, p.Send(within(t), Order{}, patterns.WithDelay(time.Hour)))
	assert.EqualError(t, p.Close(), "1 delayed messages are lost: "+socket.ErrClosed.Error())
	assert.NoError(t, p.Close())
	assert.ErrorIs(t, p.Send(within(t), Order{}, patterns.WithDelay(time.Hour)), socket.ErrClosed)

	kept := patterns.WithSpool(t.TempDir(), spool.Options{SegmentSize: 64 << 10})
	p = pushpull.NewProducer[Order](kept)
	id := codec.NewID()
	require.NoError(t, p.Send(within(t), Order{Item: "tea"}, patterns.WithDelay(50*time.Millisecond), patterns.WithID(id)))
	require.NoError(t, p.Send(within(t), Order{Item: "late"}, patterns.WithDelay(time.Hour)))
	assert.ErrorIs(t, p.Close(), socket.ErrSpooled)

	p, w := pair(t, []patterns.Option{kept}, []patterns.Option{assured})
	got := make(chan codec.ID, 1)
	run(t, w, func(ctx context.Context, o Order) error {
		assert.Equal(t, "tea", o.Item)
		got <- patterns.FromContext(ctx).ID
		return nil
	})
	assert.Equal(t, id, <-got)
	require.Eventually(t, func() bool { return p.Delayed() == 1 }, time.Minute, time.Millisecond)
	assert.ErrorContains(t, p.Shutdown(within(t)), "1 delayed messages: "+socket.ErrSpooled.Error())
}

// A delayed message that nobody takes is told, and a dead letter where there are some; those behind it go.
func TestTooLarge_Delayed(t *testing.T) {
	t.Parallel()
	own := smallLimits["message"]
	for name, c := range map[string]struct {
		producer []patterns.Option
		worker   []patterns.Option
		spooled  bool
	}{
		"plain": {nil, []patterns.Option{own}, false}, "acknowledged": {[]patterns.Option{assured}, []patterns.Option{assured, own}, false},
		"own limit": {[]patterns.Option{assured, own}, []patterns.Option{assured}, false}, "spool": {[]patterns.Option{own}, []patterns.Option{assured}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				hook, errs := errorHook()
				opts := append(c.producer, hook)
				if c.spooled {
					opts = append(opts, patterns.WithSpool(dir, spool.Options{SegmentSize: 64 << 10, Policy: spool.OS}))
				}
				died, dead := graves()
				if name != "plain" {
					opts = append(opts, died)
				}
				p, w := bubble(t, opts, c.worker)
				got := make(chan string, 10)
				run(t, w, func(_ context.Context, o Order) error { got <- o.Item; return nil })
				id := codec.NewID()
				require.NoError(t, p.Send(t.Context(), Order{Item: strings.Repeat("x", 3000)}, patterns.WithDelay(time.Minute), patterns.WithID(id)))
				require.NoError(t, p.Send(t.Context(), Order{Item: "tea"}, patterns.WithDelay(2*time.Minute)))
				assert.Equal(t, patterns.Delays{Waiting: 2}, delays(p))
				assert.Equal(t, "tea", <-got)
				synctest.Wait()
				assert.Equal(t, patterns.Delays{GivenUp: 1}, delays(p))
				require.Len(t, errs, 1, "told once")
				told := <-errs
				require.ErrorIs(t, told, socket.ErrTooLarge)
				assert.ErrorContains(t, told, "delay Order "+id.String()+": ")
				if name == "plain" {
					return
				}
				d := <-dead
				assert.Equal(t, id, d.Envelope.ID)
				assert.Contains(t, d.Reason, "2000")
				assert.Equal(t, 1, d.Attempts)
			})
			if c.spooled {
				replayDelayed(t, dir)
			}
		})
	}
}

// replayDelayed puts the sole dead letter of a producer's delayed messages back, from where another one sends it.
func replayDelayed(t *testing.T, dir string) {
	log, err := spool.Open(dir+"/delayed", spool.Options{})
	require.NoError(t, err)
	defer log.Close()
	assert.Zero(t, log.Queue().Pending())
	dead, err := log.Dead()
	require.NoError(t, err)
	require.EqualValues(t, 1, dead.Len())
	for letter, err := range dead.Letters() {
		require.NoError(t, err)
		assert.Equal(t, 1, letter.Attempts)
		_, err = dead.Replay(within(t), letter)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	_, w := pair(t, []patterns.Option{patterns.WithSpool(dir, spool.Options{})}, []patterns.Option{assured})
	got := make(chan int, 1)
	run(t, w, func(_ context.Context, o Order) error { got <- len(o.Item); return nil })
	assert.Equal(t, 3000, <-got)
}

// delays returns those of p, without its spool.
func delays(p *pushpull.Producer[Order]) patterns.Delays {
	d := p.Delays()
	d.Spool = nil
	return d
}

// What memory has no room for even where nothing waits is not to be tried again.
func TestTooLarge_ToDelay(t *testing.T) {
	t.Parallel()
	p := pushpull.NewProducer[[]byte](patterns.WithSocketOptions(socket.WithMaxMessageSize(1 << 30)))
	defer p.Close()
	err := p.Send(within(t), make([]byte, 64<<20), patterns.WithDelay(time.Hour))
	require.ErrorIs(t, err, socket.ErrTooLarge)
	assert.Zero(t, p.Delayed())

	kept := pushpull.NewProducer[[]byte](patterns.WithSpool(t.TempDir(), spool.Options{SegmentSize: 64 << 10, MaxMessage: 1000}))
	defer kept.Close()
	assert.ErrorIs(t, kept.Send(within(t), make([]byte, 2000)), socket.ErrTooLarge)
	assert.ErrorIs(t, kept.Send(within(t), make([]byte, 2000), patterns.WithDelay(time.Hour)), socket.ErrTooLarge)
}

// One that is too large and has no dead letter either, as the disk takes none, is tried again in a while, and holds up no others.
func TestTooLarge_DelayedWithoutALetter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		hook, errs := errorHook()
		p, w := bubble(t, []patterns.Option{smallLimits["message"], hook, patterns.WithSpool(dir, spool.Options{SegmentSize: 64 << 10, Policy: spool.OS})}, []patterns.Option{assured})
		got := make(chan string, 10)
		run(t, w, func(_ context.Context, o Order) error { got <- o.Item; return nil })
		require.NoError(t, p.Send(t.Context(), Order{Item: strings.Repeat("x", 3000)}, patterns.WithDelay(time.Minute)))
		require.NoError(t, p.Send(t.Context(), Order{Item: "tea"}, patterns.WithDelay(2*time.Minute)))
		dead := filepath.Join(dir, "delayed", "dead")
		require.NoError(t, os.WriteFile(dead, nil, 0o600))
		assert.Equal(t, "tea", <-got)
		assert.Equal(t, patterns.Delays{Waiting: 1}, delays(p))
		assert.ErrorContains(t, <-errs, "no dead letter of what is too large")
		require.NoError(t, os.Remove(dead))
		time.Sleep(2 * time.Second)
		assert.Equal(t, patterns.Delays{GivenUp: 1}, delays(p))
	})
}
