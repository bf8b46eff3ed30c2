package codec

import (
	"sync/atomic"
	"unicode/utf8"
)

// names has those that envelopes carried of late. There are few in a process, and each message would copy and check them once more.
var names [256]atomic.Pointer[nameSet] // 64 KiB of strings at most: what comes later replaces what is in its place

// maxInterned is how long the text of a nameSet may be that is kept: names that people read are shorter.
const maxInterned = 256

// nameSet is the three names of an envelope.
type nameSet struct {
	text                 string // as they are on the wire
	kind, source, coding string // parts of text: type, source, codec
}

// namesIn returns what is in text: three names, one behind the other, whose bytes begin at these places and end before the next code. It returns nil if one
// of them is not UTF-8.
func namesIn(text []byte, bounds [3]span) *nameSet {
	if len(text) > maxInterned {
		return newNames(string(text), bounds)
	}
	place := &names[(len(text)*31+int(text[1])*7+int(text[len(text)/2]))%len(names)] // three names have three bytes at least
	if known := place.Load(); known != nil && known.text == string(text) {
		return known
	}
	fresh := newNames(string(text), bounds)
	if fresh != nil {
		place.Store(fresh)
	}
	return fresh
}

func newNames(text string, bounds [3]span) *nameSet {
	n := &nameSet{text: text, kind: bounds[0].of(text), source: bounds[1].of(text), coding: bounds[2].of(text)}
	if !utf8.ValidString(n.kind) || !utf8.ValidString(n.source) || !utf8.ValidString(n.coding) {
		return nil
	}
	return n
}

// span is where a string lies in a text.
type span struct{ from, to int }

func (s span) of(text string) string { return text[s.from:s.to] }
