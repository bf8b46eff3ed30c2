package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/rpc"
)

func callHTTP(r row) *stage {
	service := startFar("net/http service", "", 1)
	c := http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: r.peers}} // by default it keeps two, and dials for each call of the others
	url := "http://" + service.address + "/"
	return &stage{far: []*process{service}, call: func(o Order) (answer Order) {
		body, err := json.Marshal(o)
		check(err)
		response, err := c.Post(url, "application/json", bytes.NewReader(body))
		check(err)
		check(json.NewDecoder(response.Body).Decode(&answer))
		_, err = io.Copy(io.Discard, response.Body) // to its end, without which the connection is not used again
		check(err)
		check(response.Body.Close())
		return answer
	}}
}

func serveHTTP(string, int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	create := func(w http.ResponseWriter, r *http.Request) {
		var o Order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		check(json.NewEncoder(w).Encode(o))
	}
	go func() { check(http.Serve(l, http.HandlerFunc(create))) }()
	return l.Addr().String()
}

func callRPC(row) *stage {
	service := startFar("net/rpc service", "", 1)
	c, err := rpc.Dial("tcp", service.address)
	check(err)
	return &stage{far: []*process{service}, call: func(o Order) (answer Order) {
		check(c.Call("Orders.Create", &o, &answer))
		return answer
	}}
}

type creatorRPC struct{}

func (creatorRPC) Create(o, answer *Order) error {
	*answer = *o
	return nil
}

func serveRPC(string, int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	s := rpc.NewServer()
	check(s.RegisterName("Orders", creatorRPC{}))
	go s.Accept(l)
	return l.Addr().String()
}
