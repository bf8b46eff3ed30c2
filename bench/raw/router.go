package main

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// echo returns what it reads, on each of many connections: on one goroutine that asks the system which of them has something, where that is possible, else on one for each.
func echo(size, peers int, d time.Duration) (rate float64) {
	conns, end := meetMany("dealers", size, peers)
	defer end()
	var echoed atomic.Int64
	if !poll(conns, size, &echoed) {
		each(conns, size, &echoed)
	}
	time.Sleep(d / 10)
	from, start := echoed.Load(), time.Now()
	time.Sleep(d)
	return float64(echoed.Load()-from) / time.Since(start).Seconds()
}

func each(conns []net.Conn, size int, echoed *atomic.Int64) {
	for _, conn := range conns {
		go func() {
			for frame := make([]byte, header+size); ; echoed.Add(1) {
				if _, err := io.ReadFull(conn, frame); err != nil {
					return // the far side was ended
				}
				if _, err := conn.Write(frame); err != nil {
					return
				}
			}
		}()
	}
}

// dealers does not return.
func dealers(address string, size, peers int) {
	const goroutines = 4
	var all [goroutines][]net.Conn
	for i := range peers {
		conn, err := net.Dial("tcp", address)
		check(err)
		calm(conn)
		all[i%goroutines] = append(all[i%goroutines], conn)
	}
	for _, conns := range all {
		go func() {
			for frame := make([]byte, header+size); ; {
				for _, conn := range conns {
					_, err := conn.Write(frame)
					check(err)
				}
				for _, conn := range conns {
					_, err := io.ReadFull(conn, frame)
					check(err)
				}
			}
		}()
	}
	select {}
}
