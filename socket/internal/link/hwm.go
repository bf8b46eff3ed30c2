package link

// SetHWM changes the high-water mark in messages of a queue in use. What is queued beyond it stays.
func (o *Out) SetHWM(messages int) {
	o.mu.Lock()
	o.HWM = messages
	refused := o.refused
	o.refused = false // whoever waits for room looks again
	o.mu.Unlock()
	if refused {
		o.Room()
	}
}
