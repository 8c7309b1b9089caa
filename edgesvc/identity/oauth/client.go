package oauth

import (
	"net/netip"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/mezusphere/mezu/api"
)

// ClientID is that of the one client: the command line, which is public. Anybody can have it.
const ClientID = api.ProgramClient

// callback is the path at which `mezu` waits on the visitor's own machine.
const callback = "/callback"

// redirectOrigin gives the origin of a redirect URI: http://127.0.0.1:PORT or
// http://[::1]:PORT, of any port (RFC 8252, 7.3). It is empty if the URI is not exactly that
// with the path of the client. The name localhost is none: it may lead elsewhere (8.3).
func redirectOrigin(uri string) string {
	origin, ok := strings.CutSuffix(uri, callback)
	host, isHTTP := strings.CutPrefix(origin, "http://")
	if !ok || !isHTTP {
		return ""
	}
	at, err := netip.ParseAddrPort(host)
	if err != nil || at.Port() == 0 || at.String() != host {
		return ""
	}
	if ip := at.Addr(); ip != netip.IPv6Loopback() && ip != netip.AddrFrom4([4]byte{127, 0, 0, 1}) {
		return ""
	}
	return origin
}

// mezuClient is the client as package op asks for it.
type mezuClient struct{ device bool }

var _ op.Client = mezuClient{}

// GetID implements op.Client.
func (mezuClient) GetID() string { return ClientID }

// RedirectURIs implements op.Client. redirectOrigin judges them, op never does.
func (mezuClient) RedirectURIs() []string { return nil }

// PostLogoutRedirectURIs implements op.Client.
func (mezuClient) PostLogoutRedirectURIs() []string { return nil }

// ApplicationType implements op.Client.
func (mezuClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeNative }

// AuthMethod implements op.Client.
func (mezuClient) AuthMethod() oidc.AuthMethod { return oidc.AuthMethodNone }

// ResponseTypes implements op.Client.
func (mezuClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}

// GrantTypes implements op.Client.
func (c mezuClient) GrantTypes() []oidc.GrantType {
	out := []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
	if c.device {
		out = append(out, oidc.GrantTypeDeviceCode)
	}
	return out
}

// LoginURL implements op.Client.
func (mezuClient) LoginURL(string) string { return "" }

// AccessTokenType implements op.Client.
func (mezuClient) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }

// IDTokenLifetime implements op.Client: there are none.
func (mezuClient) IDTokenLifetime() time.Duration { return 0 }

// DevMode implements op.Client.
func (mezuClient) DevMode() bool { return false }

// RestrictAdditionalIdTokenScopes implements op.Client.
func (mezuClient) RestrictAdditionalIdTokenScopes() func([]string) []string { return none }

// RestrictAdditionalAccessTokenScopes implements op.Client.
func (mezuClient) RestrictAdditionalAccessTokenScopes() func([]string) []string { return none }

func none([]string) []string { return nil }

// IsScopeAllowed implements op.Client.
func (mezuClient) IsScopeAllowed(string) bool { return false }

// IDTokenUserinfoClaimsAssertion implements op.Client.
func (mezuClient) IDTokenUserinfoClaimsAssertion() bool { return false }

// ClockSkew implements op.Client.
func (mezuClient) ClockSkew() time.Duration { return 0 }
