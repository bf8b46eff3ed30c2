package reqrep

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Methods that every service has. They are answered although all handlers are busy, and outside of middleware. Ask one instance with Ping,
// GetInfo and GetStats, all of them with Scatter: Scatter[struct{}, Info](ctx, client, InfoMethod, struct{}{}).
const (
	PingMethod  = "$ping"  // the answer is the service's time
	InfoMethod  = "$info"  // the answer is an Info
	StatsMethod = "$stats" // the answer is a ServiceStats
)

// Info says what a service is.
type Info struct {
	Name    string // that of patterns.WithSource
	Version string // that of WithVersion
	Started time.Time
	Methods []MethodInfo // by name
}

// MethodInfo says what a method takes and answers.
type MethodInfo struct {
	Name    string
	In, Out string // names of the Go types, without package; empty for those without a name
	Streams bool
}

// ServiceCounts counts requests that no handler answered.
type ServiceCounts struct {
	Overloaded uint64 // answered with CodeOverloaded
	Expired    uint64 // answered with CodeDeadline before a handler was free
	Cancelled  uint64 // not answered since nobody waited any more; for some of them a handler had begun
}

// ServiceStats says how a service has fared since it was made.
type ServiceStats struct {
	ServiceCounts
	Waiting int           // requests that wait for a handler
	Methods []MethodStats // by name
}

// MethodStats says how the calls of one method fared.
type MethodStats struct {
	Name   string
	Calls  uint64 // that have ended
	Errors uint64 // of those, with an error, whether somebody waited for it or not
	InHand int64
	// How long handlers took, to within an eighth.
	P50, P90, P99, Max time.Duration
}

// Ping returns how long a service takes to answer that does nothing for it.
func Ping(ctx context.Context, c *Client) (time.Duration, error) {
	begin := time.Now()
	_, err := Call[struct{}, time.Time](ctx, c, PingMethod, struct{}{})
	return time.Since(begin), err
}

// GetInfo asks a service what it is.
func GetInfo(ctx context.Context, c *Client) (Info, error) {
	return Call[struct{}, Info](ctx, c, InfoMethod, struct{}{})
}

// GetStats asks a service how it fares.
func GetStats(ctx context.Context, c *Client) (ServiceStats, error) {
	return Call[struct{}, ServiceStats](ctx, c, StatsMethod, struct{}{})
}

// inquire answers for the service itself.
func (s *Service) inquire(ctx context.Context, r *request) {
	var out any
	s.mu.Lock()
	away := s.leaving
	s.mu.Unlock()
	switch r.e.Type {
	case PingMethod:
		out = time.Now()
	case InfoMethod:
		out = s.Info()
	case StatsMethod:
		out = s.ServiceStats()
	}
	var failure *Error
	switch {
	case away:
		failure = Errorf(CodeUnavailable, "the service is shutting down").Retry(0)
	case out == nil:
		failure = Errorf(CodeUnknownMethod, "no method %q", r.e.Type)
		s.loop.Refuse(ctx, r.m, r.e, fmt.Errorf("%w: no method %q", errMalformed, r.e.Type))
	}
	s.reply(ctx, r, out, failure)
}

// Info returns what GetInfo tells.
func (s *Service) Info() Info {
	info := Info{Name: s.conf.Source, Version: s.calls.version, Started: s.started}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.methods {
		info.Methods = append(info.Methods, m.info)
	}
	slices.SortFunc(info.Methods, func(a, b MethodInfo) int { return cmp.Compare(a.Name, b.Name) })
	return info
}

// ServiceStats returns what GetStats tells.
func (s *Service) ServiceStats() ServiceStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := ServiceStats{ServiceCounts: s.desk.counts, Waiting: len(s.desk.waiting)}
	for name, m := range s.methods {
		one := m.meter.stats()
		one.Name = name
		stats.Methods = append(stats.Methods, one)
	}
	slices.SortFunc(stats.Methods, func(a, b MethodStats) int { return cmp.Compare(a.Name, b.Name) })
	return stats
}
