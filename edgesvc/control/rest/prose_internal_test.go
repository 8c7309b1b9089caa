package rest

import (
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/ca"
	"github.com/mezusphere/mezu/edgesvc/control/config"
	"github.com/mezusphere/mezu/edgesvc/control/record"
	"github.com/mezusphere/mezu/edgesvc/control/team"
	"github.com/mezusphere/mezu/edgesvc/identity/account"
	"github.com/mezusphere/mezu/logo"
)

// What the document says of times and numbers in words is what the constants say.
func TestOpenAPI_Numbers(t *testing.T) {
	r := described(t)
	const day = 24 * time.Hour
	for _, c := range []struct {
		op   api.Operation
		says string
		is   bool
	}{
		{api.OpCreateToken, "30 days", mezu.DefaultTokenLife == 30*day},
		{api.OpCreateToken, "at most 100", team.MaxTokens == 100},
		{api.OpCreateInvitation, "for 7 days", mezu.InvitationLife == 7*day},
		{api.OpCreateInvitation, "At most 200", team.MaxInvitations == 200},
		{api.OpDeleteEnvironment, "30 days", config.EndpointHold == 30*day},
		{api.OpSetLogo, "256 KiB and 1,024×1,024", mezu.MaxLogo == 256<<10 && logo.MaxSide == 1024},
		{api.OpCreateUser, "within 7 days", account.MailedInvitation.Life() == 7*day},
		{api.OpResetUser, "30 minutes", account.MailedReset.Life() == 30*time.Minute},
		{api.OpCreateLoginLink, "ten minutes", account.MailedLogin.Life() == 10*time.Minute},
		{api.OpCreatePersonLoginLink, "ten minutes", account.MailedLogin.Life() == 10*time.Minute},
		{api.OpGetLogins, "last 50", mezu.MaxLogins == 50},
		{api.OpDrainWarpgate, "1,000", mezu.MaxDraining == 1000},
		{api.OpCreateEnrolmentToken, "ten minutes", mezu.EnrolmentTokenLife == 10*time.Minute},
		{api.OpCreateJoinToken, "ten minutes", mezu.JoinTokenLife == 10*time.Minute},
		{api.OpProposeKeys, "ten minutes", ca.ProposalLife == 10*time.Minute},
	} {
		if said := r.doc.At(c.op).Description; !strings.Contains(said, c.says) || !c.is {
			t.Errorf("%s: %q is not what holds, or not said: %s", c.op.ID, c.says, said)
		}
	}
	for _, p := range r.doc.At(api.OpCreateProject).Parameters {
		if p.Name == "Idempotency-Key" && (!strings.Contains(p.Description, "24 hours (an answer with a secret for ten minutes)") || record.IdempotencyLife != day || record.SecretLife != 10*time.Minute) {
			t.Errorf("%s: %s", p.Name, p.Description)
		}
	}
}
