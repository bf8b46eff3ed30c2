package main

import (
	"context"

	"github.com/meshmq/meshmq/patterns/pubsub"
	"github.com/meshmq/meshmq/patterns/pushpull"
	"github.com/meshmq/meshmq/patterns/reqrep"
	"github.com/meshmq/meshmq/socket"
)

const anyPort = "tcp://127.0.0.1:0"

func callMeshmq(row) *stage {
	service := startFar("meshmq service", "", 1)
	c := reqrep.NewClient()
	check(c.Connect(service.address))
	return &stage{far: []*process{service}, call: func(o Order) Order {
		answer, err := reqrep.Call[Order, Order](background, c, method, o)
		check(err)
		return answer
	}}
}

func serveMeshmq(string, int) string {
	s := reqrep.NewService()
	check(reqrep.Handle(s, method, func(_ context.Context, o Order) (Order, error) { return o, nil }))
	address, err := s.Bind(anyPort)
	check(err)
	go func() { check(s.Run(background)) }()
	return address
}

func publishMeshmq(r row) *stage {
	p := pubsub.NewPublisher(pubsub.WithSlowSubscribers(socket.Block))
	address, err := p.Bind(anyPort)
	check(err)
	subscribers := startFar("meshmq subscribers", address, r.peers)
	check(p.WaitSubscribers(background, topic, r.peers))
	return &stage{far: []*process{subscribers}, send: func(o Order) { check(p.Publish(background, topic, o)) }}
}

func subscribeMeshmq(address string, peers int) string {
	for range peers {
		s := pubsub.NewSubscriber()
		_, err := pubsub.Subscribe(s, topics, func(context.Context, string, Order) error { handled.Add(1); return nil })
		check(err)
		check(s.Connect(address))
		go func() { check(s.Run(background)) }()
	}
	return ""
}

func sendMeshmq(r row) *stage {
	p := pushpull.NewProducer[Order]()
	address, err := p.Bind(anyPort)
	check(err)
	workers := startFar("meshmq workers", address, r.peers)
	check(p.WaitPeers(background, r.peers))
	return &stage{far: []*process{workers}, send: func(o Order) { check(p.Send(background, o)) }}
}

func workMeshmq(address string, peers int) string {
	for range peers {
		w := pushpull.NewWorker[Order]()
		check(w.Connect(address))
		go func() { check(w.Run(background, func(context.Context, Order) error { handled.Add(1); return nil })) }()
	}
	return ""
}
