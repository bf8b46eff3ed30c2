package bench

import (
	"context"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/meshmq/meshmq/socket"
)

// idle finds what memory a ROUTER has in use for each of many dealers that say nothing, and then how long a message takes to any of them and back.
func (c *Config) idle(ctx context.Context, r *Result) (err error) {
	before := inUse()
	router := socket.NewRouter(c.near()...)
	defer router.Close()
	_, end, err := c.meet(ctx, router, Peer{Kind: kindIdle, Load: r.Load})
	if err != nil {
		return err
	}
	defer end(&err)
	names := make([][]byte, r.Peers)
	for i := range names {
		m, err := router.Recv(context.Background())
		if err != nil {
			return err
		}
		names[i] = append([]byte(nil), m.Frames[0]...)
	}
	if !c.shared() {
		r.Memory = max(0, inUse()-before) / float64(r.Peers)
	}
	trips := newTrips()
	message := append([][]byte{nil}, r.body()...)
	r.Rate, err = repeat(func() error {
		message[0] = names[rand.IntN(len(names))]
		start := time.Now()
		if err := router.Send(context.Background(), message...); err != nil {
			return err
		}
		m, err := router.Recv(context.Background())
		if err != nil {
			return err
		}
		trips.record(time.Since(start))
		defer m.Release()
		return checkMessage(m, r, 1)
	}, 1, c.Duration, 0)
	r.Times = trips.times()
	return err
}

// inUse is the memory that Go has in use, stacks with it.
func inUse() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first only empties pools halfway
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}
