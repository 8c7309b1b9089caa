package local

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Listen opens the socket at path for a daemon. On Unix it makes the folder of the socket, for
// this user only (0700), and refuses one that is somebody else's, is open to others, or is a
// symbolic link. The socket is 0600; one that a daemon left behind is removed. On Windows path
// only names a pipe, which no other user may open, nor make before.
//
// Of two processes that listen on the same path, one gets it, and the other an error that is
// ErrRunning. Connections of other users than this one and root are closed before anything is
// read of them.
func Listen(path string) (net.Listener, error) { return listen(path) }

// Dial connects to the daemon at path, after it has checked that folder, socket and whoever
// listens there are this user's or root's. Its errors are *mezu.Error with CodeUnavailable.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return dial(ctx, path)
}

// dialTimeout bounds a connection. A daemon that is there takes it at once; its backlog is full
// only if it hangs.
const dialTimeout = 2 * time.Second

// peerError says that the other end of a connection is another user's process.
type peerError struct{ user string }

// Error names the user.
func (e *peerError) Error() string {
	return fmt.Sprintf("the other end of the connection is a process of user %s", e.user)
}
