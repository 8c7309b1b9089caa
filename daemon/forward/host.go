package forward

import (
	"bytes"
	"net"
	"net/netip"
	"strings"

	"github.com/mezusphere/mezu"
)

// setHost has the workload see the Host that its targets ask for.
//
// mezu.HostTarget makes the request one that a browser on this machine would send: Host, and
// with it X-Forwarded-Host and -Proto, Origin and Referer, as far as these name the visitor's
// own origin. Development servers compare them: Vite looks at Host, webpack-dev-server at
// Origin too and at whether both are the same, Next at Origin before it opens its socket and
// at X-Forwarded-Host before it runs an action, Rails at X-Forwarded-Host, and at whether
// Origin is the address that it believes to have. Were one of them left, one of these would
// refuse. An Origin of another site stays, so that it is refused as ever. Locations that name
// the target come back as the visitor's (publicLocation).
//
// A host of somebody's choice is that of a virtual host. The rest stays, as it does with a
// route's host_header.
func (w *worker) setHost(u mezu.Upstream) {
	switch w.to.HostHeader {
	case mezu.HostKeep:
	case mezu.HostTarget:
		proto, host := localOrigin(u)
		w.fwd.Host, w.fwd.Asked, w.fwd.Proto = host, host, proto
		w.local = proto + "://" + host
		public := "https://" + w.req.Authority
		for i := range w.req.Fields {
			if f := &w.req.Fields[i]; f.Is("origin") || f.Is("referer") {
				f.Value = moved(f.Value, public, w.local)
			}
		}
	default:
		w.fwd.Host = w.to.HostHeader
	}
}

// localOrigin is the scheme and the Host that a browser on this machine would use for u.
func localOrigin(u mezu.Upstream) (scheme, host string) {
	usual := "80"
	if scheme = "http"; u.Scheme == mezu.UpstreamHTTPS {
		scheme, usual = "https", "443"
	}
	if u.Scheme == mezu.UpstreamUnix {
		return scheme, "localhost"
	}
	host, port, _ := net.SplitHostPort(u.Address)
	if ip, err := netip.ParseAddr(host); err == nil {
		host = ip.WithZone("").String() // no address has room for a zone (RFC 9844)
	}
	if port != usual {
		return scheme, net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return scheme, host
}

// moved gives an address with one origin in the place of another, if it has that.
func moved(address []byte, from, to string) []byte {
	if len(address) < len(from) || !bytes.EqualFold(address[:len(from)], []byte(from)) {
		return address
	}
	rest := address[len(from):]
	if len(rest) > 0 && rest[0] != '/' && rest[0] != '?' && rest[0] != '#' {
		return address // the port of another, or a longer name
	}
	return append([]byte(to), rest...)
}

// publicLocation gives the Location of a response as the visitor can follow it.
func (w *worker) publicLocation(value []byte) []byte {
	return moved(value, w.local, "https://"+w.req.Authority)
}
