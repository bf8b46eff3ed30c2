package socket

import "github.com/meshmq/meshmq/socket/spool"

// flight is a message from when Recv returns it until what became of it is known, and marked.
type flight struct {
	mark   spool.Mark
	owner  *origin // of the copy that Recv returned, or is about to; nil when it is over
	state  flightState
	copies []held
}

type flightState uint8

const (
	handling flightState = iota
	handled              // acknowledged by the application
	over                 // marked, or refused
)

// held is a message that was taken from the inbox and is not returned.
type held struct {
	m    Msg
	p    *pipe
	mark spool.Mark
}

// place is a mark's name but for its id.
type place struct {
	stream      spool.ID
	incarnation uint32
	number      uint64
}

func placeOf(m spool.Mark) place { return place{m.Stream, m.Incarnation, m.Number} }

// flights finds messages by what they are known by.
type flights struct {
	places map[place]*flight
	ids    map[string]*flight
}

func newFlights() flights { return flights{map[place]*flight{}, map[string]*flight{}} }

// find returns the flight of a message with this mark, nil if there is none.
func (s *flights) find(m spool.Mark) *flight {
	if m.Number > 0 {
		if f := s.places[placeOf(m)]; f != nil {
			return f
		}
	}
	if m.ID == "" {
		return nil
	}
	return s.ids[m.ID]
}

// add takes in a flight that find does not return for its mark.
func (s *flights) add(f *flight) {
	if f.mark.Number > 0 {
		s.places[placeOf(f.mark)] = f
	}
	if f.mark.ID != "" {
		s.ids[f.mark.ID] = f
	}
}

func (s *flights) remove(f *flight) {
	delete(s.places, placeOf(f.mark))
	delete(s.ids, f.mark.ID)
}
