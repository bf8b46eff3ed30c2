package zmq4_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	theirs "github.com/go-zeromq/zmq4"

	zmq4 "github.com/meshmq/meshmq/socket/zmq4compat"
)

// A program is written against zmq4.Socket, in the style of go-zeromq's examples. What it would import is the api; it returns
// when it is done, or with ctx.
type program func(ctx context.Context, z api, endpoints []string, out io.Writer) error

// api is what programs use of the package that they import.
type api struct {
	open  func(ctx context.Context, typ zmq4.SocketType, id string) zmq4.Socket
	proxy func(ctx context.Context, front, back zmq4.Socket) error
}

var apis = map[string]api{
	"ours": {
		open: func(ctx context.Context, typ zmq4.SocketType, id string) zmq4.Socket {
			return constructors[typ](ctx, zmq4.WithID(zmq4.SocketIdentity(id)), zmq4.WithDialerMaxRetries(-1), zmq4.WithDialerRetry(10*time.Millisecond))
		},
		proxy: func(ctx context.Context, front, back zmq4.Socket) error {
			return zmq4.NewProxy(ctx, front, back, nil).Run()
		},
	},
	"theirs": {
		open: func(ctx context.Context, typ zmq4.SocketType, id string) zmq4.Socket {
			return theirConstructors[typ](ctx, theirs.WithID(theirs.SocketIdentity(id)), theirs.WithDialerMaxRetries(-1),
				theirs.WithDialerRetry(10*time.Millisecond), theirs.WithLogger(log.New(io.Discard, "", 0)))
		},
		proxy: func(ctx context.Context, front, back zmq4.Socket) error {
			return theirs.NewProxy(ctx, front, back, nil).Run()
		},
	},
}

var theirConstructors = map[zmq4.SocketType]func(context.Context, ...theirs.Option) theirs.Socket{
	theirs.Pair: theirs.NewPair, theirs.Req: theirs.NewReq, theirs.Rep: theirs.NewRep, theirs.Dealer: theirs.NewDealer,
	theirs.Router: theirs.NewRouter, theirs.Pub: theirs.NewPub, theirs.Sub: theirs.NewSub, theirs.XPub: theirs.NewXPub,
	theirs.XSub: theirs.NewXSub, theirs.Push: theirs.NewPush, theirs.Pull: theirs.NewPull,
}

var programs = map[string]program{
	"server": server, "client": client,
	"publisher": publisher, "subscriber": subscriber,
	"foreman": foreman, "workers": workers,
	"ventilator": ventilator, "one hand": hands(1), "two hands": hands(2),
	"pair server": pairServer, "pair client": pairClient,
	"queue": queue, "client and server": clientAndServer,
	"forwarder": forwarder, "publisher and subscriber": publisherAndSubscriber,
}

// server answers every request.
func server(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	rep := z.open(ctx, zmq4.Rep, "server")
	defer rep.Close()
	if err := rep.Listen(endpoints[0]); err != nil {
		return err
	}
	return answer(rep, out)
}

func answer(rep zmq4.Socket, out io.Writer) error {
	for {
		msg, err := rep.Recv()
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		fmt.Fprintf(out, "asked %s\n", msg.Frames[0])
		if err := rep.Send(zmq4.NewMsgFrom(msg.Frames[0], []byte("world"))); err != nil {
			return fmt.Errorf("answering: %w", err)
		}
	}
}

func client(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	req := z.open(ctx, zmq4.Req, "client")
	defer req.Close()
	if err := req.Dial(endpoints[0]); err != nil {
		return err
	}
	for i := range 10 {
		if err := req.Send(zmq4.NewMsgString(fmt.Sprintf("hello %d", i))); err != nil {
			return fmt.Errorf("asking: %w", err)
		}
		msg, err := req.Recv()
		if err != nil {
			return fmt.Errorf("receiving: %w", err)
		}
		fmt.Fprintf(out, "%s %s\n", msg.Frames[0], msg.Frames[1])
	}
	return nil
}

// publisher publishes two kinds of messages for as long as it lives.
func publisher(ctx context.Context, z api, endpoints []string, _ io.Writer) error {
	pub := z.open(ctx, zmq4.Pub, "")
	defer pub.Close()
	if err := pub.Listen(endpoints[0]); err != nil {
		return err
	}
	return publish(ctx, pub)
}

func publish(ctx context.Context, pub zmq4.Socket) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, kind := range []string{"A", "B"} {
			if err := pub.Send(zmq4.NewMsgFrom([]byte(kind), []byte("news of "+kind))); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func subscriber(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	sub := z.open(ctx, zmq4.Sub, "")
	defer sub.Close()
	if err := sub.Dial(endpoints[0]); err != nil {
		return err
	}
	if err := sub.SetOption(zmq4.OptionSubscribe, "B"); err != nil {
		return err
	}
	for range 5 {
		msg, err := sub.Recv()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "[%s] %s\n", msg.Frames[0], msg.Frames[1])
	}
	return nil
}

// foreman gives each worker that is ready something to do, and dismisses it after three times.
func foreman(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	router := z.open(ctx, zmq4.Router, "foreman")
	defer router.Close()
	if err := router.Listen(endpoints[0]); err != nil {
		return err
	}
	done := map[string]int{}
	for {
		msg, err := router.Recv()
		if err != nil {
			return err
		}
		id, order := msg.Frames[0], "work"
		if done[string(id)]++; done[string(id)] > 3 {
			order = "go home"
		}
		if err := router.SendMulti(zmq4.NewMsgFrom(id, []byte(""), []byte(order))); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s\n", id, order)
	}
}

func workers(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	const n = 3
	results := make(chan error, n)
	totals := [n]int{}
	for i := range n {
		go func() { results <- worker(ctx, z, fmt.Sprintf("worker-%d", i), endpoints[0], &totals[i]) }()
	}
	for range n {
		if err := <-results; err != nil {
			return err
		}
	}
	fmt.Fprintln(out, totals)
	return nil
}

func worker(ctx context.Context, z api, id, endpoint string, total *int) error {
	dealer := z.open(ctx, zmq4.Dealer, id)
	defer dealer.Close()
	if err := dealer.Dial(endpoint); err != nil {
		return err
	}
	for {
		if err := dealer.SendMulti(zmq4.NewMsgFrom([]byte(""), []byte("ready"))); err != nil {
			return err
		}
		msg, err := dealer.Recv()
		if err != nil {
			return err
		}
		if string(msg.Frames[1]) == "go home" {
			return nil
		}
		*total++
	}
}

// ventilator hands out tasks when the hands have reported, and collects the results. How many hands there are is known by who they are.
func ventilator(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	tasks, sink := z.open(ctx, zmq4.Push, ""), z.open(ctx, zmq4.Pull, "")
	defer tasks.Close()
	defer sink.Close()
	if err := errors.Join(tasks.Listen(endpoints[0]), sink.Listen(endpoints[1])); err != nil {
		return err
	}
	for reported := 0; ; {
		msg, err := sink.Recv()
		if err != nil {
			return err
		}
		if reported++; reported == int(msg.Frames[1][0]) {
			break
		}
	}
	for i := range 20 {
		if err := tasks.Send(zmq4.NewMsgString(fmt.Sprint(i))); err != nil {
			return err
		}
	}
	results := map[string]int{}
	for range 20 {
		msg, err := sink.Recv()
		if err != nil {
			return err
		}
		results[string(msg.Frames[0])]++
	}
	fmt.Fprintln(out, len(results), "tasks done")
	return nil
}

// hands are n workers of a ventilator.
func hands(n byte) program {
	return func(ctx context.Context, z api, endpoints []string, _ io.Writer) error {
		ended := make(chan error, n)
		for range n {
			go func() { ended <- hand(ctx, z, n, endpoints) }()
		}
		var err error
		for range n {
			err = errors.Join(err, <-ended)
		}
		return err
	}
}

func hand(ctx context.Context, z api, of byte, endpoints []string) error {
	tasks, results := z.open(ctx, zmq4.Pull, ""), z.open(ctx, zmq4.Push, "")
	defer tasks.Close()
	defer results.Close()
	if err := errors.Join(tasks.Dial(endpoints[0]), results.Dial(endpoints[1])); err != nil {
		return err
	}
	if err := results.Send(zmq4.NewMsgFrom([]byte("ready"), []byte{of})); err != nil {
		return err
	}
	for {
		msg, err := tasks.Recv()
		if err != nil {
			return err
		}
		if err := results.Send(msg); err != nil {
			return err
		}
	}
}

// pairServer sends back what comes.
func pairServer(ctx context.Context, z api, endpoints []string, _ io.Writer) error {
	pair := z.open(ctx, zmq4.Pair, "")
	defer pair.Close()
	if err := pair.Listen(endpoints[0]); err != nil {
		return err
	}
	for {
		msg, err := pair.Recv()
		if err != nil {
			return err
		}
		if err := pair.Send(zmq4.NewMsgFrom(append(msg.Frames, []byte("back"))...)); err != nil {
			return err
		}
	}
}

func pairClient(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	pair := z.open(ctx, zmq4.Pair, "")
	defer pair.Close()
	if err := pair.Dial(endpoints[0]); err != nil {
		return err
	}
	for _, body := range [][]byte{[]byte("short"), make([]byte, 300), make([]byte, 100000)} {
		if err := pair.SendMulti(zmq4.NewMsgFrom(body, nil)); err != nil {
			return err
		}
		msg, err := pair.Recv()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d %d %s\n", len(msg.Frames[0]), len(msg.Frames[1]), msg.Frames[2])
	}
	return nil
}

// queue is a broker of requests.
func queue(ctx context.Context, z api, endpoints []string, _ io.Writer) error {
	return relay(ctx, z, zmq4.Router, zmq4.Dealer, endpoints)
}

// forwarder is a broker of news.
func forwarder(ctx context.Context, z api, endpoints []string, _ io.Writer) error {
	return relay(ctx, z, zmq4.XSub, zmq4.XPub, endpoints)
}

func relay(ctx context.Context, z api, front, back zmq4.SocketType, endpoints []string) error {
	f, b := z.open(ctx, front, ""), z.open(ctx, back, "")
	defer f.Close()
	defer b.Close()
	if err := errors.Join(f.Listen(endpoints[0]), b.Listen(endpoints[1])); err != nil {
		return err
	}
	return z.proxy(ctx, f, b)
}

// clientAndServer are on the two sides of a queue.
func clientAndServer(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rep := z.open(ctx, zmq4.Rep, "")
	defer rep.Close()
	if err := rep.Dial(endpoints[1]); err != nil {
		return err
	}
	go answer(rep, io.Discard) // ends with rep
	return client(ctx, z, endpoints, out)
}

// publisherAndSubscriber are on the two sides of a forwarder.
func publisherAndSubscriber(ctx context.Context, z api, endpoints []string, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pub := z.open(ctx, zmq4.Pub, "")
	defer pub.Close()
	if err := pub.Dial(endpoints[0]); err != nil {
		return err
	}
	go publish(ctx, pub) // ends with ctx
	return subscriber(ctx, z, endpoints[1:], out)
}
