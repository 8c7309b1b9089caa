package mezu

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// MaxHostLength is the longest DNS name in text form (RFC 1035, 2.3.4).
const MaxHostLength = 253

// Dialable is how to reach a listener: where its address means all of a machine's, host stands
// for the machine.
func Dialable(addr, host string) string {
	own, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(own); own != "" && (ip == nil || !ip.IsUnspecified()) {
		host = own
	}
	return net.JoinHostPort(host, port)
}

// CanonicalHost brings a Host header or :authority into the one form that
// names an environment: lower case, no port, no trailing dot. Only names of
// letters, digits, hyphens and underscores and addresses are accepted; anything
// else (user info, paths, spaces, brackets without an address, ports beyond
// 65535) is refused with CodeNotCanonical. Canonical names are returned without
// allocation.
func CanonicalHost(raw string) (string, error) {
	host := raw
	if strings.HasPrefix(host, "[") {
		return canonicalIPv6(raw)
	}
	if i := strings.IndexByte(host, ':'); i >= 0 {
		if _, ok := parsePort(host[i+1:]); !ok {
			return "", notCanonical("the host has a malformed port")
		}
		host = host[:i]
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > MaxHostLength {
		return "", notCanonical("the host is empty or too long")
	}
	upper, label := false, 0
	for i := 0; i < len(host); i++ {
		c := host[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
			label++
		case c >= 'A' && c <= 'Z':
			upper = true
			label++
		case c == '.' && label > 0:
			label = 0
			continue
		default:
			return "", notCanonical("the host has a character that no host name has")
		}
		if label > MaxLabelLength {
			return "", notCanonical("the host has a label that is too long")
		}
	}
	if label == 0 {
		return "", notCanonical("the host has an empty label")
	}
	if upper {
		host = strings.ToLower(host)
	}
	return host, nil
}

// CanonicalAuthority brings a Host header or :authority into one form for whoever
// builds addresses or names what it keeps by it: the canonical host, and behind it
// the port unless it is 443, which https implies. What CanonicalHost refuses is
// refused.
func CanonicalAuthority(raw string) (host, authority string, err error) {
	if host, err = CanonicalHost(raw); err != nil || host == raw {
		return host, host, err
	}
	i := strings.LastIndexByte(raw, ':')
	if i < 0 || strings.HasSuffix(raw, "]") {
		return host, host, nil
	}
	port, _ := parsePort(raw[i+1:]) // CanonicalHost has read it
	if port == httpsPort {
		return host, host, nil
	}
	return host, host + ":" + strconv.Itoa(port), nil
}

// httpsPort is the port that https implies (RFC 9110, 4.2.2).
const httpsPort = 443

// parsePort reads a port from 1 to 65535, in digits only; strconv would take a
// sign.
func parsePort(s string) (int, bool) {
	if s == "" || len(s) > len("65535") {
		return 0, false
	}
	port := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		port = port*10 + int(s[i]-'0')
	}
	return port, port >= 1 && port <= 65535
}

// canonicalIPv6 reads "[addr]" or "[addr]:port".
func canonicalIPv6(raw string) (string, error) {
	end := strings.IndexByte(raw, ']')
	if end < 0 {
		return "", notCanonical("the host has a malformed address")
	}
	if rest := raw[end+1:]; rest != "" {
		if _, ok := parsePort(rest[1:]); !ok || rest[0] != ':' {
			return "", notCanonical("the host has a malformed port")
		}
	}
	a, err := netip.ParseAddr(raw[1:end])
	if err != nil || !a.Is6() || a.Zone() != "" {
		return "", notCanonical("the host has a malformed address")
	}
	return "[" + a.String() + "]", nil
}
