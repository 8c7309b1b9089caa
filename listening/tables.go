package listening

import (
	"bufio"
	"encoding/hex"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// socket is a listener in a table of the system, before it is known who holds it.
type socket struct {
	address netip.AddrPort
	inode   uint64 // Linux
	pid     int    // elsewhere
	program string // elsewhere
}

// maxLine is longer than any line of such a table.
const maxLine = 4 << 10

// readProcNet reads /proc/net/tcp or tcp6: the listeners of one user. Its addresses are words of
// 32 bits in the byte order of the machine, which is little-endian on all that we build for.
func readProcNet(r io.Reader, uid int) ([]socket, error) {
	var out []socket
	lines := bufio.NewScanner(io.LimitReader(r, maxTable))
	lines.Buffer(make([]byte, maxLine), maxLine)
	for lines.Scan() && len(out) < maxListeners {
		f := strings.Fields(lines.Text())
		const listens = "0A"
		if len(f) < 10 || f[3] != listens || f[7] != strconv.Itoa(uid) {
			continue
		}
		address, ok := procAddress(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if ok && err == nil && inode != 0 {
			out = append(out, socket{address: address, inode: inode})
		}
	}
	return out, lines.Err()
}

// procAddress reads "0100007F:1435".
func procAddress(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	address, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(address.Unmap(), uint16(n)), ok
}

// readLsof reads what "lsof -F pcPtn" writes: a line for each field, its letter first. p begins a
// process, n is the address of a file.
func readLsof(r io.Reader) ([]socket, error) {
	var out []socket
	var now socket
	six := false
	lines := bufio.NewScanner(io.LimitReader(r, maxTable))
	lines.Buffer(make([]byte, maxLine), maxLine)
	for lines.Scan() && len(out) < maxListeners {
		line := lines.Text()
		if line == "" {
			continue
		}
		switch value := line[1:]; line[0] {
		case 'p':
			pid, _ := strconv.Atoi(value) // zero is "nobody knows"
			now = socket{pid: pid}
		case 'c':
			now.program = value
		case 't':
			six = value == "IPv6"
		case 'n':
			if address, ok := textAddress(value, six); ok {
				now.address = address
				out = append(out, now)
			}
		}
	}
	return out, lines.Err()
}

// readNetstat reads what "netstat -ano" writes on Windows. The word for a listener is in the
// language of the machine; one listens whose peer has the port 0.
func readNetstat(r io.Reader) ([]socket, error) {
	var out []socket
	lines := bufio.NewScanner(io.LimitReader(r, maxTable))
	lines.Buffer(make([]byte, maxLine), maxLine)
	for lines.Scan() && len(out) < maxListeners {
		f := strings.Fields(lines.Text())
		if len(f) < 5 || f[0] != "TCP" || f[2] != "0.0.0.0:0" && f[2] != "[::]:0" {
			continue
		}
		pid, err := strconv.Atoi(f[len(f)-1])
		if address, ok := textAddress(f[1], false); ok && err == nil {
			out = append(out, socket{address: address, pid: pid})
		}
	}
	return out, lines.Err()
}

// textAddress reads "127.0.0.1:5173", "[::1]:5173" and "*:5173", which is any address of the
// family.
func textAddress(s string, six bool) (netip.AddrPort, bool) {
	if port, ok := strings.CutPrefix(s, "*:"); ok {
		n, err := strconv.ParseUint(port, 10, 16)
		anyAddress := netip.IPv4Unspecified()
		if six {
			anyAddress = netip.IPv6Unspecified()
		}
		return netip.AddrPortFrom(anyAddress, uint16(n)), err == nil
	}
	a, err := netip.ParseAddrPort(s)
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()), err == nil
}
