package transport

// Credentials tell who a process runs as.
type Credentials struct {
	UID int // effective user
	GID int // effective group
	PID int
}
