package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// commandTime bounds one run of the command: a call of a key service and its
// retries.
const commandTime = 30 * time.Second

// maxComplaint is how much of what the command says on stderr is kept.
const maxComplaint = 1 << 10

// otherKeyCode is the exit code by which a command says that the key does not exist any
// more.
const otherKeyCode = 3

// Command wraps by running a command, so that any key service can hold the key. It is
// run with one of these after its own arguments:
//
//	key-id         prints the name of the key in use
//	wrap NAME      reads a data key in base64 from stdin, prints it wrapped in base64
//	unwrap NAME    the reverse
//
// NAME is authenticated with the key ("encryption context", "additional data"). Exit
// code 0 is success, 3 says that the key which wrapped does not exist any more, anything
// else is failure. What the command writes to stderr goes into the error. A run may take 30
// seconds. The command inherits the environment.
type Command struct{ Args []string }

var _ Wrapper = (*Command)(nil)

// KeyID implements Wrapper.
func (c *Command) KeyID(ctx context.Context) (string, error) {
	out, err := c.run(ctx, nil, "key-id")
	id := strings.TrimSpace(string(out))
	if err == nil && (id == "" || len(id) > maxKeyID || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })) {
		err = fmt.Errorf("asking the seal key command: key-id printed no name of 1 to %d visible characters", maxKeyID)
	}
	return id, err
}

// Wrap implements Wrapper.
func (c *Command) Wrap(ctx context.Context, name string, secret []byte) ([]byte, error) {
	return c.convert(ctx, secret, "wrap", name)
}

// Unwrap implements Wrapper.
func (c *Command) Unwrap(ctx context.Context, name string, wrapped []byte) ([]byte, error) {
	return c.convert(ctx, wrapped, "unwrap", name)
}

func (c *Command) convert(ctx context.Context, in []byte, args ...string) ([]byte, error) {
	out, err := c.run(ctx, []byte(base64.StdEncoding.EncodeToString(in)+"\n"), args...)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(out)))
	if err != nil || len(b) == 0 || len(b) > maxWrapped {
		return nil, fmt.Errorf("asking the seal key command: %s printed no base64 of 1 to %d bytes", args[0], maxWrapped)
	}
	return b, nil
}

// run runs the command. Its output may be a secret, so no error shows it.
func (c *Command) run(ctx context.Context, in []byte, args ...string) ([]byte, error) {
	if len(c.Args) == 0 {
		return nil, errors.New("asking the seal key command: there is none after «exec:»")
	}
	ctx, cancel := context.WithTimeout(ctx, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Args[0], append(c.Args[1:len(c.Args):len(c.Args)], args...)...)
	cmd.WaitDelay = time.Second // for a child of its own that keeps the pipes
	out, complaint := capped{most: 2 * maxWrapped}, capped{most: maxComplaint}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), &out, &complaint
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == otherKeyCode {
		err = ErrOtherKey
	}
	if err != nil {
		return nil, fmt.Errorf("asking the seal key command to %s: %w: %q", args[0], err, bytes.TrimSpace(complaint.kept))
	}
	return out.kept, nil
}

// capped keeps the first bytes that are written and drops the rest.
type capped struct {
	kept []byte
	most int
}

var _ io.Writer = (*capped)(nil)

// Write never fails.
func (c *capped) Write(p []byte) (int, error) {
	c.kept = append(c.kept, p[:min(len(p), c.most-len(c.kept))]...)
	return len(p), nil
}
