package route

// Table finds a pipe by its routing id. An id belongs to one pipe at a time.
type Table[P comparable] struct{ pipes map[string]P }

// Add gives id to p. If another pipe owned it, that pipe is returned as old with replaced true, and the
// caller decides its fate: RFC 28 wants the ids of a ROUTER's peers to be unique.
func (t *Table[P]) Add(id string, p P) (old P, replaced bool) {
	if t.pipes == nil {
		t.pipes = make(map[string]P)
	}
	owner, owned := t.pipes[id]
	t.pipes[id] = p
	if owned && owner != p {
		return owner, true
	}
	return old, false
}

// Remove frees id if p still owns it, and reports whether it did. A pipe whose id was taken over can thus
// be removed late without harm to its successor.
func (t *Table[P]) Remove(id string, p P) bool {
	if owner, owned := t.pipes[id]; !owned || owner != p {
		return false
	}
	delete(t.pipes, id)
	return true
}

// Get returns the pipe that owns id. It does not allocate.
func (t *Table[P]) Get(id []byte) (P, bool) {
	p, ok := t.pipes[string(id)]
	return p, ok
}

// Len returns how many ids are in use.
func (t *Table[P]) Len() int { return len(t.pipes) }
