package socket

import "fmt"

// sizeOf checks a message that is to be sent and returns the size of its bodies. Most messages are one frame that is not too large.
func (c *core) sizeOf(frames [][]byte) (int, error) {
	if len(frames) == 1 {
		if size := len(frames[0]); size <= c.cfg.maxMessageSize || c.cfg.maxMessageSize == 0 {
			return size, nil
		}
	}
	return c.sizeOfAll(frames)
}

func (c *core) sizeOfAll(frames [][]byte) (size int, err error) {
	for _, f := range frames {
		size += len(f)
	}
	switch limit := c.cfg.sendFrames; {
	case len(frames) == 0:
		err = fmt.Errorf("%w: no frames; an empty message has one empty frame", ErrState)
	case c.cfg.conflate && len(frames) > 1:
		err = fmt.Errorf("%w: %d frames; with WithConflate messages have one", ErrState, len(frames))
	case limit > 0 && len(frames) > limit:
		err = fmt.Errorf("%w: %d frames, WithMaxFrames allows %d", ErrTooLarge, len(frames), c.cfg.maxFrames)
	case c.cfg.maxMessageSize > 0 && size > c.cfg.maxMessageSize:
		err = fmt.Errorf("%w: %d bytes, WithMaxMessageSize allows %d", ErrTooLarge, size, c.cfg.maxMessageSize)
	default:
		return size, nil
	}
	return 0, &Error{Op: "send", Err: err}
}
