package controltest

import (
	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
)

// Redeem is what a person without a token does.
func (in *Installation) Redeem(code, email string) error {
	_, err := api.Invoke[api.RedeemResponse](in.T.Context(), in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: email})
	return err
}

// Invite has an owner invite an address, which anybody may redeem once.
func (in *Installation) Invite(owner *api.Client, org, email string, role mezu.Role) api.InvitationCreated {
	in.T.Helper()
	out := Call[api.InvitationCreated](in.T, owner, api.OpCreateInvitation, map[string]any{"email": email, "role": role}, org)
	in.Secret(out.Code)
	return out
}

// Join makes a new person with a role in an organization.
func (in *Installation) Join(owner *api.Client, org, email string, role mezu.Role) (*api.Client, mezu.Member) {
	in.T.Helper()
	token, member := in.JoinAs(owner, org, email, role)
	return in.Client(token, nil), member
}

// JoinAs is Join, and gives the person's token.
func (in *Installation) JoinAs(owner *api.Client, org, email string, role mezu.Role) (string, mezu.Member) {
	in.T.Helper()
	code := in.Invite(owner, org, email, role).Code
	out := Call[api.RedeemResponse](in.T, in.Client("", nil), api.OpRedeemInvitation, api.RedeemRequest{Code: code, Email: email})
	return in.Secret(out.Token), out.Member
}

// Leave ends the caller's membership.
func (in *Installation) Leave(c *api.Client, org string) {
	in.T.Helper()
	self := Call[api.Self](in.T, c, api.OpSelf, nil)
	Call[any](in.T, c, api.OpDeleteMember, nil, org, self.ID)
}
