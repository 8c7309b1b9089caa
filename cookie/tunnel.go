package cookie

import (
	"bytes"

	"github.com/mezusphere/mezu"
)

// Tunnel is the cookie of whoever has given the password of a tunnel. It is the one cookie of
// ours that an edge passes on, both ways: the Warpgate of the tunnel makes it, reads it and
// takes it away before the workload, and lets no workload set it. To an edge it says nothing.
const Tunnel = mezu.CookiePrefix + "tunnel"

// TunnelLength is the length of its value: 256 bits in base64url without padding.
const TunnelLength = 43

const (
	tunnelBegin = Tunnel + "="
	tunnelEnd   = "; Path=/; Secure; HttpOnly; SameSite=Lax"
)

// SetTunnel is the value of the Set-Cookie that gives a browser the tunnel's cookie until it
// is closed.
func SetTunnel(value string) []byte { return []byte(tunnelBegin + value + tunnelEnd) }

// Tunnel gives the value of the tunnel's cookie of the request, nil if there is none, more
// than one, or none that a Warpgate made.
func (j *Jar) Tunnel() []byte {
	if len(j.ours) == 0 {
		return nil
	}
	if value := j.Get(Tunnel); isTunnel(value) {
		return value
	}
	return nil
}

// AppendTunnel appends the tunnel's cookie as a Cookie field has it.
func AppendTunnel(dst, value []byte) []byte { return append(append(dst, tunnelBegin...), value...) }

// FromWarpgate is Response for a response that a Warpgate gives to an edge: the cookie of a
// tunnel passes, exactly as SetTunnel writes it.
func FromWarpgate(name, value []byte, domain string) (pass []byte, ok bool) {
	if pass, ok = Response(name, value, domain); ok {
		return pass, true
	}
	if !bytes.EqualFold(name, []byte(setCookie)) {
		return pass, false
	}
	rest, begins := bytes.CutPrefix(value, []byte(tunnelBegin))
	rest, ends := bytes.CutSuffix(rest, []byte(tunnelEnd))
	return value, begins && ends && isTunnel(rest)
}

func isTunnel(value []byte) bool {
	if len(value) != TunnelLength {
		return false
	}
	for _, c := range value {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
