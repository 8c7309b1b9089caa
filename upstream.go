package mezu

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// UpstreamScheme is how the Warpgate speaks to a workload.
type UpstreamScheme string

// Schemes of upstreams.
const (
	UpstreamHTTP  UpstreamScheme = "http"  // HTTP/1.1 over TCP
	UpstreamHTTPS UpstreamScheme = "https" // HTTP/1.1 or HTTP/2 over TLS
	UpstreamH2C   UpstreamScheme = "h2c"   // HTTP/2 over TCP without TLS
	UpstreamUnix  UpstreamScheme = "unix"  // HTTP/1.1 over a unix socket
)

// Upstream is where a Warpgate forwards to.
type Upstream struct {
	Scheme UpstreamScheme
	// Address is host:port, or the path of a unix socket.
	Address string
}

// String is the notation that ParseUpstream reads; plain HTTP has no scheme.
func (u Upstream) String() string {
	switch u.Scheme {
	case UpstreamHTTP:
		return u.Address
	case UpstreamUnix:
		return "unix:" + u.Address
	}
	return string(u.Scheme) + "://" + u.Address
}

// Network is the network to dial, tcp or unix.
func (u Upstream) Network() string {
	if u.Scheme == UpstreamUnix {
		return "unix"
	}
	return "tcp"
}

// localhost is the one name that means this machine.
const localhost = "localhost"

// Addresses are what to dial, all at once, since one that answers is enough. The name
// localhost is 127.0.0.1 and ::1, whatever a resolver would say. Everything else is
// dialled as it is written.
func (u Upstream) Addresses() []string {
	if host, port, err := net.SplitHostPort(u.Address); err == nil && host == localhost && u.Scheme != UpstreamUnix {
		return []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	}
	return []string{u.Address}
}

// Loopback reports whether all that is dialled are loopback addresses: then this
// machine, or this container, answers. A name below localhost is none, because a
// resolver says where it leads. A unix socket is none, because it has no address.
func (u Upstream) Loopback() bool {
	if u.Scheme == UpstreamUnix {
		return false
	}
	for _, address := range u.Addresses() {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return false
		}
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
			return false
		}
	}
	return true
}

// LocalPort is the port of an upstream on this machine, zero if it has none here.
func (u Upstream) LocalPort() int {
	if !u.Loopback() {
		return 0
	}
	_, text, _ := net.SplitHostPort(u.Address)
	port, _ := parsePort(text)
	return port
}

// upstreamForms ends the errors of ParseUpstream.
const upstreamForms = "host:port, http://, https://, h2c:// or unix:/path is expected"

// ParseUpstream reads host:port, http://host[:port], https://host[:port],
// h2c://host:port, unix:/path (or unix:///path), and a bare port as one of
// localhost. A path or a query after the host is refused: routes decide paths,
// upstreams do not. Equal targets come out equal: hosts in lower case, addresses
// in their shortest form, ports without leading zeros.
func ParseUpstream(s string) (Upstream, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return parseUnixUpstream(path)
	}
	scheme, rest, ok := strings.Cut(s, "://")
	u := Upstream{Scheme: UpstreamHTTP}
	defaultPort := ""
	if ok {
		switch scheme {
		case "http":
			defaultPort = "80"
		case "https":
			u.Scheme, defaultPort = UpstreamHTTPS, "443"
		case "h2c":
			u.Scheme = UpstreamH2C
		default:
			return Upstream{}, Invalid("", "%q has an unknown scheme; %s", s, upstreamForms)
		}
		rest = strings.TrimSuffix(rest, "/")
	} else {
		rest = s
		if s != "" && strings.Trim(s, "0123456789") == "" {
			rest = localhost + ":" + s
		}
	}
	if strings.ContainsAny(rest, "/?#@ ") {
		return Upstream{}, Invalid("", "%q has more than a host and a port; %s", s, upstreamForms)
	}
	host, port := cutPort(rest)
	if port == "" {
		port = defaultPort
	}
	n, ok := parsePort(port)
	if !ok {
		return Upstream{}, Invalid("", "%q has no port between 1 and 65535; %s", s, upstreamForms)
	}
	host, ok = canonicalTarget(host)
	if !ok {
		return Upstream{}, Invalid("", "%q has no usable host; %s", s, upstreamForms)
	}
	u.Address = net.JoinHostPort(host, strconv.Itoa(n))
	return u, nil
}

func parseUnixUpstream(path string) (Upstream, error) {
	if strings.HasPrefix(path, "///") {
		path = path[2:]
	}
	// «unix://name» would be a host to some readers and a file to others.
	if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || len(path) > maxUnixPath {
		return Upstream{}, Invalid("", "a unix socket is written unix:/path with at most %d characters", maxUnixPath)
	}
	if validateText("", path, maxUnixPath) != nil {
		return Upstream{}, Invalid("", "the path of a unix socket is UTF-8 without control characters")
	}
	return Upstream{UpstreamUnix, path}, nil
}

// cutPort cuts the port off a host; it is empty if there is none. Colons inside
// brackets belong to the address.
func cutPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.HasSuffix(s, "]") {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// canonicalTarget brings a name, an IPv4 address or a bracketed IPv6 address to
// its one form, without brackets. An IPv6 zone stays, because a link-local workload can't
// be dialled without it.
func canonicalTarget(host string) (string, bool) {
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		a, err := netip.ParseAddr(inner)
		if !ok || err != nil || !a.Is6() || !isZone(a.Zone()) {
			return "", false
		}
		return a.Unmap().String(), true
	}
	if strings.Contains(host, ":") {
		return "", false
	}
	name, err := CanonicalHost(host)
	return name, err == nil
}

// isZone reports whether s is empty or could name a network interface.
func isZone(s string) bool { return s == "" || ValidHeaderName(s) }

// maxUnixPath is the room in sockaddr_un on Linux, less the final NUL.
const maxUnixPath = 107
