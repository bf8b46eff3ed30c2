package reqrep_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log"
	"time"

	"github.com/meshmq/meshmq/patterns"
	"github.com/meshmq/meshmq/patterns/reqrep"
)

// pair returns a client of the services.
func pair(ctx context.Context, services ...*reqrep.Service) *reqrep.Client {
	client := reqrep.NewClient()
	for _, s := range services {
		addr, err := s.Bind("tcp://127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		go s.Run(ctx) // ends by Close of the service
		if err := client.Connect(addr); err != nil {
			log.Fatal(err)
		}
	}
	if err := client.WaitPeers(ctx, len(services)); err != nil {
		log.Fatal(err)
	}
	return client
}

func ExampleHandle() {
	ctx := context.Background()
	service := reqrep.NewService()
	defer service.Close()
	err := reqrep.Handle(service, "double", func(_ context.Context, n int) (int, error) {
		if n > 1000 {
			return 0, reqrep.Errorf("too_large", "want at most 1000")
		}
		return 2 * n, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	client := pair(ctx, service)
	defer client.Close()
	fmt.Println(reqrep.Call[int, int](ctx, client, "double", 21))
	fmt.Println(reqrep.Call[int, int](ctx, client, "double", 1001))
	// Output:
	// 42 <nil>
	// 0 call double: too_large: want at most 1000
}

// A call says what it bears. This one may be done twice to the same effect, so it is asked again, within its deadline, when an instance dies
// or hangs, and another instance is asked when the first is late.
func ExampleCall() {
	service := reqrep.NewService()
	defer service.Close()
	tries := 0
	_ = reqrep.Handle(service, "price.of", func(ctx context.Context, item string) (string, error) {
		if tries++; tries < 3 {
			return "", reqrep.Errorf("busy", "ask again").Retry(time.Millisecond)
		}
		return fmt.Sprintf("%s: 350, at attempt %s", item, patterns.FromContext(ctx).Header("attempt")), nil
	})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := pair(ctx, service)
	defer client.Close()
	price, err := reqrep.Call[string, string](ctx, client, "price.of", "tea",
		reqrep.Idempotent(), reqrep.WithRetries(3), reqrep.WithHedge(20*time.Second, 1))
	fmt.Println(price, err)
	// Output: tea: 350, at attempt 3 <nil>
}

func ExampleHandleStream() {
	ctx := context.Background()
	service := reqrep.NewService()
	defer service.Close()
	_ = reqrep.HandleStream(service, "squares", func(_ context.Context, to int) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 1; i <= to && yield(i*i, nil); i++ {
			}
		}
	})
	client := pair(ctx, service)
	defer client.Close()
	for n, err := range reqrep.Stream[int, int](ctx, client, "squares", 3) {
		fmt.Println(n, err)
	}
	// Output:
	// 1 <nil>
	// 4 <nil>
	// 9 <nil>
}

// A loop that has enough is left; the service then stops.
func ExampleStream() {
	ctx := context.Background()
	service := reqrep.NewService()
	defer service.Close()
	_ = reqrep.HandleStream(service, "naturals", func(context.Context, struct{}) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 1; yield(i, nil); i++ {
			}
		}
	})
	client := pair(ctx, service)
	defer client.Close()
	sum := 0
	for n, err := range reqrep.Stream[struct{}, int](ctx, client, "naturals", struct{}{}) {
		if err != nil || n > 100 {
			break
		}
		sum += n
	}
	fmt.Println(sum)
	// Output: 5050
}

func ExampleScatter() {
	ctx := context.Background()
	var services []*reqrep.Service
	for _, stock := range []int{3, 4, 5} {
		s := reqrep.NewService()
		defer s.Close()
		_ = reqrep.Handle(s, "stock", func(context.Context, string) (int, error) { return stock, nil })
		services = append(services, s)
	}
	client := pair(ctx, services...)
	defer client.Close()
	sum := 0
	for reply := range reqrep.Scatter[string, int](ctx, client, "stock", "tea") {
		if reply.Err != nil {
			fmt.Println(reply.Instance.Endpoint, reply.Err)
		}
		sum += reply.Value
	}
	fmt.Println(sum)
	// Output: 12
}

// Two of three votes are enough.
func ExampleGather() {
	ctx := context.Background()
	var services []*reqrep.Service
	for range 3 {
		s := reqrep.NewService()
		defer s.Close()
		_ = reqrep.Handle(s, "vote", func(context.Context, string) (bool, error) { return true, nil })
		services = append(services, s)
	}
	client := pair(ctx, services...)
	defer client.Close()
	replies, err := reqrep.Gather[string, bool](ctx, client, 2, "vote", "tea at four")
	fmt.Println(len(replies), err)
	// Output: 2 <nil>
}

// A client that leaves failing instances alone, and says so.
func ExampleWithBreaker() {
	ctx := context.Background()
	service := reqrep.NewService(patterns.WithOnError(func(context.Context, error) {}))
	defer service.Close()
	_ = reqrep.Handle(service, "price.of", func(context.Context, string) (int, error) { return 0, fmt.Errorf("no database") })
	addr, err := service.Bind("inproc://example-breaker")
	if err != nil {
		log.Fatal(err)
	}
	go service.Run(ctx) // ends by Close
	client := reqrep.NewClient(
		reqrep.WithBreaker(reqrep.Breaker{Failures: 2, Pause: time.Minute}),
		reqrep.WithOnBreaker(func(c reqrep.BreakerChange) { fmt.Println(c.Endpoint, c.From, "->", c.To) }),
	)
	defer client.Close()
	if err := client.Connect(addr); err != nil {
		log.Fatal(err)
	}
	for range 3 {
		_, err := reqrep.Call[string, int](ctx, client, "price.of", "tea")
		fmt.Println(err)
	}
	// Unordered output:
	// call price.of: internal: no database
	// inproc://example-breaker closed -> open
	// call price.of: internal: no database
	// call price.of: breakers of all instances are open
}

func ExampleGetInfo() {
	ctx := context.Background()
	service := reqrep.NewService(patterns.WithSource("shop"), reqrep.WithVersion("1.2.0"))
	defer service.Close()
	_ = reqrep.Handle(service, "price.of", func(context.Context, string) (int, error) { return 350, nil })
	client := pair(ctx, service)
	defer client.Close()
	info, err := reqrep.GetInfo(ctx, client)
	fmt.Println(info.Name, info.Version, info.Methods[0].Name, err)
	// Output: shop 1.2.0 price.of <nil>
}

// A service says in its own words what is wrong, and callers decide by the code.
func ExampleErrorf() {
	ctx := context.Background()
	service := reqrep.NewService()
	defer service.Close()
	err := reqrep.Handle(service, "orders.create", func(_ context.Context, item string) (int, error) {
		return 0, reqrep.Errorf("sold_out", "no %s left", item)
	})
	if err != nil {
		log.Fatal(err)
	}
	client := pair(ctx, service)
	defer client.Close()
	_, err = reqrep.Call[string, int](ctx, client, "orders.create", "tea")
	if answer, ok := errors.AsType[*reqrep.Error](err); ok && answer.Code == "sold_out" {
		fmt.Println(answer.Message)
	}
	// Output: no tea left
}
