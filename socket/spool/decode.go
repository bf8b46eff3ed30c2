package spool

import "encoding/binary"

// decoder reads the parts of a payload; after an error it returns zeros.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errState
		return 0
	}
	d.b = d.b[n:]
	return v
}

// bytes returns a length and that many bytes.
func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errState
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) name() string { return string(d.bytes()) }

// spans calls add for each range; ranges that are out of order or overflow end it.
func (d *decoder) spans(add func(lo, hi uint64)) {
	end := uint64(0)
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		gap, length := d.uvarint(), d.uvarint()
		lo := end + gap
		if d.err != nil || gap == 0 || lo < end || lo+length < lo || lo+length == 1<<64-1 {
			d.err = errState
			return
		}
		end = lo + length
		add(lo, end)
	}
}
