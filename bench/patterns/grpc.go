package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"

	"github.com/meshmq/meshmq/codec"
)

// msgpack is this project's codec for gRPC, which lends it buffers.
type msgpack struct{}

func (msgpack) Name() string { return "msgpack" }

func (msgpack) Marshal(v any) (mem.BufferSlice, error) {
	o, pool := v.(*Order), mem.DefaultBufferPool()
	buf := pool.Get(len(o.Data) + 64) // what is not data takes less
	out, err := codec.Msgpack.Append((*buf)[:0], *o)
	if err != nil {
		return nil, err
	}
	*buf = out
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

func (msgpack) Unmarshal(data mem.BufferSlice, v any) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return codec.Msgpack.Unmarshal(buf.ReadOnlyData(), v)
}

// creator is what the service implements, as generated code would say it.
type creator interface {
	Create(ctx context.Context, o *Order) (*Order, error)
}

type creatorGRPC struct{}

func (creatorGRPC) Create(_ context.Context, o *Order) (*Order, error) { return o, nil }

var descriptionGRPC = grpc.ServiceDesc{ServiceName: "bench.Orders", HandlerType: (*creator)(nil), Methods: []grpc.MethodDesc{{
	MethodName: "Create",
	Handler: func(service any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		o := new(Order)
		if err := decode(o); err != nil {
			return nil, err
		}
		return service.(creator).Create(ctx, o)
	},
}}}

func callGRPC(row) *stage {
	service := startFar("gRPC service", "", 1)
	c, err := grpc.NewClient("passthrough:///"+service.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(msgpack{})))
	check(err)
	return &stage{far: []*process{service}, call: func(o Order) (answer Order) {
		check(c.Invoke(background, "/bench.Orders/Create", &o, &answer))
		return answer
	}}
}

func serveGRPC(string, int) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	s := grpc.NewServer(grpc.ForceServerCodecV2(msgpack{}))
	s.RegisterService(&descriptionGRPC, creatorGRPC{})
	go func() { check(s.Serve(l)) }()
	return l.Addr().String()
}
