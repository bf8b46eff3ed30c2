package main

import (
	"log"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/meshmq/meshmq/codec"
)

// serverNATS is the server, with room for a mebibyte in a message and for what comes faster than subscribers take it.
func serverNATS(string, int) string {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, MaxPayload: 8 << 20, MaxPending: 1 << 30,
	})
	check(err)
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		log.Fatal("the server does not start")
	}
	return s.ClientURL()
}

func connectNATS(address string) *nats.Conn {
	nc, err := nats.Connect(address, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Fatal(err) }))
	check(err)
	return nc
}

func callNATS(row) *stage {
	s := startFar("NATS server", "", 1)
	service := startFar("NATS service", s.address, 1)
	nc := connectNATS(s.address)
	return &stage{far: []*process{service, s}, call: func(o Order) Order {
		m, err := nc.Request(method, packed(nil, o), 10*time.Second)
		check(err)
		return unpacked(m)
	}}
}

func serveNATS(address string, _ int) string {
	nc := connectNATS(address)
	_, err := nc.Subscribe(method, func(m *nats.Msg) { check(m.Respond(packed(nil, unpacked(m)))) })
	check(err)
	check(nc.Flush())
	return ""
}

// flowNATS is of events and of jobs.
func flowNATS(r row) *stage {
	subject, name := topic, "NATS subscribers"
	if r.pattern == jobs {
		subject, name = topicOfJobs, "NATS workers"
	}
	s := startFar("NATS server", "", 1)
	receivers := startFar(name, s.address, r.peers)
	nc := connectNATS(s.address)
	var buf []byte // used again: Publish copies
	return &stage{far: []*process{receivers, s}, flush: func() { check(nc.Flush()) }, send: func(o Order) {
		buf = packed(buf[:0], o)
		check(nc.Publish(subject, buf))
	}}
}

func subscribeNATS(address string, peers int) string {
	return receiveNATS(address, peers, func(nc *nats.Conn, handle nats.MsgHandler) (*nats.Subscription, error) {
		return nc.Subscribe(topics, handle)
	})
}

func workNATS(address string, peers int) string {
	return receiveNATS(address, peers, func(nc *nats.Conn, handle nats.MsgHandler) (*nats.Subscription, error) {
		return nc.QueueSubscribe(topicOfJobs, "workers", handle)
	})
}

func receiveNATS(address string, peers int, subscribe func(*nats.Conn, nats.MsgHandler) (*nats.Subscription, error)) string {
	for range peers {
		nc := connectNATS(address)
		s, err := subscribe(nc, func(m *nats.Msg) { _ = unpacked(m); handled.Add(1) })
		check(err)
		check(s.SetPendingLimits(-1, -1))
		check(nc.Flush())
	}
	return ""
}

// packed appends a value; to nil, in one allocation.
func packed(buf []byte, o Order) []byte {
	if buf == nil {
		buf = make([]byte, 0, len(o.Data)+64) // what is not data takes less
	}
	buf, err := codec.Msgpack.Append(buf, o)
	check(err)
	return buf
}

func unpacked(m *nats.Msg) (o Order) {
	check(codec.Msgpack.Unmarshal(m.Data, &o))
	return o
}
