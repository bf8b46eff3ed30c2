package spool

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// evidence is what the content of a file says of whose it is.
type evidence uint8

const (
	foreign evidence = iota // somebody else's
	void                    // nothing, which nobody misses
	ours
)

// ownFiles says of the content of each file that a log makes, removes or writes over whose it is.
var ownFiles = map[string]func(File) (evidence, error){
	lockName: content(maxLock, func(b []byte) bool {
		var h holder
		return json.NewDecoder(bytes.NewReader(b)).Decode(&h) == nil && h.PID > 0 && !h.Since.IsZero() // the end of a longer one may be behind it
	}),
	newestName:  content(newestSize, func(b []byte) bool { _, ok := decodeNewest(b); return ok }),
	lostName:    content(1<<20, isLost),
	nextName:    begun,
	compactName: begun,
}

// checkFree refuses a directory without a segment in which what has a name that a log needs is not the log's, before anything is made in it, or removed. All is the log's where a
// holder's name is in LOCK, which is there before anything else, where Repair has put segments aside, and where there are segments of dead letters.
func checkFree(fs FS) error {
	names, err := fs.List(".")
	if err != nil {
		return fmt.Errorf("list spool: %w", err)
	}
	letters, err := fs.List(deadName)
	notFolder := errors.Is(err, errNotFolder)
	if err != nil && !notFolder {
		return fmt.Errorf("list %s: %w", deadName, err)
	}
	taken, stranger := slices.ContainsFunc(names, isSegmentAside) || slices.ContainsFunc(letters, isSegment), ""
	for _, name := range letters {
		if name != lockName { // which a log has at the top alone
			names = append(names, path.Join(deadName, name))
		}
	}
	slices.Sort(names)
	for _, name := range names {
		look := ownFiles[strings.TrimPrefix(name, deadName+"/")]
		if look == nil {
			continue
		}
		is, err := evidenceIn(fs, name, look)
		if err != nil {
			return err
		}
		taken = taken || name == lockName && is == ours
		if is == foreign {
			stranger = name
		}
	}
	if notFolder {
		stranger = deadName
	}
	if stranger != "" && !taken {
		return fmt.Errorf("%s: %w", stranger, ErrForeign)
	}
	return nil
}

func evidenceIn(fs FS, name string, look func(File) (evidence, error)) (evidence, error) {
	f, err := fs.Open(name, os.O_RDONLY)
	if errors.Is(err, os.ErrNotExist) { // another process is at it
		return void, nil
	} else if err != nil {
		return foreign, err
	}
	is, err := look(f)
	if err != nil {
		err = fmt.Errorf("read %s: %w", name, err)
	}
	return is, errors.Join(err, f.Close())
}

// isSegment reports whether a file is a segment, put aside or not.
func isSegment(name string) bool {
	_, ok := parseSegmentName(name)
	return ok || isSegmentAside(name)
}

// isSegmentAside reports whether a file is a segment that Repair has put aside.
func isSegmentAside(name string) bool {
	at := strings.Index(name, segmentSuffix+".")
	if at < 0 || !isQuarantine(name) {
		return false
	}
	_, ok := parseSegmentName(name[:at] + segmentSuffix)
	return ok
}

// content is for files of at most so many bytes.
func content(most int, isOurs func([]byte) bool) func(File) (evidence, error) {
	return func(f File) (evidence, error) {
		b, err := io.ReadAll(io.NewSectionReader(f, 0, int64(most)+1))
		switch {
		case err != nil:
			return foreign, err
		case len(b) <= most && isZero(b):
			return void, nil
		case len(b) <= most && isOurs(b):
			return ours, nil
		}
		return foreign, nil
	}
}

func isLost(b []byte) bool {
	_, ok := decodeLost(b)
	return ok
}

// begun is for a segment that has no name yet: allocated, so that it is all zeros, with the page that it begins with, or with some sectors of that alone. For want of another name
// the file lostName is made under that of one, too.
func begun(f File) (evidence, error) {
	head := make([]byte, dataStart+2*sector) // the second half is the checkpoint of a new log
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return foreign, err
	}
	head = head[:n]
	page := head[:min(n, dataStart)]
	if bytes.HasPrefix(page, []byte(magic)) || n >= dataStart && bytes.HasPrefix(page[headerCopyAt:], []byte(magic)) || isLost(head) {
		return ours, nil
	}
	b := make([]byte, blockSize)
	for off, zero := int64(n), isZero(page); zero; off += int64(n) {
		n, err = f.ReadAt(b, off)
		if zero = isZero(b[:n]); errors.Is(err, io.EOF) && zero {
			return void, nil
		} else if err != nil && !errors.Is(err, io.EOF) {
			return foreign, err
		}
	}
	return foreign, nil
}

func isZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }
