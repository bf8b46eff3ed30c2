package dns_test

import (
	"fmt"
	"time"

	"github.com/meshmq/meshmq/discovery"
	"github.com/meshmq/meshmq/discovery/dns"
	"github.com/meshmq/meshmq/patterns/pushpull"
)

// A producer connects to all workers that a zone knows, now and later.
func ExampleNew() {
	registry, err := dns.New("shop.example.com", dns.WithServers("127.0.0.1:5353"), dns.WithPeriod(time.Second, 10*time.Second))
	if err != nil {
		fmt.Println(err)
		return
	}
	producer := pushpull.NewProducer[string]()
	defer producer.Close()
	node := discovery.NewNode(registry, "order-desk")
	defer node.Close()
	if _, err := node.Follow("orders", producer); err != nil {
		fmt.Println(err)
	}
	fmt.Println("asks for _orders._tcp.shop.example.com")
	// Output: asks for _orders._tcp.shop.example.com
}
