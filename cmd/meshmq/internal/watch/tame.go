package watch

import (
	"math"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/meshmq/meshmq/patterns/monitor"
)

const (
	// maxList is as much as a monitor tells of anything.
	maxList = 200
	// maxText is as long as texts of a monitor are, in bytes.
	maxText = 160
)

// Tame makes a Snapshot of a stranger one that can be kept, shown and written as JSON: no long lists and texts, nothing that does not print, no times and numbers that
// JSON does not have.
func Tame(s *monitor.Snapshot) { tame(reflect.ValueOf(s).Elem()) }

func tame(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(Clean(v.String()))
	case reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			v.SetFloat(0)
		}
	case reflect.Pointer:
		if !v.IsNil() {
			tame(v.Elem())
		}
	case reflect.Slice:
		if v.Len() > maxList {
			v.Set(v.Slice3(0, maxList, maxList))
		}
		for i := range v.Len() {
			tame(v.Index(i))
		}
	case reflect.Map: // of numbers by texts
		tamed := reflect.MakeMap(v.Type())
		for it := v.MapRange(); it.Next() && tamed.Len() < maxList; {
			tamed.SetMapIndex(reflect.ValueOf(Clean(it.Key().String())), it.Value())
		}
		v.Set(tamed)
	case reflect.Struct:
		if t, ok := v.Addr().Interface().(*time.Time); ok {
			*t = t.UTC()
			if t.Year() < 1 || t.Year() > 9999 {
				*t = time.Time{}
			}
			return
		}
		for i := range v.NumField() {
			tame(v.Field(i))
		}
	}
}

// Clean returns s with what could control a terminal, or change the order of what is read, replaced; and cut off where it is too long.
func Clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
