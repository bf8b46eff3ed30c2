package pushpull_test

import (
	"context"
	"testing"

	"github.com/meshmq/meshmq/patterns/pushpull"
)

type parcel struct {
	Body []byte
}

func BenchmarkTyped(b *testing.B) {
	w := pushpull.NewWorker[parcel]()
	p := pushpull.NewProducer[parcel]()
	defer p.Close()
	addr, _ := w.Bind("tcp://127.0.0.1:0")
	_ = p.Connect(addr)
	done := make(chan struct{})
	ended := make(chan error, 1)
	n := 0
	go func() {
		ended <- w.Run(context.Background(), func(context.Context, parcel) error {
			if n++; n == b.N {
				close(done)
			}
			return nil
		})
	}()
	v := parcel{make([]byte, 100)}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if err := p.Send(b.Context(), v); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	w.Close()
	<-ended
}
