package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
)

// shipperFlags are those of a shipper that stops with a parcel in hand, or does not if that is 0.
func (d *director) shipperFlags(stop uint64) []string {
	return []string{"--spool", filepath.Join(d.home, "spool"), "--stop", strconv.FormatUint(stop, 10)}
}

// ship plays the second act: the shipper is killed and another process goes on with its spool.
func (d *director) ship(ctx context.Context, b *parcelBooks, on map[string]*child) error {
	desk, carrier, shipper := on["packing desk"], on["carrier"], on["shipper"]
	if err := desk.tell("send"); err != nil {
		return fmt.Errorf("tell %s to send: %w", desk.name, err)
	}
	d.say("parcels flow, through the spool of a shipper")
	if _, err := carrier.next(ctx); err != nil { // it takes no more until it is told
		return err
	}
	var err error
	if b.killed, err = shipper.next(ctx); err != nil {
		return err
	}
	d.say("the shipper is killed with SIGKILL, %d parcels into its work", b.killed.Received)
	down := time.Now()
	if err := shipper.kill(); err != nil {
		return err
	}
	if err := carrier.tell("resume"); err != nil {
		return fmt.Errorf("tell %s to resume: %w", carrier.name, err)
	}
	if shipper, err = d.start(ctx, "shipper", "shipper", d.shipperFlags(0)...); err != nil {
		return err
	}
	up, err := shipper.next(ctx)
	if err != nil {
		return err
	}
	b.outage = time.Since(down)
	d.say("another process has opened the spool, found %d parcels in it, and goes on", up.Found)
	if b.desk, err = desk.next(ctx); err != nil { // all is acknowledged
		return err
	}
	if b.successor, err = shipper.finish(ctx); err != nil {
		return err
	}
	b.carrier, err = carrier.finish(ctx)
	return errors.Join(err, desk.end())
}

// parcelBooks are the reports of the second act. Of the shipper that was killed there is only what it said last.
type parcelBooks struct {
	desk, killed, successor, carrier report
	outage                           time.Duration // from the kill until another shipper was at work
}

// arrived is how many different parcels the carrier got.
func (b *parcelBooks) arrived() uint64 { return b.carrier.Received - b.carrier.ReceivedAgain }

func (b *parcelBooks) print(w io.Writer) {
	t := newTable(w, "peer", "parcels out", "of them again", "found in spool", "parcels in", "of them again")
	t.AppendRow(row("packing desk", b.desk.Sent+b.desk.SentAgain, b.desk.SentAgain))
	t.AppendRow(row("shipper, until it was killed", 0, 0, 0, b.killed.Received))
	t.AppendRow(row("shipper, its successor", b.successor.Sent, 0, b.successor.Found, b.successor.Received, b.successor.ReceivedAgain))
	t.AppendRow(row("carrier", 0, 0, 0, b.carrier.Received, b.carrier.ReceivedAgain))
	t.AppendSeparator()
	t.AppendRow(table.Row{"different parcels", b.desk.Sent, "", "", b.arrived()})
	t.AppendRow(table.Row{"lost", "", "", "", lost(b.desk.Sent, b.arrived())})
	t.Render()
	working := b.desk.Seconds - b.outage.Seconds()
	fmt.Fprintf(w, "parcels %.0f a second, each on disk before it was acknowledged, but for %.0f ms without a shipper\n",
		float64(b.desk.Sent)/max(working, 1e-9), float64(b.outage)/float64(time.Millisecond))
}

// check returns ErrCheck with what is wrong if the numbers do not add up.
func (b *parcelBooks) check() error {
	var a audit
	taken := b.killed.Received + b.successor.Received
	a.equal("parcels sent and arrived", b.desk.Sent, b.arrived())
	a.equal("checksums of parcels sent and arrived", b.desk.Sum, b.carrier.Sum)
	a.equal("parcels sent again and received again by the shipper", b.desk.SentAgain, b.successor.ReceivedAgain)
	a.equal("parcels found and taken in by the shipper, and sent on", b.successor.Found+b.successor.Received, b.successor.Sent)
	a.that(taken >= b.desk.Sent && taken <= b.desk.Sent+b.desk.SentAgain, "parcels taken in: %d, where %d were sent and %d of them again",
		taken, b.desk.Sent, b.desk.SentAgain)
	a.that(b.carrier.Received >= b.successor.Sent, "parcels sent on and carried: %d and only %d", b.successor.Sent, b.carrier.Received)
	// The shipper and the carrier each had a parcel in hand at the kill.
	a.that(b.desk.SentAgain > 0 && b.carrier.ReceivedAgain > 0, "nothing was delivered again: nobody was killed at work")
	a.that(b.successor.Found > 0, "the killed shipper's spool was empty")
	return errors.Join(a...)
}
