package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/meshmq/meshmq/socket"
	"github.com/meshmq/meshmq/socket/spool"
)

const (
	// parcelBatches is how often the packing desk sends the orders of the file as parcels.
	parcelBatches = 20
	// parcelsAway is how many parcels a shipper may have that are not acknowledged. It is less than what lies between
	// carrierStop and shipperStop, so that some are in the killed shipper's spool and nowhere else for certain.
	parcelsAway = 500
	// carrierStop is after how many parcels the carrier waits until the shipper is killed, with the last one in hand.
	carrierStop = 2000
	// shipperStop is which parcel the first shipper has in hand, and not in its spool, when it is killed.
	shipperStop = 4000
)

// packer sends parcels to the shipper that is there, and keeps each until that has acknowledged it.
func (p *peer) packer(ctx context.Context) error {
	orders, err := readOrders()
	if err != nil {
		return err
	}
	push := socket.NewPush(socket.WithAck())
	defer push.Close()
	ep, err := push.Bind(loopback)
	if err != nil {
		return err
	}
	if _, err := p.node.Announce(p.parcels, ep, nil); err != nil {
		return err
	}
	if err := errors.Join(p.ready(), p.await(ctx, "send")); err != nil {
		return err
	}
	start := time.Now()
	for n := range parcelBatches * len(orders) {
		o := orders[n%len(orders)]
		o.ID = fmt.Sprintf("%s/%d", o.ID, n/len(orders))
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if err := push.Send(ctx, body); err != nil {
			return err
		}
		p.rep.Sent++
		p.rep.Sum += checksum(o.ID)
	}
	if err := push.WaitAcked(ctx); err != nil {
		return err
	}
	p.rep.Seconds = time.Since(start).Seconds()
	p.rep.SentAgain = push.Stats().Acks.RedeliveredOut
	return push.Shutdown(ctx)
}

// shipper takes parcels in, puts them into its spool, acknowledges what is on disk, and sends from the spool what the carrier takes.
func (p *peer) shipper(ctx context.Context) error {
	out := socket.NewPush(socket.WithSpool(p.Spool, spool.Options{SegmentSize: 1 << 20}))
	defer out.Close()
	in := socket.NewPull(socket.WithAck(), socket.WithManualAck(), socket.WithAckCredit(parcelsAway, 1<<20))
	defer in.Close()
	var found uint64
	if s := out.Stats().Spool; s != nil { // else it could not be opened, which WaitPeers says
		found = s.Messages
	}
	if _, err := p.node.Follow(p.pickups, out); err != nil {
		return err
	}
	if err := out.WaitPeers(ctx, 1); err != nil {
		return err
	}
	if _, err := p.node.Follow(p.parcels, in); err != nil {
		return err
	}
	if err := in.WaitPeers(ctx, 1); err != nil {
		return err
	}
	if err := p.out.Encode(report{Name: p.Name, Ready: true, Found: found}); err != nil {
		return err
	}
	if err := p.ship(ctx, in, out); err != nil {
		return err
	}
	if err := errors.Join(in.Shutdown(ctx), out.WaitAcked(ctx)); err != nil {
		return err
	}
	p.rep.Found, p.rep.Sent, p.rep.ReceivedAgain = found, out.Stats().Spool.Settled, in.Stats().Acks.RedeliveredIn
	return out.Shutdown(ctx)
}

// ship works until it is told to leave.
func (p *peer) ship(ctx context.Context, in *socket.Pull, out *socket.Push) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	taking, stop := context.WithCancel(ctx)
	written := make(chan shipment, parcelsAway) // never full: credit lets in no more
	var running sync.WaitGroup
	running.Go(func() {
		defer close(written)
		if err := p.takeIn(taking, in, out, written); err != nil && taking.Err() == nil {
			fail(err)
		}
	})
	running.Go(func() {
		if err := acknowledge(ctx, out, written); err != nil {
			fail(err)
		}
	})
	err := p.await(ctx, "leave")
	stop()
	running.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	return err
}

// shipment is a parcel that is on its way to the disk.
type shipment struct {
	socket.Msg
	number uint64 // in the spool
}

func (p *peer) takeIn(ctx context.Context, in *socket.Pull, out *socket.Push, written chan<- shipment) error {
	for {
		msg, err := in.Recv(ctx)
		if err != nil {
			return err
		}
		if p.rep.Received++; p.rep.Received == p.Stop {
			err := p.half()
			<-ctx.Done() // this is where it is killed
			return err
		}
		n, err := out.Enqueue(ctx, msg.Frames...)
		if err != nil {
			return err
		}
		written <- shipment{msg, n}
	}
}

// acknowledge has the packing desk forget the parcels that are on disk.
func acknowledge(ctx context.Context, out *socket.Push, written <-chan shipment) error {
	for s := range written {
		if err := out.WaitSpooled(ctx, s.number); err != nil {
			return err
		}
		if err := s.Ack(); err != nil {
			return err
		}
	}
	return nil
}

// carrier takes parcels and counts those that come more than once.
func (p *peer) carrier(ctx context.Context) error {
	pull := socket.NewPull(socket.WithAck())
	defer pull.Close()
	ep, err := pull.Bind(loopback)
	if err != nil {
		return err
	}
	if _, err := p.node.Announce(p.pickups, ep, nil); err != nil {
		return err
	}
	if err := p.ready(); err != nil {
		return err
	}
	seen := make(map[string]bool)
	if err := p.carry(ctx, pull, seen, carrierStop); err != nil {
		return err
	}
	if err := errors.Join(p.half(), p.await(ctx, "resume")); err != nil {
		return err
	}
	taking, stop := context.WithCancel(ctx)
	var failed error
	var running sync.WaitGroup
	running.Go(func() { failed = p.carry(taking, pull, seen, 0) })
	err = p.await(ctx, "leave")
	stop()
	running.Wait()
	return errors.Join(err, failed, pull.Shutdown(ctx))
}

// carry takes parcels until there are enough different ones, or ctx ends. The next turn of the loop acknowledges the parcel of the last, so that one it
// is left with is not acknowledged.
func (p *peer) carry(ctx context.Context, pull *socket.Pull, seen map[string]bool, enough int) error {
	for msg, err := range pull.Messages(ctx) {
		if err != nil {
			return err
		}
		var o Order
		if err := json.Unmarshal(msg.Bytes(), &o); err != nil {
			return fmt.Errorf("parcel %q: %w", msg.Bytes(), err)
		}
		p.rep.Received++
		if seen[o.ID] {
			p.rep.ReceivedAgain++
			continue
		}
		seen[o.ID] = true
		p.rep.Sum += checksum(o.ID)
		if len(seen) == enough {
			return nil
		}
	}
	return nil
}
