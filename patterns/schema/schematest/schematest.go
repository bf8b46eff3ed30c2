// Package schematest makes tests of how message types may change.
package schematest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/meshmq/meshmq/codec"
	"github.com/meshmq/meshmq/patterns/schema"
)

// RecordVariable is the environment variable that has Recorded write its files.
const RecordVariable = "MESHMQ_RECORD_SCHEMAS"

// Recorded compares T, as c writes it, to its description in the file at path, best below testdata and under version control. It fails
//
//   - when the change since breaks peers, as schema.Compare says for mode. Give what is different a version of its own then.
//   - when it does not, but the file does not have it yet. Run the test with MESHMQ_RECORD_SCHEMAS=1, which writes the file, and commit
//     that: the next change is to be compared to this one.
//
// A description that peers break on is never written over one that is there.
func Recorded[T any](t testing.TB, path string, c codec.Codec, mode schema.Mode) {
	t.Helper()
	now, err := schema.Describe[T](c)
	if err != nil {
		t.Fatal(err)
	}
	before, err := read(path)
	switch {
	case err == nil:
		if err := schema.Compare(before, now, mode); err != nil {
			t.Fatalf("%s and %s:\n%v", path, reflect.TypeFor[T](), err)
		}
		if reflect.DeepEqual(before, now) {
			return
		}
	case !errors.Is(err, fs.ErrNotExist):
		t.Fatal(err)
	}
	if os.Getenv(RecordVariable) == "" {
		t.Fatalf("%s does not describe %s as it is: run this test with %s=1 to record it", path, reflect.TypeFor[T](), RecordVariable)
	}
	if err := write(path, now); err != nil {
		t.Fatal(err)
	}
}

func read(path string) (d schema.Description, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	return d, err
}

func write(path string, d schema.Description) error {
	text, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
