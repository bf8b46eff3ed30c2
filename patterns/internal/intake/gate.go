package intake

import (
	"context"
	"sync"
)

// gate lets the goroutines of a Loop take messages, or has them wait.
type gate struct {
	taking context.Context // ends when nobody passes any more

	mu      sync.Mutex         // guards the fields below
	opening chan struct{}      // closed by open; nil while the gate is open
	period  context.Context    // ends at the next shut
	end     context.CancelFunc // of period
	inside  int
	left    chan struct{} // closed when nobody is inside; nil while nobody waits for that
}

func (g *gate) init(taking context.Context) {
	g.taking = taking
	g.period, g.end = context.WithCancel(taking)
}

// pass waits while the gate is shut, and returns a context that ends when it is shut again, or a moment after ctx; the caller calls leave
// then. It returns nil when nothing is to be taken any more.
func (g *gate) pass(ctx context.Context) (receiving context.Context, leave func()) {
	for ctx.Err() == nil && g.taking.Err() == nil {
		g.mu.Lock()
		opening, period := g.opening, g.period
		if opening == nil {
			g.inside++
			g.mu.Unlock()
			receiving, stop := context.WithCancel(period) // so that nobody takes more once shut has returned
			forget := context.AfterFunc(ctx, stop)
			return receiving, func() { forget(); stop(); g.leave() }
		}
		g.mu.Unlock()
		select {
		case <-opening:
		case <-ctx.Done():
		case <-g.taking.Done():
		}
	}
	return nil, nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.left != nil {
		close(g.left)
		g.left = nil
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opening == nil {
		g.opening = make(chan struct{})
		g.end()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opening != nil {
		close(g.opening)
		g.opening = nil
		g.period, g.end = context.WithCancel(g.taking)
	}
}

func (g *gate) isShut() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.opening != nil
}

// quiet waits until nobody is inside, or ctx ends.
func (g *gate) quiet(ctx context.Context) {
	g.mu.Lock()
	if g.inside == 0 {
		g.mu.Unlock()
		return
	}
	if g.left == nil {
		g.left = make(chan struct{})
	}
	left := g.left
	g.mu.Unlock()
	select {
	case <-left:
	case <-ctx.Done():
	}
}
