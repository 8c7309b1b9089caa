package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// link is two devices, one of them in a network of its own.
type link struct {
	near, far *os.File
	path      string // of the network of the far end
	address   string // of the near end
	control   net.Listener
	done      chan struct{} // closed to let the network go
	gone      chan struct{}
}

// canLink says why there can be no link.
func canLink() error {
	if os.Geteuid() != 0 {
		return errors.New("a link with loss needs root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return fmt.Errorf("a link with loss needs TUN devices: %w", err)
	}
	return nil
}

// linkNets are the addresses that RFC 2544 sets aside for benchmarks, in nets of four: each
// process has another one.
const linkNets = 1 << 15

// linkAddresses are those of both ends.
func linkAddresses(pid int) (near, far netip.Addr) {
	n := pid % linkNets * 4
	at := func(i int) netip.Addr {
		return netip.AddrFrom4([4]byte{198, byte(18 + i>>16), byte(i >> 8), byte(i)})
	}
	return at(n + 1), at(n + 2)
}

// layLink makes the network and the devices. Its address of the control plane leads to the
// one here.
func layLink(control string) (*link, error) {
	l := &link{done: make(chan struct{}), gone: make(chan struct{})}
	near, far := linkAddresses(os.Getpid())
	l.address = near.String()
	var err error
	if l.near, err = openDevice(near); err != nil {
		close(l.gone)
		return nil, errors.Join(err, l.cut())
	}
	laid := make(chan error)
	go l.live(far, control, laid)
	if err := <-laid; err != nil {
		return nil, errors.Join(err, l.cut())
	}
	go l.forward(control)
	return l, nil
}

// live is the thread that lives in the other network: that lasts as long as the thread. What
// it opens there stays there.
func (l *link) live(far netip.Addr, control string, laid chan<- error) {
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	defer close(l.gone)
	err := unix.Unshare(unix.CLONE_NEWNET)
	if err == nil {
		l.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		err = raise("lo", netip.Addr{})
	}
	if err == nil {
		l.far, err = openDevice(far)
	}
	if err == nil {
		l.control, err = net.Listen("tcp", control)
	}
	laid <- err
	if err == nil {
		<-l.done
	}
}

// forward carries connections from the other network to the control plane.
func (l *link) forward(control string) {
	for {
		a, err := l.control.Accept()
		if err != nil {
			return
		}
		go func() {
			defer a.Close()
			b, err := net.Dial("tcp", control)
			if err != nil {
				return
			}
			defer b.Close()
			go func() {
				defer b.Close()
				io.Copy(b, a)
			}()
			io.Copy(a, b)
		}()
	}
}

// cut ends everything.
func (l *link) cut() error {
	close(l.done)
	var errs error
	for _, f := range []*os.File{l.near, l.far} {
		if f != nil {
			errs = errors.Join(errs, f.Close())
		}
	}
	if l.control != nil {
		errs = errors.Join(errs, l.control.Close())
	}
	<-l.gone
	return errs
}

// openDevice makes a TUN device in the network of this thread. It is gone when it is closed.
func openDevice(own netip.Addr) (*os.File, error) {
	name := "mezu" + strconv.Itoa(os.Getpid())
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun: %w", err)
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("making the device %s: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if err := raise(name, own); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// raise gives a device in the network of this thread an address, if it is to have one, in a
// net of four, and has it run.
func raise(name string, own netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	set := func(what uint, fill func(*unix.Ifreq) error) error {
		ifr, err := unix.NewIfreq(name)
		if err == nil {
			err = fill(ifr)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, what, ifr)
		}
		if err != nil {
			return fmt.Errorf("setting up the device %s: %w", name, err)
		}
		return nil
	}
	if own.IsValid() {
		if err := set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(own.AsSlice()) }); err != nil {
			return err
		}
		if err := set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 252}) }); err != nil {
			return err
		}
	}
	return set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil })
}
