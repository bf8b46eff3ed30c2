package examples_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

// What the README shows stands here between a line // [NAME] and a line // [/NAME], and is run by the examples below.

type Order struct {
	Item  string
	Count int
}

type Receipt struct{ Number int }

func produce(ctx context.Context, addr string) error {
	// [producer]
	producer := pushpull.NewProducer[Order]()
	if err := producer.Connect(addr); err != nil { // to any number of workers
		return err
	}
	if err := producer.Send(ctx, Order{Item: "tea", Count: 2}); err != nil { // goes to one of them
		return err
	}
	return producer.Shutdown(ctx) // says so if something could not be handed over
	// [/producer]
}

func pack(ctx context.Context, addr string) error {
	// [worker]
	worker := pushpull.NewWorker[Order]()
	if _, err := worker.Bind(addr); err != nil { // such as tcp://*:5555
		return err
	}
	return worker.Run(ctx, func(ctx context.Context, o Order) error {
		fmt.Println("packed", o.Count, o.Item)
		return worker.Close() // after one order
	})
	// [/worker]
}

func Example_pushPull() {
	ctx := context.Background()
	sent := make(chan error)
	go func() { sent <- produce(ctx, "inproc://readme-orders") }()
	fmt.Println(pack(ctx, "inproc://readme-orders"), <-sent)
	// Output:
	// packed 2 tea
	// <nil> <nil>
}

func serve(ctx context.Context, addr string) error {
	// [service]
	service := reqrep.NewService()
	defer service.Close()
	err := reqrep.Handle(service, "orders.create", func(ctx context.Context, o Order) (Receipt, error) {
		if o.Count < 1 {
			return Receipt{}, reqrep.Errorf("bad_count", "%d is not a number of things", o.Count)
		}
		return Receipt{Number: 1}, nil
	})
	if err == nil {
		_, err = service.Bind(addr)
	}
	if err != nil {
		return err
	}
	return service.Run(ctx) // until ctx ends or it is closed
	// [/service]
}

func order(ctx context.Context, addr string) (Receipt, error) {
	// [client]
	client := reqrep.NewClient()
	defer client.Close()
	if err := client.Connect(addr); err != nil { // to any number of instances
		return Receipt{}, err
	}
	return reqrep.Call[Order, Receipt](ctx, client, "orders.create", Order{Item: "tea", Count: 2})
	// [/client]
}

func Example_requestReply() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- serve(ctx, "inproc://readme-service") }()
	fmt.Println(order(ctx, "inproc://readme-service"))
	cancel()
	fmt.Println(<-ended)
	// Output:
	// {1} <nil>
	// <nil>
}

func publish(ctx context.Context, addr string) error {
	// [publisher]
	publisher := pubsub.NewPublisher()
	if _, err := publisher.Bind(addr); err != nil {
		return err
	}
	if err := publisher.WaitSubscribers(ctx, "orders.eu.created", 1); err != nil { // or publish to whoever is there
		return err
	}
	if err := publisher.Publish(ctx, "orders.eu.created", Order{Item: "tea", Count: 2}); err != nil {
		return err
	}
	return publisher.Shutdown(ctx)
	// [/publisher]
}

func subscribe(ctx context.Context, addr string) error {
	// [subscriber]
	subscriber := pubsub.NewSubscriber()
	defer subscriber.Close()
	_, err := pubsub.Subscribe(subscriber, "orders.*.created", func(ctx context.Context, topic string, o Order) error {
		fmt.Println(topic, o.Count, o.Item)
		return subscriber.Close() // after one event
	})
	if err != nil {
		return err
	}
	if err := subscriber.Connect(addr); err != nil { // to any number of publishers
		return err
	}
	return subscriber.Run(ctx)
	// [/subscriber]
}

func Example_publishSubscribe() {
	ctx := context.Background()
	told := make(chan error)
	go func() { told <- publish(ctx, "inproc://readme-events") }()
	fmt.Println(subscribe(ctx, "inproc://readme-events"), <-told)
	// Output:
	// orders.eu.created 2 tea
	// <nil> <nil>
}

func sockets(ctx context.Context) error {
	// [sockets]
	push, pull := socket.NewPush(), socket.NewPull()
	defer push.Close()
	defer pull.Close()
	addr, err := pull.Bind("tcp://127.0.0.1:0") // many Binds and Connects on one socket
	if err != nil {
		return err
	}
	if err := push.Connect(addr); err != nil { // asynchronous; again and again if it must be
		return err
	}
	if err := push.Send(ctx, []byte("hello")); err != nil { // blocks while no peer has room
		return err
	}
	msg, err := pull.Recv(ctx)
	fmt.Println(msg, err)
	// [/sockets]
	return nil
}

func Example_sockets() {
	fmt.Println(sockets(context.Background()))
	// Output:
	// hello <nil>
	// <nil>
}

var (
	markedSnippet = regexp.MustCompile(`(?ms)^[ \t]*// \[([a-z-]+)\]\n(.*?)^[ \t]*// \[/([a-z-]+)\]$`)
	readmeBlock   = regexp.MustCompile("(?ms)^(?:<!-- example: ([a-z-]+) -->\n+)?```go\n(.*?)^```$")
)

// snippets returns the marked code of all files here, and of the programs with databases, by name.
func snippets(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, pattern := range []string{"*.go", "*/*.go", "../patterns/dbtest/*/*.go"} {
		paths, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, path := range paths {
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			for _, m := range markedSnippet.FindAllStringSubmatch(string(source), -1) {
				require.Equal(t, m[1], m[3], "%s: a snippet ends with the name it begins with", path)
				require.NotContains(t, found, m[1], "%s: a name marks one snippet", path)
				found[m[1]] = dedent(m[2])
			}
		}
	}
	return found
}

// dedent takes off the indentation of the first line, and empty lines at either end.
func dedent(code string) string {
	code = strings.Trim(code, "\n")
	indent := code[:len(code)-len(strings.TrimLeft(code, "\t"))]
	lines := strings.Split(code, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimPrefix(line, indent)
	}
	return strings.Join(lines, "\n")
}

func TestReadmeShowsCodeThatRuns(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	code := snippets(t)
	blocks := readmeBlock.FindAllStringSubmatch(string(readme), -1)
	require.Len(t, blocks, strings.Count(string(readme), "```go"), "each block of Go is read")
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		name, shown := block[1], strings.Trim(block[2], "\n")
		if assert.NotEmpty(t, name, "want <!-- example: NAME --> before\n%s", shown) && assert.Contains(t, code, name) {
			assert.Equal(t, code[name], shown, "README.md differs from the snippet %s", name)
		}
	}
}

func TestDedent(t *testing.T) {
	t.Parallel()
	assert.Equal(t, "if a {\n\tb()\n}\n\nc()", dedent("\n\tif a {\n\t\tb()\n\t}\n\n\tc()\n"))
}
