package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/mezusphere/mezu/edgesvc/control"
	"github.com/mezusphere/mezu/edgesvc/edge"
)

// lookupTimeout bounds the look at all names: a resolver that is slower is no help to others either.
const lookupTimeout = 10 * time.Second

// anyName stands for the endpoints below the edge domain: their names all resolve, or none does.
const anyName = "any-endpoint."

// said is a name or an address that others are to use, and the flag that sets it.
type said struct {
	what, host, flag string
}

// told is all that a role tells others of itself. ctl and e are what runs here, else nil.
func (c *config) told(ctl *control.Control, e *edge.Edge) (all []said) {
	if ctl != nil {
		all = append(all, said{"the API's listener", hostOf(c.APIAddr), "--api-addr"}, said{"the edge domain", anyName + c.Domain, "--domain"})
		if len(c.APIHosts) == 0 && c.APITLSCert == "" {
			all = append(all, said{"the API's certificate", ownName, "--api-hosts"})
		}
		for _, host := range c.APIHosts {
			all = append(all, said{"the API's certificate", host, "--api-hosts"})
		}
	}
	if e != nil {
		all = append(all, said{"the listener of public HTTPS", hostOf(c.HTTPSAddr), "--https-addr"}, said{"the listener of Warpgates", hostOf(c.TunnelAddr), "--tunnel-addr"})
		tunnelAddr, tunnelFlag := c.TunnelAddr, "--tunnel-addr"
		if tunnelAddr == "" {
			tunnelAddr, tunnelFlag = c.HTTPSAddr, "--https-addr"
		}
		public, tunnel := hostOf(e.PublicAddress()), hostOf(e.TunnelAddress())
		all = append(all, said{"what clients are told of the edge", public, c.madeOf(public, c.PublicAddress, "--public-address", c.HTTPSAddr, "--https-addr")})
		all = append(all, said{"what Warpgates are told of the edge", tunnel, c.madeOf(tunnel, c.TunnelAddress, "--tunnel-address", tunnelAddr, tunnelFlag)})
	}
	return all
}

// madeOf is the flag by which an edge came to tell others of a host: the one that sets it, or
// what it was made of without that.
func (c *config) madeOf(host, set, flag, listener, listenerFlag string) string {
	switch {
	case set != "" || host == "":
		return flag
	case host == hostOf(listener):
		return listenerFlag
	case host == c.Domain:
		return "--domain"
	}
	return flag
}

// hostOf is the host of an address, empty if it means all of a machine's.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		return ""
	}
	return host
}

// warnOfUnusable warns of each name and address that no other machine can use, at once of all that
// one flag mends. It looks names up.
func warnOfUnusable(ctx context.Context, log *slog.Logger, all []said) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	type useless struct{ value, why, flag string }
	var found []useless
	what := map[useless][]string{}
	for _, s := range all {
		if s.host == "" {
			continue
		}
		u := useless{strings.TrimPrefix(s.host, anyName), unusable(ctx, s.host), s.flag}
		if u.why == "" || ctx.Err() != nil {
			continue
		}
		if what[u] == nil {
			found = append(found, u)
		}
		what[u] = append(what[u], s.what)
	}
	for _, u := range found {
		log.Warn("no other machine can use this name or address; the flag sets another", "what", strings.Join(what[u], ", "), "value", u.value, "because", u.why, "flag", u.flag)
	}
}

// warnOfOtherPort warns of addresses of endpoints that name another port than this edge listens
// on: something may forward it, but else they lead nowhere.
func warnOfOtherPort(log *slog.Logger, named int, listener string) {
	_, port, err := net.SplitHostPort(listener)
	if err == nil && port != strconv.Itoa(named) {
		log.Warn("addresses of endpoints name another port than public HTTPS listens on; the flag sets it, unless something forwards the one to the other", "named", named, "listener", listener, "flag", "--public-port")
	}
}

// unusable says why no other machine can use a name or an address.
func unusable(ctx context.Context, host string) string {
	if ip := net.ParseIP(host); ip != nil {
		return unusableAddress(ip)
	}
	if host == ownName || strings.HasSuffix(host, "."+ownName) {
		return "it is the machine that uses it"
	}
	ips, err := net.DefaultResolver.LookupIP(ctx, "ip", host)
	if err != nil {
		return "it does not resolve here"
	}
	for _, ip := range ips {
		if unusableAddress(ip) == "" {
			return ""
		}
	}
	return fmt.Sprintf("it resolves to %v here", ips[0])
}

func unusableAddress(ip net.IP) string {
	switch {
	case ip.IsLoopback():
		return "it is the machine that uses it"
	case ip.IsUnspecified():
		return "it is no address"
	case ip.IsLinkLocalUnicast():
		return "it is of one link"
	}
	return ""
}
