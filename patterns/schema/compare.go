package schema

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/meshmq/meshmq/codec"
)

// ErrBreaking means that a change of a type breaks its peers.
var ErrBreaking = errors.New("breaking change")

// Mode says who has to get on with whom after a change.
type Mode uint8

// The modes of Compare.
const (
	Backward Mode                 = 1 << iota // new programs read what old ones wrote
	Forward                                   // old programs read what new ones write
	Full     = Backward | Forward             // both, as when programs are replaced one by one
)

// Compare returns what of the change from before to after breaks peers, each place on a line, as an ErrBreaking; nil if nothing does. What breaks:
//
//	a field that readers need and writers do not always write: removed or renamed (Forward), added (Backward), or
//	    optional on the writer's side alone; so what is to come or go is to be optional first
//	a field that looks renamed: one is gone, one of the same shape has come
//	a field whose name only differs in case, which one codec takes for the same and another does not
//	a type that is another, or narrower on the reader's side: int64 reads int32 and uint32, an array shorter ones but no slice
func Compare(before, after Description, mode Mode) error {
	c := comparison{seen: make(map[[2]*Shape]bool)}
	if before.Codec != after.Codec {
		c.report("", "was described for %s, is for %s", before.Codec, after.Codec)
	}
	if mode&Backward != 0 {
		c.reader, c.writer = "new", "old"
		c.reads("", place{Shape: &after.Shape}, place{Shape: &before.Shape})
	}
	if mode&Forward != 0 {
		c.reader, c.writer = "old", "new"
		clear(c.seen)
		c.reads("", place{Shape: &before.Shape}, place{Shape: &after.Shape})
	}
	return errors.Join(c.errs...)
}

// Compatible compares two Go types as c writes them.
func Compatible[Before, After any](c codec.Codec, mode Mode) error {
	before, err := Describe[Before](c)
	if err != nil {
		return err
	}
	after, err := Describe[After](c)
	if err != nil {
		return err
	}
	return Compare(before, after, mode)
}

// comparison collects what does not fit.
type comparison struct {
	reader, writer string
	seen           map[[2]*Shape]bool // pairs of objects, since some hold themselves
	errs           []error
}

// place is a shape and the object around it, nil for none.
type place struct {
	*Shape
	out *place
}

// at returns the place of what is directly within p, which a description from a file may lack.
func (p place) at(inner *Shape) place {
	if inner == nil {
		inner = &Shape{}
	}
	return place{inner, p.out}
}

// resolve goes back to the object that is meant.
func (p place) resolve() place {
	if p.Kind != "back" {
		return p
	}
	out := p.out
	for level := 1; level < p.Levels && out != nil; level++ {
		out = out.out
	}
	if out == nil {
		return place{Shape: &Shape{Kind: "back too far"}}
	}
	return *out
}

func (c *comparison) report(path, format string, args ...any) {
	if path == "" {
		path = "the value"
	}
	c.errs = append(c.errs, fmt.Errorf("%w: %s: %s", ErrBreaking, path, fmt.Sprintf(format, args...)))
}

// reads checks that a reader of one shape reads what has the other.
func (c *comparison) reads(path string, reader, writer place) {
	reader, writer = reader.resolve(), writer.resolve()
	switch {
	case reader.Kind == "any":
	case !wide(reader.Kind, writer.Kind):
		c.report(path, "%s readers want %s, %s writers write %s", c.reader, reader.Kind, c.writer, writer.Kind)
	case reader.Length > 0 && (writer.Length == 0 || writer.Length > reader.Length):
		c.report(path, "%s readers take %d elements, %s writers write %s", c.reader, reader.Length, c.writer, number(writer.Length))
	case reader.Kind == "object":
		if pair := [2]*Shape{reader.Shape, writer.Shape}; !c.seen[pair] {
			c.seen[pair] = true
			c.fields(path, reader, writer)
		}
	case reader.Kind == "map":
		c.reads(path+"[key]", reader.at(reader.Key), writer.at(writer.Key))
		c.reads(path+"[]", reader.at(reader.Elem), writer.at(writer.Elem))
	case reader.Kind == "list":
		c.reads(path+"[]", reader.at(reader.Elem), writer.at(writer.Elem))
	}
}

func (c *comparison) fields(path string, reader, writer place) {
	for i, r := range reader.Fields {
		at := strings.TrimPrefix(path+"."+r.Name, ".")
		same := slices.IndexFunc(writer.Fields, func(w Field) bool { return w.Name == r.Name })
		if same >= 0 {
			w := &writer.Fields[same]
			if w.Optional && !r.Optional {
				c.report(at, "%s readers need it, %s writers may leave it out", c.reader, c.writer)
			}
			c.reads(at, place{&reader.Fields[i].Shape, &reader}, place{&w.Shape, &writer})
			continue
		}
		like := slices.IndexFunc(writer.Fields, func(w Field) bool { return strings.EqualFold(w.Name, r.Name) })
		switch {
		case like >= 0:
			c.report(at, "%s writers call it %s", c.writer, writer.Fields[like].Name)
		case !r.Optional:
			c.report(at, "%s readers need it, %s writers do not write it", c.reader, c.writer)
		default:
			c.renamed(at, r, reader.Fields, writer.Fields)
		}
	}
}

// renamed reports an optional field that looks as if it was called otherwise: one side alone has it, the other alone has one of the same
// shape. What the one writes, the other would not see.
func (c *comparison) renamed(at string, r Field, reader, writer []Field) {
	for _, w := range writer {
		alone := !slices.ContainsFunc(reader, func(f Field) bool { return f.Name == w.Name })
		if alone && w.Optional && reflect.DeepEqual(w.Shape, r.Shape) {
			c.report(at, "looks like what %s writers call %s: rename by two changes, or by a version", c.writer, w.Name)
			return
		}
	}
}

// number says how many elements there are.
func number(length int) string {
	if length == 0 {
		return "any number"
	}
	return strconv.Itoa(length)
}

// quoted is what the kinds begin with that JSON has in quotes.
const quoted = "quoted "

// isScalar reports whether JSON can have a kind in quotes.
func isScalar(kind string) bool {
	_, bits := split(kind)
	return bits > 0 || kind == "bool" || kind == "string"
}

// wide reports whether a reader of one kind takes all values of the other.
func wide(reader, writer string) bool {
	if reader == writer {
		return true
	}
	reader, inQuotes := strings.CutPrefix(reader, quoted)
	writer, written := strings.CutPrefix(writer, quoted)
	to, toBits := split(reader)
	from, bits := split(writer)
	switch {
	case bits == 0 || toBits == 0 || inQuotes != written:
		return false
	case to == from:
		return toBits >= bits
	}
	return to == "int" && from == "uint" && toBits > bits
}

// split takes the bits off a kind of numbers; 0 for other kinds.
func split(kind string) (family string, bits int) {
	for _, family := range []string{"int", "uint", "float"} {
		if rest, ok := strings.CutPrefix(kind, family); ok {
			bits, _ = strconv.Atoi(rest)
			return family, bits
		}
	}
	return kind, 0
}
