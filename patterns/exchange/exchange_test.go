package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/exchange"
	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket/sockettest"
)

func TestMain(m *testing.M) { sockettest.LeakCheck(m) }

type Order struct {
	Number int
	Total  int
}

// box is a destination that keeps the topics of what it gets.
type box struct {
	mu  sync.Mutex // guards the field below
	got []string
}

func (b *box) to(name string) *exchange.Destination {
	return exchange.To(name, func(_ context.Context, m *exchange.Message) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.got = append(b.got, m.Topic)
		return nil
	})
}

func TestRules(t *testing.T) {
	t.Parallel()
	h := func(key, value string) codec.Header { return codec.Header{Key: key, Value: value} }
	big := exchange.Value("big", func(o Order) bool { return o.Total > 100 })
	tests := []struct {
		rule    exchange.Rule
		yes, no []exchange.Message
	}{
		{exchange.Direct("a.b", "c"), []exchange.Message{{Topic: "a.b"}, {Topic: "c"}}, []exchange.Message{{Topic: "a.b.c"}, {Topic: "a"}, {}}},
		{exchange.Fanout(), []exchange.Message{{}, {Topic: "a"}}, nil},
		{exchange.Topic("a.*.>"), []exchange.Message{{Topic: "a.b.c"}, {Topic: "a.b.c.d"}}, []exchange.Message{{Topic: "a.b"}, {}}},
		{exchange.HeadersAll(h("x", "1"), h("y", "")),
			[]exchange.Message{{Headers: []codec.Header{h("y", "2"), h("x", "1")}}},
			[]exchange.Message{{Headers: []codec.Header{h("x", "1")}}, {Headers: []codec.Header{h("x", "2"), h("y", "2")}}, {}}},
		{exchange.HeadersAny(h("x", "1"), h("y", "")),
			[]exchange.Message{{Headers: []codec.Header{h("x", "1")}}, {Headers: []codec.Header{h("y", "")}}},
			[]exchange.Message{{Headers: []codec.Header{h("x", "2")}}, {}}},
		{exchange.Type("Order", "Other"), []exchange.Message{{Value: Order{}}, {Value: &Order{}}, {Type: "Other", Value: Order{}}}, []exchange.Message{{Type: "X", Value: Order{}}, {Value: 1}, {}}},
		{exchange.Key("7"), []exchange.Message{{Key: "7"}}, []exchange.Message{{Key: "8"}, {}}},
		{big, []exchange.Message{{Value: Order{Total: 101}}, {Value: &Order{Total: 101}}}, []exchange.Message{{Value: Order{Total: 100}}, {Value: (*Order)(nil)}, {Value: 101}, {}}},
		{exchange.Func("short", func(m *exchange.Message) bool { return len(m.Topic) < 2 }), []exchange.Message{{Topic: "a"}}, []exchange.Message{{Topic: "ab"}}},
		{exchange.And(exchange.Topic("a.>"), exchange.Not(big)), []exchange.Message{{Topic: "a.b"}}, []exchange.Message{{Topic: "a.b", Value: Order{Total: 101}}, {Topic: "b"}}},
		{exchange.Or(exchange.Direct("a"), exchange.Key("7")), []exchange.Message{{Topic: "a"}, {Key: "7"}}, []exchange.Message{{Topic: "b", Key: "8"}}},
	}
	for _, test := range tests {
		r, got := exchange.New(), &box{}
		_, err := r.Bind("one", test.rule, got.to("box"))
		require.NoError(t, err, test.rule)
		for _, m := range test.yes {
			assert.NoError(t, r.Route(t.Context(), &m), "%v %+v", test.rule, m)
		}
		for _, m := range test.no {
			assert.ErrorIs(t, r.Route(t.Context(), &m), exchange.ErrUnroutable, "%v %+v", test.rule, m)
		}
		assert.Equal(t, exchange.Counts{Routed: uint64(len(test.yes)), Unroutable: uint64(len(test.no))}, r.Counts())
	}
	assert.Equal(t, `And(Topic("a.>"), Not(Value("big")))`, tests[9].rule.String())
}

func TestMalformedRulesAreNamed(t *testing.T) {
	t.Parallel()
	d := new(box).to("box")
	for want, rule := range map[string]exchange.Rule{
		`zero Rule`:               {},
		`Direct()`:                exchange.Direct(),
		`Direct("a.*")`:           exchange.Direct("a.*"),
		`Topic("a..b")`:           exchange.Topic("a..b"),
		`HeadersAll()`:            exchange.HeadersAll(),
		`header 1 has no key`:     exchange.HeadersAny(codec.Header{Value: "x"}),
		`Type("")`:                exchange.Type(""),
		`Key()`:                   exchange.Key(),
		`Value("x"): want a func`: exchange.Value[int]("x", nil),
		`Func("x"): want a func`:  exchange.Func("x", nil),
		`Not(Topic(".")): malf`:   exchange.Not(exchange.Topic(".")),
		`And(): want`:             exchange.And(),
		`Or(Key())`:               exchange.Or(exchange.Key()),
	} {
		_, err := exchange.New().Bind("here", rule, d)
		assert.ErrorIs(t, err, exchange.ErrRule, want)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, `bind "here"`)
	}
	r := exchange.New()
	_, err := r.Bind("twice", exchange.Fanout(), d)
	require.NoError(t, err)
	for want, bind := range map[string]func() (*exchange.Binding, error){
		"of that name":   func() (*exchange.Binding, error) { return r.Bind("twice", exchange.Fanout(), d) },
		"has no name":    func() (*exchange.Binding, error) { return r.Bind("", exchange.Fanout(), d) },
		"no destination": func() (*exchange.Binding, error) { return r.Bind("x", exchange.Fanout()) },
		"leads nowhere":  func() (*exchange.Binding, error) { return r.Bind("x", exchange.Fanout(), nil) },
		"no name": func() (*exchange.Binding, error) {
			return r.Bind("x", exchange.Fanout(), exchange.To("", func(context.Context, *exchange.Message) error { return nil }))
		},
		"nowhere": func() (*exchange.Binding, error) {
			return r.Bind("x", exchange.Fanout(), exchange.ToPublisher("x", nil), exchange.ToRouter("y", nil), exchange.ToProducer[int]("z", nil), exchange.ToMethod[int, int]("w", nil, "m", nil))
		},
		"alternate: a destination": func() (*exchange.Binding, error) {
			return exchange.New(exchange.Alternate(nil)).Bind("x", exchange.Fanout(), d)
		},
	} {
		_, err := bind()
		assert.ErrorIs(t, err, exchange.ErrRule)
		assert.ErrorContains(t, err, want)
	}
	assert.ErrorIs(t, exchange.New(exchange.Alternate(nil)).Route(t.Context(), &exchange.Message{}), exchange.ErrRule)
	assert.ErrorIs(t, r.Route(t.Context(), &exchange.Message{Topic: "a..b"}), pubsub.ErrTopic)
	assert.Len(t, r.Bindings(), 1)
	assert.Equal(t, "twice: Fanout()", r.Bindings()[0].String())
}

func TestRouterMatchesFirstOrAll(t *testing.T) {
	t.Parallel()
	for _, first := range []bool{false, true} {
		var opts []exchange.Option
		var others box
		if first {
			opts = append(opts, exchange.MatchFirst())
		}
		r := exchange.New(append(opts, exchange.Alternate(others.to("others")))...)
		var eu, all box
		toEU, toAll := eu.to("eu"), all.to("all")
		one, err := r.Bind("eu", exchange.Topic("orders.eu.>"), toEU)
		require.NoError(t, err)
		two, err := r.Bind("orders", exchange.Topic("orders.>"), toAll, toEU)
		require.NoError(t, err)
		for _, topic := range []string{"orders.eu.1", "orders.us.2", "stock"} {
			require.NoError(t, r.Route(t.Context(), &exchange.Message{Topic: topic}))
		}
		assert.Equal(t, []string{"stock"}, others.got)
		assert.Equal(t, []string{"orders.eu.1", "orders.us.2"}, eu.got, "once, however many bindings lead there")
		if first {
			assert.Equal(t, []string{"orders.us.2"}, all.got)
			assert.Equal(t, exchange.BindingCounts{Matched: 1, Delivered: 2}, two.Counts())
		} else {
			assert.Equal(t, []string{"orders.eu.1", "orders.us.2"}, all.got)
			assert.Equal(t, exchange.BindingCounts{Matched: 2, Delivered: 3}, two.Counts())
		}
		assert.Equal(t, exchange.Counts{Routed: 2, Alternate: 1}, r.Counts())
		one.Unbind()
		one.Unbind()
		require.NoError(t, r.Route(t.Context(), &exchange.Message{Topic: "orders.eu.1"}))
		assert.Equal(t, exchange.BindingCounts{Matched: 1, Delivered: 1}, one.Counts())
	}
}

// A destination that fails keeps nothing from the others, and is named; a rule that panics is an error, and no end of the process.
func TestFailuresAreNamed(t *testing.T) {
	t.Parallel()
	errFull := errors.New("full")
	var got box
	r := exchange.New()
	full := exchange.To("full", func(context.Context, *exchange.Message) error { return errFull })
	broken := exchange.To("broken", func(context.Context, *exchange.Message) error { panic("at sea") })
	b, err := r.Bind("three", exchange.Fanout(), full, broken, got.to("box"))
	require.NoError(t, err)
	err = r.Route(t.Context(), &exchange.Message{Topic: "a"})
	require.ErrorIs(t, err, errFull)
	require.ErrorIs(t, err, patterns.ErrPanic)
	failed, ok := errors.AsType[*exchange.DeliveryError](err)
	require.True(t, ok)
	assert.Equal(t, "three", failed.Binding)
	assert.Equal(t, "full", failed.Destination)
	assert.Equal(t, []string{"a"}, got.got)
	assert.Equal(t, exchange.BindingCounts{Matched: 1, Delivered: 1, Failed: 2}, b.Counts())
	b.Unbind()
	_, err = r.Bind("bad", exchange.Func("bad", func(*exchange.Message) bool { panic("rule") }), full)
	require.NoError(t, err)
	err = r.Route(t.Context(), &exchange.Message{})
	assert.ErrorIs(t, err, patterns.ErrPanic)
	assert.ErrorContains(t, err, `rule "bad" Func("bad")`)
	assert.Equal(t, exchange.Counts{Failed: 2}, r.Counts())
	alternate := exchange.New(exchange.Alternate(full))
	assert.ErrorIs(t, alternate.Route(t.Context(), &exchange.Message{}), errFull)
	var stray *exchange.UnroutableError
	require.ErrorAs(t, exchange.New().Route(t.Context(), &exchange.Message{Topic: "a", Key: "k", Value: Order{}}), &stray)
	assert.Equal(t, exchange.UnroutableError{Topic: "a", Type: "Order", Key: "k"}, *stray)
}

func TestRoutersLeadToRouters(t *testing.T) {
	t.Parallel()
	outer, inner := exchange.New(), exchange.New()
	var got box
	_, err := outer.Bind("in", exchange.Topic("a.>"), exchange.ToRouter("inner", inner))
	require.NoError(t, err)
	_, err = inner.Bind("b", exchange.Topic("*.b"), got.to("box"))
	require.NoError(t, err)
	require.NoError(t, outer.Route(t.Context(), &exchange.Message{Topic: "a.b"}))
	assert.ErrorIs(t, outer.Route(t.Context(), &exchange.Message{Topic: "a.c"}), exchange.ErrUnroutable)
	_, err = inner.Bind("back", exchange.Topic("*.loop"), exchange.ToRouter("outer", outer))
	require.NoError(t, err)
	m := &exchange.Message{Topic: "a.loop"}
	for range 2 {
		assert.ErrorIs(t, outer.Route(t.Context(), m), exchange.ErrLoop)
	}
	assert.Equal(t, []string{"a.b"}, got.got)
}

// Messages of a key go one way, in proportion to the weights; when a part goes only its keys move.
func TestSplit(t *testing.T) {
	t.Parallel()
	const n = 20000
	route := func(key string, parts ...exchange.Part) (name string) {
		for i := range parts {
			parts[i].To = exchange.To(parts[i].To.String(), func(p string) func(context.Context, *exchange.Message) error {
				return func(context.Context, *exchange.Message) error { name = p; return nil }
			}(parts[i].To.String()))
		}
		d, err := exchange.Split("split", parts...)
		require.NoError(t, err)
		r := exchange.New(exchange.Alternate(d))
		require.NoError(t, r.Route(t.Context(), &exchange.Message{Key: key}))
		return name
	}
	part := func(name string, weight int) exchange.Part {
		return exchange.Part{To: exchange.To(name, func(context.Context, *exchange.Message) error { return nil }), Weight: weight}
	}
	shares, moved := map[string]int{}, 0
	for i := range n {
		key := fmt.Sprint("order-", i)
		at := route(key, part("a", 1), part("b", 2), part("c", 1))
		shares[at]++
		if fewer := route(key, part("b", 2), part("a", 1)); fewer != at {
			moved++
			assert.Equal(t, "c", at)
		}
	}
	assert.InDelta(t, n/4, shares["a"], n/50)
	assert.InDelta(t, n/2, shares["b"], n/50)
	assert.Equal(t, shares["c"], moved)
	assert.Equal(t, "b", route("order-3", part("a", 1), part("b", 2), part("c", 1)), "the same in all processes")
	anywhere := map[string]bool{}
	for range 1000 {
		anywhere[route("", part("a", 1), part("b", 1))] = true
	}
	assert.Len(t, anywhere, 2)
	for _, parts := range [][]exchange.Part{nil, {part("a", 0)}, {part("a", 1), part("a", 1)}, {{Weight: 1}}} {
		_, err := exchange.Split("bad", parts...)
		assert.ErrorIs(t, err, exchange.ErrRule)
		assert.ErrorContains(t, err, `"bad"`)
	}
}

func TestBindingsChangeWhileMessagesAreRouted(t *testing.T) {
	t.Parallel()
	r := exchange.New()
	var got box
	d := got.to("box")
	_, err := r.Bind("always", exchange.Direct("a"), d)
	require.NoError(t, err)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				b, err := r.Bind(fmt.Sprint(g, i), exchange.Fanout(), d)
				assert.NoError(t, err)
				assert.NoError(t, r.Route(t.Context(), &exchange.Message{Topic: "a"}))
				b.Unbind()
			}
		})
	}
	all.Wait()
	assert.Len(t, got.got, 4*200, "once each")
	assert.Len(t, r.Bindings(), 1)
}

// The three patterns as destinations: work, a call and an event of one message, with its headers and key.
func TestDestinations(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	producer, worker := pushpull.NewProducer[Order](), pushpull.NewWorker[Order]()
	publisher, subscriber := pubsub.NewPublisher(), pubsub.NewSubscriber(patterns.WithOnError(func(context.Context, error) {}))
	service, client := reqrep.NewService(), reqrep.NewClient()
	handled := make(chan string, 10)
	note := func(ctx context.Context, way string, o Order) {
		e := patterns.FromContext(ctx)
		handled <- fmt.Sprint(way, " ", o.Number, " ", e.Header("region"), " ", e.Header(patterns.HeaderKey))
	}
	require.NoError(t, reqrep.Handle(service, "check", func(ctx context.Context, o Order) (int, error) {
		note(ctx, "call", o)
		return o.Total, nil
	}))
	_, err := pubsub.Subscribe(subscriber, "orders.>", func(ctx context.Context, _ string, o Order) error { note(ctx, "event", o); return nil })
	require.NoError(t, err)
	for _, pair := range []struct {
		at interface{ Bind(string) (string, error) }
		to interface{ Connect(string) error }
	}{{worker, producer}, {publisher, subscriber}, {service, client}} {
		addr, err := pair.at.Bind("tcp://127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, pair.to.Connect(addr))
	}
	var running sync.WaitGroup
	running.Go(func() { assert.NoError(t, service.Run(ctx)) })
	running.Go(func() { assert.NoError(t, subscriber.Run(ctx)) })
	running.Go(func() {
		assert.NoError(t, worker.Run(ctx, func(ctx context.Context, o Order) error { note(ctx, "work", o); return nil }))
	})
	require.NoError(t, publisher.WaitSubscribers(ctx, "orders.eu", 1))
	require.NoError(t, client.WaitPeers(ctx, 1))
	answers := make(chan int, 10)
	r := exchange.New()
	_, err = r.Bind("orders", exchange.Topic("orders.>"),
		exchange.ToProducer("workers", producer), exchange.ToPublisher("board", publisher),
		exchange.ToMethod[Order]("check", client, "check", func(_ context.Context, total int) error { answers <- total; return nil }))
	require.NoError(t, err)
	m := &exchange.Message{Topic: "orders.eu", Key: "k7", Headers: []codec.Header{{Key: "region", Value: "eu"}}, Value: &Order{7, 70}}
	require.NoError(t, r.Route(ctx, m))
	assert.ElementsMatch(t, []string{"work 7 eu k7", "event 7 eu k7", "call 7 eu k7"}, []string{<-handled, <-handled, <-handled})
	assert.Equal(t, 70, <-answers)
	err = r.Route(ctx, &exchange.Message{Topic: "orders.eu", Value: "no order"})
	assert.ErrorIs(t, err, patterns.ErrType)
	assert.ErrorContains(t, err, `to "workers"`)
	for _, end := range []interface{ Close() error }{client, service, producer, worker, publisher, subscriber} {
		assert.NoError(t, end.Close())
	}
	running.Wait()
}

// BenchmarkRoute fails if to evaluate typical rules, and to call a destination, costs an allocation.
func BenchmarkRoute(b *testing.B) {
	r := exchange.New()
	h := codec.Header{Key: "region", Value: "eu"}
	sink := exchange.To("sink", func(context.Context, *exchange.Message) error { return nil })
	for name, rule := range map[string]exchange.Rule{
		"direct": exchange.Direct("orders.eu.created"), "fanout": exchange.Fanout(), "topic": exchange.Topic("orders.*.created"),
		"all": exchange.HeadersAll(h), "any": exchange.HeadersAny(h), "type": exchange.Type("Order"), "key": exchange.Key("7"),
		"value":    exchange.Value("big", func(o Order) bool { return o.Total > 100 }),
		"combined": exchange.And(exchange.Topic("orders.>"), exchange.Not(exchange.Or(exchange.Key("8"), exchange.Type("Other")))),
	} {
		if _, err := r.Bind(name, rule, sink); err != nil {
			b.Fatal(err)
		}
	}
	m := &exchange.Message{Topic: "orders.eu.created", Key: "7", Headers: []codec.Header{h}, Value: &Order{1, 200}}
	ctx := b.Context()
	one := func() {
		if err := r.Route(ctx, m); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		one()
	}
	if n := testing.AllocsPerRun(1000, one); n > 0 {
		b.Fatalf("%v allocations per message, want none", n)
	}
}
