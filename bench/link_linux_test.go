package main

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestLink: who dials the near end from the other network waits a round trip, and nothing is
// left of that network afterwards.
func TestLink(t *testing.T) {
	if err := canLink(); err != nil {
		t.Skip(err)
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	go func() {
		for {
			c, err := control.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "control")
			c.Close()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	link, err := start(t.TempDir(), "link", true, nil, self, "link", "-control", control.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	line, err := link.line()
	go link.discard()
	defer link.stop()
	if err != nil {
		<-link.exited
		if strings.Contains(link.tail(), unix.EPERM.Error()) {
			t.Skip(link.tail())
		}
		t.Fatal(link.tail())
	}
	network, near, _ := strings.Cut(line, " ")
	l, err := net.Listen("tcp", net.JoinHostPort(near, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	over := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends over there
		over <- dialOver(network, l.Addr().String(), control.Addr().String())
	}()
	if err := <-over; err != nil {
		t.Error(err)
	}
	link.stop()
	if _, err := os.Stat(network); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the network is still there: %v", err)
	}
	if l, err := net.Listen("tcp", net.JoinHostPort(near, "0")); err == nil {
		l.Close()
		t.Error("the near end is still there")
	}
}

// dialOver moves this thread to a network and dials from there.
func dialOver(network, near, control string) error {
	f, err := os.Open(network)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return err
	}
	begin := time.Now()
	c, err := net.Dial("tcp", near)
	if err != nil {
		return err
	}
	c.Close()
	if took := time.Since(begin); took < 2*linkDelay {
		return errors.New("a round trip takes only " + took.String())
	}
	if c, err = net.Dial("tcp", control); err != nil {
		return err
	}
	defer c.Close()
	if said, err := io.ReadAll(c); string(said) != "control" {
		return errors.Join(err, errors.New("the control plane is not there"))
	}
	return nil
}
