package bench

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Load is what one measurement is about, next to its pattern.
type Load struct {
	Size          int `json:"size"` // bytes of each frame
	Frames        int `json:"frames"`
	Peers         int `json:"peers,omitempty"`         // none for throughput, latency and topics
	Subscriptions int `json:"subscriptions,omitempty"` // topics
	InFlight      int `json:"in_flight,omitempty"`     // messages of each DEALER of router
	Asked         int `json:"rate,omitempty"`          // requests a second of latency
}

// UsualRate is how many requests a second latency has unless others are asked for.
const UsualRate = 1000

// String says what is not as usual: the size, and what there is several of.
func (l Load) String() string {
	s := FormatSize(l.Size)
	if l.Frames > 1 {
		s = fmt.Sprintf("%d x %s", l.Frames, s)
	}
	if l.Peers > 0 {
		s += fmt.Sprintf(", %d peers", l.Peers)
	}
	if l.Subscriptions > 0 {
		s += fmt.Sprintf(", %d subscriptions", l.Subscriptions)
	}
	if l.InFlight > 1 {
		s += fmt.Sprintf(", %d in flight", l.InFlight)
	}
	if l.unusual() {
		s += fmt.Sprintf(", %d a second", l.Asked)
	}
	return s
}

// unusual is whether requests have a rate, and not the usual one.
func (l Load) unusual() bool { return l.Asked > 0 && l.Asked != UsualRate }

// loads are those of a pattern, without what makes no difference to it.
func (c *Config) loads(pattern string) (all []Load) {
	for _, size := range c.Sizes {
		for _, frames := range c.Frames {
			for _, peers := range c.Peers {
				for _, subscriptions := range c.Subscriptions {
					l := Load{Size: size, Frames: frames, Peers: peers, Subscriptions: subscriptions}
					if slices.Contains([]string{Throughput, Latency, Topics}, pattern) {
						l.Peers = 0
					}
					switch pattern {
					case Routing:
						l.InFlight = c.InFlight
					case Latency:
						l.Asked = c.Rate
					}
					if pattern != Topics {
						l.Subscriptions = 0
					}
					if !slices.Contains(all, l) {
						all = append(all, l)
					}
				}
			}
		}
	}
	return all
}

// body makes the frames of a message.
func (l *Load) body() [][]byte {
	frames := make([][]byte, l.Frames)
	for i := range frames {
		frames[i] = make([]byte, l.Size)
	}
	return frames
}

// perLook is after how many messages one looks at the clock or at a shared counter: it must cost nothing for small ones, and
// large ones are few.
func (l *Load) perLook() int64 { return int64(min(max(1, (64<<10)/(l.Size*l.Frames+1)), 64)) }

// queued is how many messages pushers and their PULL can have in their queues with the high-water marks that are the default, in messages and in bytes. They do
// before anything is received, and receiving those says nothing about sending.
func (r *Result) queued() int64 {
	if r.Pattern != Throughput && r.Pattern != Fanin {
		return 0
	}
	return int64(2 * max(1, r.Peers) * min(1000, (64<<20)/(r.Size*r.Frames+1)))
}

// axis is something of a load that may grow.
type axis struct {
	name   string
	of     func(Load) int
	format func(int) string
}

var axes = []axis{
	{"size of a message", func(l Load) int { return l.Size }, FormatSize},
	{"frames of a message", func(l Load) int { return l.Frames }, thousands},
	{"peers", func(l Load) int { return l.Peers }, thousands},
	{"subscriptions", func(l Load) int { return l.Subscriptions }, thousands},
}

// along sorts results by their place on an axis.
func along(a axis, all []Result) []Result {
	return slices.SortedStableFunc(slices.Values(all), func(x, y Result) int { return cmp.Compare(a.of(x.Load), a.of(y.Load)) })
}

func thousands(n int) string { return grouped(float64(n)) }

// varied returns what grows among results of one pattern: nothing, one axis, or several.
func varied(all []Result) (found []axis) {
	for _, a := range axes {
		first := map[string]int{}
		if slices.ContainsFunc(all, func(r Result) bool {
			n := a.of(r.Load)
			was, seen := first[r.Pattern]
			first[r.Pattern] = n
			return seen && n != was
		}) {
			found = append(found, a)
		}
	}
	return found
}

// cost is the time for each message in nanoseconds, or its round trip where that was measured.
func (r *Result) cost() float64 {
	if r.Times != nil {
		return r.Times.P50 * 1e3
	}
	return 1e9 / r.Rate
}

// steepest says between which neighbours on an axis the cost of a message grows most: by the power of what grows, so that 0 is a cost that stays and 1
// one that doubles when that doubles. More than 1 is a knee.
func steepest(a axis, line []Result) (from, to Result, power float64) {
	line, power = along(a, line), math.Inf(-1)
	for i := range line[1:] {
		x, y := a.of(line[i].Load), a.of(line[i+1].Load)
		if x < 1 || y <= x {
			continue
		}
		if p := math.Log(line[i+1].cost()/line[i].cost()) / math.Log(float64(y)/float64(x)); p > power {
			from, to, power = line[i], line[i+1], p
		}
	}
	return from, to, power
}
