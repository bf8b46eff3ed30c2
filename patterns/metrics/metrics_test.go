package metrics_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/metrics"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/sockettest"
	"github.com/meshmq/meshmq/socket/spool"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

// read returns all numbers by name and labels; of a histogram its count.
func read(t testing.TB, c prometheus.Collector) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	require.NoError(t, r.Register(c))
	families, err := r.Gather()
	require.NoError(t, err)
	all := make(map[string]float64)
	for _, f := range families {
		assert.NotEmpty(t, f.GetHelp(), f.GetName())
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			all[f.GetName()+"{"+strings.Join(labels, ",")+"}"] = m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}

// some returns those of all whose name begins with prefix, without it, and that are not 0.
func some(all map[string]float64, prefix string) map[string]float64 {
	found := make(map[string]float64)
	for name, value := range all {
		if rest, ok := strings.CutPrefix(name, prefix); ok && value != 0 {
			found[rest] = value
		}
	}
	return found
}

type fake struct{ stats socket.Stats }

func (f *fake) Stats() socket.Stats { return f.stats }
func (f *fake) Counts() patterns.Counts {
	return patterns.Counts{Handled: 1, Failed: 2, Malformed: 3, Unhandled: 4, Unanswered: 5, InHand: 6, Expired: 7}
}

func TestOfSockets(t *testing.T) {
	t.Parallel()
	c := metrics.New()
	s := &fake{stats: socket.Stats{
		MessagesOut: 1, BytesOut: 2, MessagesIn: 3, BytesIn: 4, Missed: 5,
		Dropped: map[socket.DropReason]uint64{socket.DropFull: 6},
		Refused: map[socket.Refusal]uint64{socket.RefusedNotZMTP: 7},
		Acks: socket.AckStats{UnackedOut: 8, UnackedIn: 9, RedeliveredOut: 10, RedeliveredIn: 11, NackedOut: 12, NackedIn: 13,
			DuplicatesIn: 14, ConflictsIn: 31, ExpiredIn: 32, DeadLettered: 15},
		Spool: &socket.SpoolStats{Messages: 16, Bytes: 17, InFlight: 18, Delivered: 19, Redelivered: 20, Settled: 21, Failed: 22, DeadLettered: 23,
			Full: errors.New("disk"), Oldest: time.Now().Add(-time.Hour),
			Durables: []socket.DurableStats{{Name: "billing", Members: 24, Lag: 25, InFlight: 26, Redelivered: 27, Failed: 28, DeadLettered: 29, Lost: 30}, {Name: "\xff"}},
			Recovery: &spool.Recovery{Torn: 32, Damage: []spool.Damage{{}, {Acks: true}}}},
		Window: &socket.WindowStats{Recovery: &spool.Recovery{Torn: 33, Damage: make([]spool.Damage, 3), Missing: 34}},
		Peers: []socket.PeerStats{
			{Connected: true, QueueMessages: 1, QueueBytes: 2, InboxMessages: 3, InboxBytes: 4, Reconnects: 5},
			{Connected: true, QueueMessages: 10, QueueBytes: 20, InboxMessages: 30, InboxBytes: 40, Reconnects: 50},
			{}, {GaveUp: true},
		},
	}}
	require.NoError(t, c.Watch("a", s))
	assert.EqualError(t, c.Watch("a", s), `watch socket "a": the name is taken, want another`)
	require.NoError(t, c.Watch("b", socketOnly{}))
	all := read(t, c)
	age := all["meshmq_spool_oldest_age_seconds{socket=a}"]
	assert.InDelta(t, 3600, age, 300)
	assert.Equal(t, map[string]float64{
		"sent_messages_total{socket=a}": 1, "sent_bytes_total{socket=a}": 2, "received_messages_total{socket=a}": 3, "received_bytes_total{socket=a}": 4,
		"missed_messages_total{socket=a}": 5, "dropped_messages_total{reason=" + socket.DropFull.String() + ",socket=a}": 6,
		"refused_peers_total{reason=" + socket.RefusedNotZMTP.String() + ",socket=a}": 7,
		"unacked_messages{direction=out,socket=a}":                                    8, "unacked_messages{direction=in,socket=a}": 9,
		"redelivered_messages_total{direction=out,socket=a}": 10, "redelivered_messages_total{direction=in,socket=a}": 11,
		"nacked_messages_total{direction=out,socket=a}": 12, "nacked_messages_total{direction=in,socket=a}": 13,
		"duplicate_messages_total{socket=a}": 14, "conflicting_messages_total{socket=a}": 31, "expired_leases_total{socket=a}": 32, "dead_letters_total{socket=a}": 15,
		"peers{socket=a,state=connected}": 2, "peers{socket=a,state=seeking}": 1, "reconnects{socket=a}": 55,
		"queue_messages{direction=out,socket=a}": 11, "queue_bytes{direction=out,socket=a}": 22,
		"queue_messages{direction=in,socket=a}": 33, "queue_bytes{direction=in,socket=a}": 44,
	}, some(all, "meshmq_socket_"))
	assert.Equal(t, map[string]float64{
		"messages{socket=a}": 16, "bytes{socket=a}": 17, "in_flight_messages{socket=a}": 18, "delivered_messages_total{socket=a}": 19,
		"redelivered_messages_total{socket=a}": 20, "settled_messages_total{socket=a}": 21, "failed_deliveries_total{socket=a}": 22,
		"dead_letters_total{socket=a}": 23, "full{socket=a}": 1, "oldest_age_seconds{socket=a}": age,
		"torn_bytes{socket=a}": 32, "damaged_places{socket=a}": 2, "acks_lost{socket=a}": 1,
	}, some(all, "meshmq_spool_"))
	assert.Equal(t, map[string]float64{
		"torn_bytes{socket=a}": 33, "damaged_places{socket=a}": 3, "missing_marks{socket=a}": 34,
	}, some(all, "meshmq_window_"))
	assert.Equal(t, map[string]float64{
		"members{durable=billing,socket=a}": 24, "lag_messages{durable=billing,socket=a}": 25, "in_flight_messages{durable=billing,socket=a}": 26,
		"redelivered_messages_total{durable=billing,socket=a}": 27, "failed_deliveries_total{durable=billing,socket=a}": 28,
		"dead_letters_total{durable=billing,socket=a}": 29, "lost_messages_total{durable=billing,socket=a}": 30,
	}, some(all, "meshmq_durable_"))
	assert.Equal(t, map[string]float64{
		"messages_total{outcome=handled,socket=a}": 1, "messages_total{outcome=failed,socket=a}": 2, "messages_total{outcome=malformed,socket=a}": 3,
		"messages_total{outcome=unhandled,socket=a}": 4, "messages_total{outcome=unanswered,socket=a}": 5, "in_hand{socket=a}": 6,
		"messages_total{outcome=expired,socket=a}": 7,
	}, some(all, "meshmq_receiver_"))
	assert.Contains(t, all, "meshmq_socket_sent_messages_total{socket=b}")

	c.Forget("a")
	assert.Empty(t, some(read(t, c), "meshmq_"))
	assert.NoError(t, c.Watch("a", s))
}

type socketOnly struct{}

func (socketOnly) Stats() socket.Stats { return socket.Stats{} }

type delaying struct {
	socketOnly
	delays patterns.Delays
}

func (d delaying) Delays() patterns.Delays { return d.delays }

// What a Producer has delayed is seen, and the spool that it is in, unless a spool was given that name.
func TestOfDelays(t *testing.T) {
	t.Parallel()
	c := metrics.New()
	require.NoError(t, c.Watch("memory", delaying{delays: patterns.Delays{Waiting: 1, GivenUp: 2}}))
	require.NoError(t, c.Watch("shop", delaying{delays: patterns.Delays{Waiting: 3, Spool: &spool.Stats{Bytes: 4, Appended: 5}}}))
	all := read(t, c)
	assert.Equal(t, map[string]float64{
		"messages{socket=memory}": 1, "given_up_messages_total{socket=memory}": 2, "messages{socket=shop}": 3,
	}, some(all, "meshmq_delayed_"))
	assert.Equal(t, map[string]float64{
		"bytes{spool=shop/delayed}": 4, "appended_messages_total{spool=shop/delayed}": 5,
	}, some(all, "meshmq_log_"))
	require.NoError(t, c.WatchSpool("shop/delayed", logStats{Bytes: 6}))
	assert.Equal(t, map[string]float64{"bytes{spool=shop/delayed}": 6}, some(read(t, c), "meshmq_log_"))

	producer := pushpull.NewProducer[string](patterns.WithSpool(t.TempDir(), spool.Options{SegmentSize: 64 << 10}))
	require.NoError(t, c.Watch("real", producer))
	require.NoError(t, producer.Send(t.Context(), "tea", patterns.WithDelay(time.Hour)))
	all = read(t, c)
	assert.EqualValues(t, 1, all["meshmq_delayed_messages{socket=real}"])
	assert.EqualValues(t, 1, all["meshmq_log_appended_messages_total{spool=real/delayed}"])
	assert.ErrorIs(t, producer.Close(), socket.ErrSpooled)
	assert.EqualValues(t, 1, read(t, c)["meshmq_delayed_messages{socket=real}"], "as it was left")
}

type logStats spool.Stats

func (l logStats) Stats() spool.Stats { return spool.Stats(l) }

func TestOfLogs(t *testing.T) {
	t.Parallel()
	c := metrics.New()
	l := logStats{Bytes: 1, Segments: make([]spool.SegmentInfo, 2), Appended: 3, Syncs: 4, Dropped: 5, Failed: errors.New("disk"),
		Consumers: []spool.ConsumerInfo{{Name: "relay", Pending: 6, Failed: 7}},
		Recovery:  spool.Recovery{Torn: 8, Damage: []spool.Damage{{Acks: true}}, Missing: 9}}
	require.NoError(t, c.WatchSpool("outbox", l))
	assert.Error(t, c.WatchSpool("outbox", l))
	assert.Equal(t, map[string]float64{
		"bytes{spool=outbox}": 1, "segments{spool=outbox}": 2, "appended_messages_total{spool=outbox}": 3, "syncs_total{spool=outbox}": 4,
		"dropped_messages_total{spool=outbox}": 5, "failed{spool=outbox}": 1,
		"torn_bytes{spool=outbox}": 8, "damaged_places{spool=outbox}": 1, "acks_lost{spool=outbox}": 1, "missing_marks{spool=outbox}": 9,
		"consumer_lag_messages{consumer=relay,spool=outbox}": 6, "consumer_failed_messages{consumer=relay,spool=outbox}": 7,
	}, some(read(t, c), "meshmq_log_"))
	c.Forget("outbox")
	assert.Empty(t, some(read(t, c), "meshmq_log_"))
}

func TestOfHandlers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := metrics.New()
		ends := []error{nil, errors.New("broken"), patterns.Permanent(errors.New("bad"))}
		n := 0
		handle := c.Handles()(func(_ context.Context, d *patterns.Delivery) error {
			time.Sleep(20 * time.Millisecond)
			assert.Equal(t, map[string]float64{"{kind=work,name=Order}": 1}, some(read(t, c), "meshmq_handler_in_flight"))
			n++
			switch n {
			case 4:
				panic("at sea")
			case 5:
				d.Duplicate = true
				return nil
			case 6:
				runtime.Goexit()
			}
			return ends[n-1]
		})
		for i := range 5 {
			e := &codec.Envelope{Time: time.Now().Add(-time.Second)}
			if i == 3 {
				e.Time = time.Now().Add(time.Hour) // a clock that is fast
			}
			err := handle(t.Context(), &patterns.Delivery{Kind: patterns.Work, Name: "Order", Envelope: e, Attempt: 1 + i/2})
			assert.Equal(t, i == 3, errors.Is(err, patterns.ErrPanic))
		}
		go func() { // which ends it
			_ = handle(t.Context(), &patterns.Delivery{Kind: patterns.Work, Name: "Order", Attempt: 1})
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, map[string]float64{
			"duration_seconds{kind=work,name=Order,outcome=ok}": 1, "duration_seconds{kind=work,name=Order,outcome=failed}": 1,
			"duration_seconds{kind=work,name=Order,outcome=rejected}": 1, "duration_seconds{kind=work,name=Order,outcome=panic}": 2,
			"duration_seconds{kind=work,name=Order,outcome=duplicate}": 1,
			"lag_seconds{kind=work,name=Order}":                        2, "retries_total{kind=work,name=Order}": 3,
		}, some(read(t, c), "meshmq_handler_"))
	})
}

func TestAnswersAreNoFailures(t *testing.T) {
	t.Parallel()
	c := metrics.New()
	handle := c.Handles()(func(context.Context, *patterns.Delivery) error { return reqrep.Errorf("sold_out", "no tea") })
	require.Error(t, handle(t.Context(), &patterns.Delivery{Kind: patterns.Call, Name: "orders.create", Attempt: 1}))
	assert.Equal(t, map[string]float64{"{kind=call,name=orders.create,outcome=answered}": 1}, some(read(t, c), "meshmq_handler_duration_seconds"))
}

func TestOfSenders(t *testing.T) {
	t.Parallel()
	c := metrics.New()
	errFull := errors.New("full")
	for i := range 3 {
		o := patterns.NewOutgoing(func(context.Context) error {
			assert.Equal(t, map[string]float64{"{kind=call,name=orders.create}": 1}, some(read(t, c), "meshmq_send_in_flight"))
			if i == 0 {
				return errFull
			}
			return nil
		})
		o.Kind, o.Name = patterns.Call, "orders.create"
		_ = patterns.Around(c.Sends())(t.Context(), o)
	}
	assert.Equal(t, map[string]float64{
		"duration_seconds{kind=call,name=orders.create,outcome=ok}": 2, "duration_seconds{kind=call,name=orders.create,outcome=failed}": 1,
	}, some(read(t, c), "meshmq_send_"))
}

// Whoever invents names, ours stay few; and any bytes will do.
func TestNamesAreBounded(t *testing.T) {
	t.Parallel()
	c := metrics.New(metrics.WithMaxNames(2), metrics.WithName(func(_ patterns.Kind, name string) string { return strings.ToLower(name) }))
	handle := c.Handles()(func(context.Context, *patterns.Delivery) error { return nil })
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 50 {
				_ = handle(t.Context(), &patterns.Delivery{Kind: patterns.Event, Name: fmt.Sprintf("N%d", (i+j)%50), Attempt: 1})
			}
		})
	}
	all.Wait()
	counts := some(read(t, c), "meshmq_handler_duration_seconds")
	require.Len(t, counts, 3, "two, and other: %v", slices.Sorted(maps.Keys(counts)))
	sum := 0.0
	for _, n := range counts {
		sum += n
	}
	assert.Equal(t, 400.0, sum)
	assert.Contains(t, counts, "{kind=event,name=other,outcome=ok}")

	c = metrics.New(metrics.WithBuckets())
	handle = c.Handles()(func(context.Context, *patterns.Delivery) error { return nil })
	require.NoError(t, handle(t.Context(), &patterns.Delivery{Kind: patterns.Event, Name: "\xff", Attempt: 1}))
	assert.Contains(t, some(read(t, c), "meshmq_handler_duration_seconds"), "{kind=event,name=\uFFFD,outcome=ok}")
}

// BenchmarkHandles fails if observing allocates.
func BenchmarkHandles(b *testing.B) {
	c := metrics.New()
	handle := c.Handles()(func(context.Context, *patterns.Delivery) error { return nil })
	send := patterns.Around(c.Sends())
	d := &patterns.Delivery{Kind: patterns.Work, Name: "Order", Attempt: 1, Envelope: &codec.Envelope{Time: time.Now()}}
	o := patterns.NewOutgoing(func(context.Context) error { return nil })
	o.Kind, o.Name = patterns.Work, "Order"
	one := func() {
		if err := errors.Join(handle(b.Context(), d), send(b.Context(), o)); err != nil {
			b.Fatal(err)
		}
	}
	for range 10_000 { // until the native histograms know the buckets that such times fall into
		one()
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n > 0 {
		b.Fatalf("%v allocations per message, want none", n)
	}
}

func ExampleNew() {
	m := metrics.New()
	registry := prometheus.NewRegistry() // or the default one, by prometheus.MustRegister
	registry.MustRegister(m)

	producer := pushpull.NewProducer[string](patterns.WithSendMiddleware(m.Sends()))
	worker := pushpull.NewWorker[string](patterns.WithMiddleware(m.Handles()))
	_, _ = m.Watch("orders", worker), m.Watch("shop", producer)
	addr, _ := worker.Bind("inproc://metrics-example")
	_ = producer.Connect(addr)
	_ = producer.Send(context.Background(), "tea", patterns.WithType("Order"))
	_ = worker.Run(context.Background(), func(context.Context, string) error { return worker.Close() })
	_ = producer.Close()

	families, err := registry.Gather()
	for _, f := range families {
		if f.GetName() == "meshmq_handler_duration_seconds" {
			for _, of := range f.GetMetric() {
				if n := of.GetHistogram().GetSampleCount(); n > 0 {
					fmt.Println(of.GetLabel()[1].GetValue(), of.GetLabel()[2].GetValue(), n)
				}
			}
		}
	}
	fmt.Println(err)
	// Output:
	// Order ok 1
	// <nil>
}

// Labels are UTF-8: a name that is not is refused where it is given, and breaks no collection.
func TestNamesOfSocketsAreText(t *testing.T) {
	t.Parallel()
	c := metrics.New()
	assert.ErrorContains(t, c.Watch("a\xffb", &fake{}), "UTF-8")
	log, err := spool.Open(t.TempDir(), spool.Options{})
	require.NoError(t, err)
	defer log.Close()
	assert.ErrorContains(t, c.WatchSpool("a\xffb", log), "UTF-8")
	require.NoError(t, c.Watch("ä", &fake{}))
	assert.NotEmpty(t, some(read(t, c), "meshmq_"))
}
