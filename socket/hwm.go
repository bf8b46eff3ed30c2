package socket

// SetSendHWM changes what WithSendHWM set, for peers connected now and later (ZMQ_SNDHWM at any time). Lowering it drops nothing that is
// queued. Zero means no limit in messages; a negative number is ErrOption. What is conflated has no use for it.
func (c *core) SetSendHWM(messages int) error {
	err := c.usable()
	if err == nil && messages < 0 {
		err = bad("SetSendHWM", messages, "want 0 (no limit) or more")
	}
	if err != nil {
		return &Error{Op: "set send HWM", Err: err}
	}
	c.mu.Lock()
	c.hwm = &messages
	pipes := make([]*pipe, 0, len(c.pipes))
	for p := range c.pipes {
		pipes = append(pipes, p)
	}
	c.mu.Unlock()
	if c.sure != nil {
		c.sure.setMark(messages)
	}
	mark := func(p *pipe, messages int) bool { return p.out.SetHWM(messages) }
	if f, ok := c.pat.(interface {
		mark(p *pipe, messages int) bool
	}); ok {
		mark = f.mark
	}
	for _, p := range pipes {
		if mark(p, messages) {
			p.out.Room()
		}
	}
	return nil
}

// limitLocked takes a pipe into the books, with the mark that SetSendHWM set. owed is that of link.Out.SetHWM.
func (c *core) limitLocked(p *pipe) (owed bool) {
	c.pipes[p] = struct{}{}
	return c.hwm != nil && p.out.SetHWM(*c.hwm)
}

// SetRecvHWM changes what WithRecvHWM set, for peers connected now and later (ZMQ_RCVHWM at any time). Lowering it drops nothing that has
// arrived. Zero means no limit in messages; a negative number is ErrOption. A socket that does not receive has no use for it.
func (c *core) SetRecvHWM(messages int) error {
	err := c.usable()
	if err == nil && messages < 0 {
		err = bad("SetRecvHWM", messages, "want 0 (no limit) or more")
	}
	if err != nil {
		return &Error{Op: "set receive HWM", Err: err}
	}
	if c.recv != nil {
		c.recv.setHWM(messages)
	}
	return nil
}

// setHWM has peers read again whose inboxes are no longer full.
func (r *receiver) setHWM(messages int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hwm = messages
	r.grantLocked()
	for p := range r.peers {
		if p.paused.Load() && r.low(p) {
			p.resume()
		}
	}
	if len(r.noters) > 0 && r.low(r.notes) {
		r.releaseNoters()
	}
}
