package schema

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// plan is the way from one version to another of the same message type: the shortest there is.
type plan struct {
	from  *version
	steps []cast
}

// run converts v, a pointer to a value of the version it begins with.
func (p *plan) run(v any) (any, error) {
	for _, step := range p.steps {
		var err error
		if v, err = step.convert(v); err != nil {
			return nil, fmt.Errorf("convert %s to %s: %w", step.from, step.to, err)
		}
	}
	return v, nil
}

// connect finds the ways to each version of a line, from all those that have one.
func (l *line) connect() error {
	if numbers := l.numbers(); len(numbers) > 0 { // none if there is but a WriteAs
		l.oldest = numbers[0]
	}
	byType := make(map[reflect.Type]*version)
	for _, v := range l.versions {
		byType[v.goType] = v
	}
	into := make(map[*version][]cast)
	for _, v := range l.versions {
		for _, c := range slices.Concat(v.from, v.to) {
			if byType[c.from] == nil || byType[c.to] == nil {
				return fmt.Errorf("%s converts between %s and %s: want two of its versions", v, c.from, c.to)
			}
			into[byType[c.to]] = append(into[byType[c.to]], c)
		}
	}
	for _, target := range l.versions {
		target.plans = map[uint32]*plan{target.number: {from: target}}
		for reached := []*version{target}; len(reached) > 0; reached = reached[1:] { // breadth first
			for _, c := range into[reached[0]] {
				from := byType[c.from]
				if target.plans[from.number] == nil {
					steps := append([]cast{c}, target.plans[reached[0].number].steps...)
					target.plans[from.number] = &plan{from: from, steps: steps}
					reached = append(reached, from)
				}
			}
		}
	}
	return nil
}

// numbers returns the versions of l, the oldest first.
func (l *line) numbers() []uint32 { return slices.Sorted(maps.Keys(l.versions)) }

// String returns the name and number as errors say them.
func (v *version) String() string { return fmt.Sprintf("%s version %d", v.line.name, v.number) }

// readable says which versions can be turned into v.
func (v *version) readable() string {
	numbers := slices.SortedFunc(maps.Keys(v.plans), cmp.Compare[uint32])
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = fmt.Sprint(n)
	}
	return strings.Join(texts, ", ")
}
