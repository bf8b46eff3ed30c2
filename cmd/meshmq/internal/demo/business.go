package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/meshmq/meshmq/examples"
)

// Order is what the order desk sends to the workers, and the packing desk to the shipper.
type Order struct {
	ID       string `json:"id" msgpack:"id"`
	Customer string `json:"customer" msgpack:"customer"`
	Region   string `json:"region" msgpack:"region"`
	Item     string `json:"item" msgpack:"item"`
	Quantity int    `json:"quantity" msgpack:"quantity"`
}

// Quote is what a worker asks the price service for.
type Quote struct {
	Item     string `msgpack:"item"`
	Quantity int    `msgpack:"quantity"`
}

// Price answers a Quote.
type Price struct {
	Cents int `msgpack:"cents"`
}

// Event is what the desk and the workers tell the auditor.
type Event struct {
	Order string `msgpack:"order"`
	By    string `msgpack:"by"`
	Cents int    `msgpack:"cents"`
}

const (
	// batches is how often the desk sends the orders of the file.
	batches = 50
	// pace is how many orders the desk sends a second: enough to see the mesh work, little enough for the worker's
	// replacement to get its share of a run of a few seconds.
	pace = 4000
)

// readOrders reads the file of orders.
func readOrders() ([]Order, error) {
	var orders []Order
	lines := bufio.NewScanner(bytes.NewReader(examples.Orders))
	for lines.Scan() {
		var o Order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("orders.jsonl, line %d: %w", len(orders)+1, err)
		}
		orders = append(orders, o)
	}
	return orders, lines.Err()
}

// checksum of an order's id. Sums of it tell a lost order that another delivered twice makes up for in number.
func checksum(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}

// cents is the price list.
func cents(q Quote) int {
	return (int(checksum(q.Item)%9000) + 500) * q.Quantity
}

// report is what a process counted, in its last line of output.
type report struct {
	Name      string  `json:"name"`
	Ready     bool    `json:"ready,omitempty"` // not the report: the process is set up
	Half      bool    `json:"half,omitempty"`  // not the report: the process has come to where something is to happen
	Sent      uint64  `json:"sent,omitempty"`
	Received  uint64  `json:"received,omitempty"`
	Asked     uint64  `json:"asked,omitempty"`
	Answered  uint64  `json:"answered,omitempty"`
	Published uint64  `json:"published,omitempty"`
	Heard     uint64  `json:"heard,omitempty"`
	Sum       uint64  `json:"sum,omitempty"` // of checksums: of orders sent or received
	Failed    uint64  `json:"failed,omitempty"`
	Seconds   float64 `json:"seconds,omitempty"`
	Waits     []byte  `json:"waits,omitempty"`   // HdrHistogram in ns: from the desk's Send to the worker's handler
	Latency   []byte  `json:"latency,omitempty"` // HdrHistogram in ns: round trips of quotes
	Error     string  `json:"error,omitempty"`

	// Of the parcels. A shipper has sent what the carrier has acknowledged.
	Found         uint64 `json:"found,omitempty"` // in the spool when it was opened
	SentAgain     uint64 `json:"sent_again,omitempty"`
	ReceivedAgain uint64 `json:"received_again,omitempty"` // of those received
}

// services are the names that the processes of one run announce.
type services struct{ orders, quotes, events, parcels, pickups string }

func servicesOf(run string) services {
	name := func(of string) string { return "demo-" + run + "-" + of }
	return services{name("orders"), name("quotes"), name("events"), name("parcels"), name("pickups")}
}

// leaveLimit is how long a peer waits for its peers to hang up when it leaves.
const leaveLimit = 20 * time.Second
