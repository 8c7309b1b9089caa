//go:build unix

package etcdtest

import "syscall"

// Freeze stops a member of StartProcesses without closing its connections, until
// thaw is called.
func (c *Cluster) Freeze(i int) (thaw func()) {
	c.t.Helper()
	p := c.members[i].(*process).running.Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := p.Signal(syscall.SIGCONT); err != nil {
			c.t.Error(err)
		}
	}
}
