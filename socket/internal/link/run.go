package link

// maxRun bounds what is read of large bodies at once: a chunk's worth, with the headers.
const maxRun = maxChunk + firstChunk

// waitings says how many bytes there are to be read, without waiting for any.
type waitings interface{ Waiting() int }

// run returns the size of the whole messages that can be read now, where two or more like the last one are there: each read has the system tell the peer of the
// room that there is now, and send on what that lets through, which takes longer than the copy. Other messages than expected cost another copy, and no more.
func (in *In) run() int {
	size := in.lead + in.body
	if in.lead == 0 || in.r < in.w || in.conn.ready == nil || size > maxRun/2 {
		return 0
	}
	if n := min(in.conn.ready.Waiting(), maxRun) / size * size; n > size {
		return n
	}
	return 0
}

// stay forgets the last large body, unless these are messages like it, as they come in a run.
func (in *In) stay(msgs, bytes int) {
	if msgs*(in.lead+in.body) != bytes {
		in.lead = 0
	}
}

// room returns where a run of n bytes goes, a chunk for it alone if need be. Nothing of the current one is left to be handed out.
func (in *In) room(n int) []byte {
	if len(in.buf)-in.w < n {
		old := in.now.share()
		in.buf = in.another(n, 2*maxRun)
		if old != nil {
			old.unref(1)
		}
		in.r, in.p, in.w = 0, 0, 0
	}
	return in.buf[in.w : in.w+n]
}
