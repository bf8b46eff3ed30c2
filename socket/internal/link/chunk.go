package link

import "github.com/meshmq/meshmq/transport/zmtp"

// space returns where the next bytes go.
func (in *In) space() []byte {
	if in.want > 0 {
		if len(in.large) == cap(in.large) {
			in.grow()
		}
		return in.large[len(in.large):min(cap(in.large), in.want)]
	}
	if in.r == in.w && len(in.spare) > 0 {
		in.leave()
		in.buf, in.r, in.p, in.w, in.spare = in.spare, 0, 0, 0, nil
	}
	if n := in.run(); n > 0 {
		return in.room(n)
	}
	// A new chunk when little is left, unless the rest holds a partial message that just needs it.
	if len(in.buf)-in.w < in.size/8 || in.missing() > len(in.buf)-in.w {
		in.renew()
	}
	// From a peer that sends one large body after another only what stands before the next, so that all of that is read where it stays.
	if in.lead > 0 && in.r == in.w {
		return in.buf[in.w:min(in.w+in.lead, len(in.buf))]
	}
	return in.buf[in.w:]
}

// missing returns how many bytes the frame under way still needs, as far as its header tells.
func (in *In) missing() int {
	_, size, h, _ := zmtp.ParseHeader(in.buf[in.p:in.w])
	if h == 0 {
		return 0
	}
	return h + int(size) - (in.w - in.p)
}

// renew moves what is not handed out to a new chunk. Its size follows the traffic, so that a chunk serves about ten
// reads: it doubles when one brought an eighth of it or more, and halves when none came near.
func (in *In) renew() {
	if in.lead > 0 && in.r == in.w { // runs have chunks of their own
		in.most = 0
	}
	switch {
	case in.most >= in.size/8 && in.size < maxChunk:
		in.size *= 2
	case in.most < in.size/64 && in.size > firstChunk:
		in.size /= 2
	}
	in.most = 0
	rest := in.w - in.r
	need := rest + max(in.missing(), 0)
	old := in.now.share()
	buf := in.another(max(in.size, need+need/2), 2*in.size)
	copy(buf, in.buf[in.r:in.w])
	if old != nil {
		old.unref(1)
	}
	in.p -= in.r
	in.buf, in.r, in.w = buf, 0, rest
}
