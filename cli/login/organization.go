package login

import (
	"context"
	"strings"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/profile"
	"github.com/mezusphere/mezu/cli/terminal"
)

// organize gives a profile the organization that its commands work in: the one of --org, the
// one that it has, the only one, or the one that is chosen. Other defaults belong to an
// organization, and go with it.
func (o *loginOptions) organize(ctx context.Context, p *profile.Profile, self api.Self) error {
	was := p.Organization
	project := ""
	switch asked := o.Flags.Organization; {
	case self.Organization != "": // a service account works in one project
		p.Organization, project = self.OrganizationName, self.ProjectName
	case asked != "":
		if memberIn(self, asked) == nil && len(self.Organizations) < api.MaxSelfOrganizations && !self.Operator {
			return &mezu.Error{Code: mezu.CodeForbidden, Detail: called(self) + " is no member of " + asked, Hint: "one of: " + strings.Join(organizationsOf(self), ", ")}
		}
		p.Organization = asked
	case p.Organization != "" && (memberIn(self, p.Organization) != nil || len(self.Organizations) == 0):
	case len(self.Organizations) == 1:
		p.Organization = self.Organizations[0].Organization
	case len(self.Organizations) > 1:
		chosen, err := o.chooseOrganization(ctx, self)
		if err != nil {
			return err
		}
		p.Organization = chosen
	}
	if p.Organization != was || project != "" && project != p.Project {
		p.Project, p.Environment = project, ""
	}
	return nil
}

// chooseOrganization asks for one of several; it is "" where nobody can be asked.
func (o *loginOptions) chooseOrganization(ctx context.Context, self api.Self) (string, error) {
	if o.CanPrompt() {
		rows := make([][]string, len(self.Organizations))
		for i, m := range self.Organizations {
			rows[i] = []string{m.Organization, string(m.Role)}
		}
		n, err := o.Choose(ctx, "In which organization do you work by default?", rows)
		if err != nil {
			return "", err
		}
		if n >= 0 {
			return self.Organizations[n].Organization, nil
		}
	}
	o.Signf(terminal.Caution, "no organization is the default: --org NAME or MEZU_ORG names one of %s", terminal.Clean(strings.Join(organizationsOf(self), ", ")))
	o.Sayf("  try: mezu login --org NAME, to work in it from now on")
	return "", nil
}

// memberIn is what somebody is in an organization, nil if nothing.
func memberIn(self api.Self, organization string) *api.SelfMember {
	for i := range self.Organizations {
		if self.Organizations[i].Organization == organization {
			return &self.Organizations[i]
		}
	}
	return nil
}

func organizationsOf(self api.Self) []string {
	out := make([]string, len(self.Organizations))
	for i, m := range self.Organizations {
		out[i] = m.Organization
	}
	return out
}
