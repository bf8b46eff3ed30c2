package spool

import (
	"context"
	"errors"
	"io"
)

// salvage is an FS for verify and repair: what a disk cannot read any more is zeros, and known. The log itself goes on
// nothing of the kind: a disk that says no may be one that was pulled out.
type salvage struct {
	FS
	ctx        context.Context  // when it ends nothing is read any more
	unreadable map[string]error // by file
}

func newSalvage(ctx context.Context, fs FS) *salvage {
	return &salvage{FS: fs, ctx: ctx, unreadable: make(map[string]error)}
}

func (s *salvage) Open(name string, flag int) (File, error) {
	f, err := s.FS.Open(name, flag)
	if err != nil {
		return nil, err
	}
	return salvageFile{File: f, s: s, name: name}, nil
}

type salvageFile struct {
	File
	s    *salvage
	name string
}

// ReadAt reads sector by sector where it cannot read at once.
func (f salvageFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(b, off)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	size, err := f.Size()
	if err != nil {
		return 0, err
	}
	end := min(off+int64(len(b)), size)
	for at := off; at < end; {
		next := min(at&^(sector-1)+sector, end)
		part := b[at-off : next-off]
		if _, err := f.File.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			clear(part)
			f.s.unreadable[f.name] = err
		}
		at = next
	}
	if n = int(max(end-off, 0)); n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
