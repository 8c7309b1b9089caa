package oauth

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/edgesvc/control/access"
)

// server answers what programs ask, for package op. What it does not implement, op refuses.
type server struct {
	op.UnimplementedServer
	*Provider
}

// metadata is what a program finds at the well-known places (RFC 8414).
type metadata struct {
	oidc.DiscoveryConfiguration
	// IssSupported says that answers name the issuer (RFC 9207).
	IssSupported bool `json:"authorization_response_iss_parameter_supported"`
}

// Discovery implements op.Server.
func (s *server) Discovery(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	m := metadata{IssSupported: true}
	m.Issuer, m.JwksURI = s.cfg.Site, s.cfg.Site+pathKeys
	m.AuthorizationEndpoint, m.TokenEndpoint, m.RevocationEndpoint = s.cfg.Site+pathAuthorize, s.cfg.Site+pathToken, s.cfg.Site+pathRevoke
	m.ResponseTypesSupported, m.ResponseModesSupported = []string{string(oidc.ResponseTypeCode)}, []string{string(oidc.ResponseModeQuery)}
	m.GrantTypesSupported = s.client().GrantTypes()
	m.CodeChallengeMethodsSupported = []oidc.CodeChallengeMethod{oidc.CodeChallengeMethodS256}
	m.TokenEndpointAuthMethodsSupported = []oidc.AuthMethod{oidc.AuthMethodNone}
	m.RevocationEndpointAuthMethodsSupported = []oidc.AuthMethod{oidc.AuthMethodNone}
	m.SubjectTypesSupported = []string{"public"}
	if !s.cfg.NoDeviceLogin {
		m.DeviceAuthorizationEndpoint = s.cfg.Site + pathDeviceAuthorization
	}
	return op.NewResponse(m), nil
}

// Keys implements op.Server. Nothing is signed, so that there is no key to be taken for
// another one.
func (s *server) Keys(context.Context, *op.Request[struct{}]) (*op.Response, error) {
	return op.NewResponse(struct {
		Keys []struct{} `json:"keys"`
	}{[]struct{}{}}), nil
}

func (p *Provider) client() mezuClient { return mezuClient{device: !p.cfg.NoDeviceLogin} }

// VerifyClient implements op.Server. The client is public: one that shows a secret or an
// assertion is another.
func (s *server) VerifyClient(_ context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	if *r.Data != (op.ClientCredentials{ClientID: ClientID}) {
		return nil, op.NewStatusError(oidc.ErrInvalidClient().WithDescription("the client is %q, without any authentication", ClientID), http.StatusUnauthorized)
	}
	return s.client(), nil
}

// CodeExchange implements op.Server.
func (s *server) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	answer, err := s.exchange(ctx, r.Client.GetID(), r.Data.Code, r.Data.RedirectURI, r.Data.CodeVerifier, programOf(ctx))
	return s.tokens("code", answer, err)
}

// RefreshToken implements op.Server.
func (s *server) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	answer, err := s.refresh(ctx, r.Client.GetID(), r.Data.RefreshToken, programOf(ctx))
	return s.tokens("refresh", answer, err)
}

// Revocation implements op.Server.
func (s *server) Revocation(ctx context.Context, r *op.ClientRequest[oidc.RevocationRequest]) (*op.Response, error) {
	if err := s.revoke(ctx, r.Client.GetID(), r.Data.Token, programOf(ctx)); err != nil {
		return nil, s.failed(err)
	}
	return op.NewResponse(nil), nil
}

// tokens is the answer with tokens, or why there are none.
func (s *server) tokens(what string, answer access.Answer, err error) (*op.Response, error) {
	var known *oidc.Error
	switch {
	case err == nil:
		s.cfg.Counted("program-"+what, "succeeded")
		return op.NewResponse(&oidc.AccessTokenResponse{
			AccessToken: answer.Bearer, RefreshToken: answer.Refresh, TokenType: oidc.BearerToken,
			ExpiresIn: uint64(max(answer.ExpiresAt.Sub(s.records.Now()), 0) / time.Second),
		}), nil
	case errors.As(err, &known):
		return nil, err
	case errors.Is(err, errReused):
		s.cfg.Counted("program-"+what, "reused")
	case errors.Is(err, errGone):
		s.cfg.Counted("program-"+what, "refused")
	default:
		return nil, s.failed(err)
	}
	return nil, oidc.ErrInvalidGrant().WithDescription("it has ended, was used before, or never was one; log in again")
}

// failed is the answer to an error that is no fault of the program's.
func (s *server) failed(err error) error {
	if mezu.CodeOf(err) == mezu.CodeUnavailable {
		return op.NewStatusError(oidc.ErrServerError().WithDescription("try again in a moment"), http.StatusServiceUnavailable)
	}
	s.records.Log.Error("serving a program that logs in", "error", err)
	return oidc.ErrServerError().WithDescription("the control plane failed; its log says why")
}
